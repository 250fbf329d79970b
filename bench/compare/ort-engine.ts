/**
 * onnxruntime-web's side of the comparison. On WebGPU inputs and result are GPU buffers of its own device, bound
 * for every run, so that no run copies to or from the host; on WASM they are arrays.
 */
import * as ort from "onnxruntime-web/webgpu";
import { onnxModel } from "../onnx/model.ts";
import type { CompareCase } from "./cases.ts";
import type { Engine } from "./engine.ts";

export const ORT_VERSION = ort.env.versions.web ?? "unknown";

export interface OrtBackend {
  readonly provider: "webgpu" | "wasm";
  /** How the WebGPU backend lays out maps inside; it converts at a graph's ends. */
  readonly layout?: "NCHW" | "NHWC";
}

/** Calls once before the first session. Threads need a page that is isolated from others. */
export function configureOrt(): { readonly threads: number } {
  const threads = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return { threads };
}

export async function openOrt(
  { onnx, onnxInputs, fromOnnx }: CompareCase,
  { provider, layout }: OrtBackend,
): Promise<Engine> {
  const session = await ort.InferenceSession.create(onnxModel(onnx), {
    executionProviders: [
      provider === "wasm" ? "wasm" : { name: "webgpu", ...(layout && { preferredLayout: layout }) },
    ],
    graphOptimizationLevel: "all",
    ...(provider === "webgpu" && { preferredOutputLocation: "gpu-buffer" as const }),
  });
  const dims = onnx.outputs["y"] ?? [];
  const count = dims.reduce((product, size) => product * size, 1);
  if (provider === "wasm") {
    const feeds = feedsOf(onnxInputs, ({ values, dims: of }) => {
      return new ort.Tensor("float32", values as Float32Array, of);
    });
    let last: ort.Tensor | undefined;
    return {
      async run() {
        last = (await session.run(feeds))["y"];
      },
      settle: async () => {},
      read: async () => fromOnnx((last?.data ?? new Float32Array(count)) as Float32Array),
      dispose: () => session.release(),
    };
  }
  const device: GPUDevice = await ort.env.webgpu.device;
  const buffers: GPUBuffer[] = [];
  const buffer = (byteLength: number): GPUBuffer => {
    const made = device.createBuffer({
      label: "compare",
      size: Math.ceil(byteLength / 16) * 16,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    buffers.push(made);
    return made;
  };
  const bound = (of: readonly number[], at: GPUBuffer): ort.Tensor =>
    ort.Tensor.fromGpuBuffer(at, { dataType: "float32", dims: of }) as ort.Tensor;
  const feeds = feedsOf(onnxInputs, ({ values, dims: of }) => {
    const made = buffer(values.byteLength);
    device.queue.writeBuffer(made, 0, values as Float32Array<ArrayBuffer>);
    return bound(of, made);
  });
  const result = buffer(4 * count);
  // Poisoned: a backend that leaves the result alone, or some of it, must not pass the check.
  device.queue.writeBuffer(result, 0, new Float32Array(count).fill(NaN));
  const fetches = { y: bound(dims, result) };
  return {
    async run() {
      await session.run(feeds, fetches);
    },
    settle: () => device.queue.onSubmittedWorkDone(),
    read: async () => fromOnnx(await readBuffer(device, result, 4 * count)),
    async dispose() {
      await session.release();
      for (const made of buffers) made.destroy();
    },
  };
}

function feedsOf(
  inputs: CompareCase["onnxInputs"],
  make: (tensor: CompareCase["onnxInputs"][string]) => ort.Tensor,
): Record<string, ort.Tensor> {
  return Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, make(tensor)]));
}

async function readBuffer(
  device: GPUDevice,
  from: GPUBuffer,
  byteLength: number,
): Promise<Float32Array> {
  const staging = device.createBuffer({
    size: byteLength,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, staging, 0, byteLength);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return values;
}
