/** The bundled model against PyTorch (fixture written by training/): both files are read at run time. */
import { existsSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import type { DType } from "../../src/gpu/dtype.ts";
import { readBytes } from "../../src/gpu/transfer.ts";
import { runPlan } from "../../src/graph/execution/run-plan.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { packActivation, unpackActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import { SlotPool } from "../../src/graph/slot-pool.ts";
import type { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import { elementwise } from "../../src/kernels/pointwise/elementwise.ts";
import { folderFiles } from "../../src/node/index.ts";
import { loadWeights } from "../../src/rcod/loading/load.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { loadModel } from "../../src/rcod/model.ts";
import { oneStepCoefficients } from "../../src/rcod/networks/graphs.ts";
import { metricOfMap } from "../../src/rcod/networks/mem.ts";
import { stageGraphs } from "../../src/rcod/networks/stage-graphs.ts";
import { timestepEmbedding } from "../../src/rcod/networks/unet.ts";
import {
  bytesSource,
  openSafetensors,
  safetensorsStore,
  toFloat32,
} from "../../src/weights/index.ts";
import type { SafetensorsFile, WeightStore } from "../../src/weights/index.ts";
import { relativeRms } from "../graph/support.ts";
import { useGpu } from "../support/gpu.ts";

const root = new URL("../../", import.meta.url);
const fixturePath = new URL("tests/fixtures/rcod-tiny/parity.safetensors", root);
const photosPath = new URL("tests/fixtures/rcod-tiny/photos.safetensors", root);
const modelPath = new URL("models/rcod-tiny/", root);

const isThere = existsSync(fixturePath) && existsSync(new URL("unet/config.json", modelPath));
if (!isThere)
  process.stderr.write("rcod-tiny parity is skipped: the model or its fixture is missing\n");
if (!isThere && process.env["REQUIRE_GPU"] === "1")
  throw new Error("rcod-tiny or its fixture is missing");

/** relRms of PyTorch's own fp16-storage run, where the fixture has it (NaN where it does not). */
interface Metrics {
  readonly [output: string]: {
    readonly fp16_storage_vs_ref?: { readonly rel_rms?: number | null };
  };
}

const setup = useGpu();
let fixture: WeightStore;
let metrics: Metrics;

beforeAll(async () => {
  if (!isThere) return;
  const file = await openFixture(fixturePath);
  fixture = safetensorsStore(file);
  // Python writes NaN, which is no JSON.
  const cases = JSON.parse((file.metadata.get("cases") ?? "{}").replaceAll(/\bNaN\b/g, "null")) as {
    pipeline?: { metrics?: Metrics };
  };
  metrics = cases.pipeline?.metrics ?? {};
});

async function openFixture(path: URL): Promise<SafetensorsFile> {
  return openSafetensors(bytesSource(path.pathname, new Uint8Array(readFileSync(path))));
}

/** A tensor of the fixture, NCHW as channels last. */
async function channelsLast(
  name: string,
): Promise<{ shape: readonly number[]; data: Float32Array }> {
  const info = fixture.info(`pipeline/${name}`);
  const values = toFloat32(info, await fixture.read(info.name));
  const [n = 1, c = 1, h = 1, w = 1] = info.shape;
  if (info.shape.length !== 4) return { shape: info.shape, data: values };
  const data = new Float32Array(values.length);
  for (let i = 0; i < n * h * w; i++) {
    const [image, pixel] = [Math.floor(i / (h * w)), i % (h * w)];
    for (let channel = 0; channel < c; channel++)
      data[i * c + channel] = values[(image * c + channel) * h * w + pixel] as number;
  }
  return { shape: [n, h, w, c], data };
}

/** Relative RMS in f32, the worst of llvmpipe and SwiftShader. */
const MEASURED: Readonly<Record<string, number>> = {
  tokens: 2.7e-7,
  latent: 2.6e-6,
  metric: 5.8e-7,
  eps_t249: 2e-6,
  eps_t749: 2.8e-6,
  out_t249: 4.6e-6,
  out_t749: 3.2e-6,
};

/** In f32 three times what software adapters measure, at least 1e-6; wider for the exp and the square root of a GPU. */
function limitOf(output: string, dtype: DType): number {
  if (dtype === "f32")
    return setup.caps.isSoftware ? Math.max(1e-6, 3 * (MEASURED[output] ?? 0)) : 3e-5;
  // The metric is one number, so PyTorch's own error of it is chance; it is as exact as the latents it reads.
  const measured = metrics[output === "metric" ? "latent" : output]?.fp16_storage_vs_ref?.rel_rms;
  return measured ? Math.max(5e-4, 4 * measured) : 4e-3;
}

it.skipIf(!isThere)("rcod-tiny from photo to picture: within a level of PyTorch", async () => {
  const [height = 1, width = 1] = fixture.info("pipeline/inputs/lq").shape;
  const data = (await fixture.read("pipeline/inputs/lq")).slice();
  const model = await loadModel(folderFiles(modelPath.pathname), {
    gpu: setup.gpu,
    precision: "f32",
  });
  try {
    const { image } = await model.upscale(
      { width, height, channels: 3, data },
      { colorFix: "none" },
    );
    const { shape, data: out } = await channelsLast("outputs/out_t249");
    expect([image.height, image.width]).toEqual(shape.slice(1, 3));
    let largest = 0;
    out.forEach(
      (value, i) =>
        (largest = Math.max(largest, Math.abs(127.5 * (value + 1) - (image.data[i] as number)))),
    );
    expect(largest).toBeLessThanOrEqual(1);
  } finally {
    model.dispose();
  }
});

/** In f32 within a level; in f16 PSNR on 8-bit pictures, where two roundings alone give 50 dB. */
describe.skipIf(!isThere).each<DType>(["f32", "f16"])("rcod-tiny in %s", (dtype) => {
  it("gives PyTorch's pictures of ten photographs, colour fix included", async () => {
    const file = await openFixture(photosPath);
    const photos = safetensorsStore(file);
    const [count = 0, height = 1, width = 1, channels = 1] = photos.info("lq").shape;
    const [inputs, expected] = [await photos.read("lq"), await photos.read("out")];
    const names = JSON.parse(file.metadata.get("photos") ?? "[]") as string[];
    expect([count, channels, names.length]).toEqual([10, 3, 10]);
    const model = await loadModel(folderFiles(modelPath.pathname), {
      gpu: setup.gpu,
      precision: dtype,
    });
    const failures: string[] = [];
    try {
      for (const [index, name] of names.entries()) {
        const size = height * width * 3;
        const data = inputs.slice(index * size, (index + 1) * size);
        const { image } = await model.upscale(
          { width, height, channels: 3, data },
          { timestep: Number(file.metadata.get("timestep")) },
        );
        let [squares, largest] = [0, 0];
        image.data.forEach((value, i) => {
          const error = value - (expected[index * 16 * size + i] as number);
          squares += error * error;
          largest = Math.max(largest, Math.abs(error));
        });
        const psnr = 10 * Math.log10(255 ** 2 / (squares / image.data.length));
        process.stderr.write(`rcod-tiny ${dtype} ${name}: ${psnr.toFixed(1)} dB, ${largest}\n`);
        if (image.data.length !== 16 * size || !(psnr >= 45) || (dtype === "f32" && largest > 1))
          failures.push(`${name}: ${psnr} dB, ${largest} levels`);
      }
    } finally {
      model.dispose();
    }
    expect(failures).toEqual([]);
  });

  it("tokens, latent, eps and image of every timestep in the fixture", async () => {
    const { gpu } = setup;
    const files = folderFiles(modelPath.pathname);
    const configs = await readConfigs(files);
    const weights = await loadWeights(gpu, files, configs, dtype);
    const x = await channelsLast("inputs/x");
    const pixels = await channelsLast("inputs/pixel_values");
    const [, height = 1, width = 1] = x.shape;
    const graphs = stageGraphs(configs, height, width, dtype);
    const pool = new SlotPool(gpu);
    const stage = (name: keyof typeof graphs, part: keyof typeof weights): Promise<Program> =>
      Program.create(
        gpu,
        planGraph(graphs[name] as Graph, gpu.caps),
        weights[part] as DeviceWeights,
        { pool },
      );
    const failures: string[] = [];
    const check = async (output: string, got: Float32Array): Promise<void> => {
      const error = relativeRms(got, (await channelsLast(`outputs/${output}`)).data);
      const limit = limitOf(output, dtype);
      process.stderr.write(
        `rcod-tiny ${dtype} ${output}: rel rms ${error.toExponential(2)}, limit ${limit.toExponential(1)}\n`,
      );
      if (!(error <= limit)) failures.push(`${output}: rel rms ${error} above ${limit}`);
    };
    const z = gpu.memory.create("z", height * width * 64, "images");
    try {
      const tokens = await stage("tokens", "clip");
      await tokens.run({ pixels: packActivation(pixels.data, 3, dtype) });
      const context = await tokens.read("tokens");
      await check("tokens", context.data);
      const encode = await stage("encode", "vae");
      await encode.run({ image: packActivation(x.data, 3, dtype) });
      const latents = await encode.read("latents");
      await check("latent", latents.data);
      const channels = configs.vae.latentChannels;
      const packedLatents = packActivation(latents.data, channels, dtype);
      const mem = await stage("mem", "mem");
      await mem.run({ latents: packedLatents });
      await check("metric", Float32Array.of(metricOfMap((await mem.read("metric")).data)));
      for (const name of fixture.names()) {
        const timestep = /^pipeline\/outputs\/eps_t(\d+)$/.exec(name)?.[1];
        if (timestep === undefined) continue;
        const embedding = timestepEmbedding(
          Number(timestep),
          configs.unet,
          configs.unet.blockOutChannels[0] as number,
        );
        const unet = await stage("unet", "unet");
        await unet.run({
          latents: packedLatents,
          tokens: packActivation(context.data, configs.unet.crossAttentionDim, dtype),
          timestep: packActivation(embedding, embedding.length, dtype),
        });
        await check(`eps_t${timestep}`, (await unet.read("eps")).data);
        const { p, q } = oneStepCoefficients(configs.rcod, configs.vae);
        const size = packedLatents.byteLength;
        const a = gpu.memory.create("latents", size, "images");
        gpu.device.queue.writeBuffer(a, 0, packedLatents);
        const { buffer, size: epsSize } = unet.result("eps");
        const quads = size / (dtype === "f32" ? 16 : 8);
        const plan = elementwise.plan(
          { dtype, quads, hasB: true, scaleA: p, scaleB: -q, activation: "none" },
          gpu.caps,
        );
        await runPlan(gpu, plan, { a, b: { buffer, size: epsSize }, y: z });
        gpu.memory.release(a);
        const decode = await stage("decode", "vae");
        await decode.run({ z });
        const image = decode.result("image");
        const bytes = await readBytes(gpu, image.buffer, 0, image.size);
        await check(
          `out_t${timestep}`,
          unpackActivation(bytes, image.value, dtype).map((v) => Math.min(Math.max(v, -1), 1)),
        );
        unet.dispose();
        decode.dispose();
      }
      expect(failures).toEqual([]);
    } finally {
      gpu.memory.release(z);
      pool.dispose();
      for (const part of Object.values(weights)) part.dispose();
    }
  });
});
