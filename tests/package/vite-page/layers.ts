/** Every entry of the package as its types see it; checked by the compiler in pack.test.ts, never run. */
import type { Gpu, ImageInput, RcodModel, UpscaleResult } from "rcod-webgpu";
import { loadModel, requestGpu } from "rcod-webgpu";
import type { CaseRecord } from "rcod-webgpu/bench";
import { QUICK_CASES, runKernelSuite } from "rcod-webgpu/bench";
import type { CachedAddress } from "rcod-webgpu/cache";
import { cachedUrlFiles, listCache } from "rcod-webgpu/cache";
import { BASELINE_CAPS } from "rcod-webgpu/gpu";
import type { GraphPlan } from "rcod-webgpu/graph";
import { GraphBuilder, WeightScope, planGraph } from "rcod-webgpu/graph";
import type { KernelPlan } from "rcod-webgpu/kernels";
import { elementwise } from "rcod-webgpu/kernels";
import { rcodTiny } from "rcod-webgpu/models/rcod-tiny";
import { folderFiles, requestNodeGpu } from "rcod-webgpu/node";
import type { CaseResult } from "rcod-webgpu/verify";
import { verifyFiles } from "rcod-webgpu/verify";
import type { SafetensorsFile } from "rcod-webgpu/weights";
import { bytesSource, openSafetensors } from "rcod-webgpu/weights";
import type { WorkerImageInput, WorkerModel } from "rcod-webgpu/worker";
import { loadModelInWorker } from "rcod-webgpu/worker";
import { serveModels } from "rcod-webgpu/worker-host";

export async function upscale(image: ImageInput, inNode: boolean): Promise<UpscaleResult> {
  const gpu: Gpu = inNode ? await requestNodeGpu() : await requestGpu();
  const device: GPUDevice = gpu.device;
  const model: RcodModel = await loadModel(folderFiles("models/rcod-tiny"), { gpu: device });
  return model.upscale(image, { realism: 0.25 });
}

export function plan(): GraphPlan {
  const g = new GraphBuilder("f32");
  const x = g.input("x", [1, 8, 8, 4]);
  g.output("y", g.groupNorm(x, new WeightScope("norm"), { numGroups: 2, eps: 1e-5 }));
  return planGraph(g.build(), BASELINE_CAPS);
}

export const scaled: KernelPlan = elementwise.plan(
  { dtype: "f32", quads: 4, hasB: false, scaleA: 2, scaleB: 0, activation: "none" },
  BASELINE_CAPS,
);

export const stored = (): Promise<RcodModel> => loadModel(cachedUrlFiles("https://host/model"));
export const list = (): Promise<readonly CachedAddress[]> => listCache();

export const read = (bytes: Uint8Array): Promise<SafetensorsFile> =>
  openSafetensors(bytesSource("bytes", bytes));

export async function inWorker(image: WorkerImageInput, worker: Worker): Promise<UpscaleResult> {
  const model: WorkerModel = await loadModelInWorker(rcodTiny, { worker, precision: "f16" });
  serveModels(new MessageChannel().port1);
  return model.upscale(image, { realism: 0.25, transfer: true });
}

// @ts-expect-error: a device cannot be sent
export const wrong = loadModelInWorker("model", { gpu: await requestGpu() });
export const bench = async (gpu: Gpu): Promise<readonly CaseRecord[]> =>
  (await runKernelSuite(gpu, { dtype: "f32", cases: QUICK_CASES })).cases;

export const verify = (gpu: Gpu, bytes: Uint8Array): AsyncGenerator<CaseResult, void, void> =>
  verifyFiles(gpu, [{ name: "a", source: bytesSource("a", bytes) }], { precision: "f32" });

// @ts-expect-error: types must be there at all; `any` would let this pass
elementwise.check({ dtype: "f64" });
