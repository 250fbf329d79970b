/**
 * Models from the files that people have to the picture, every step of RCOD_O and RCOD_S against the reference: `model`
 * says which, `base`, `clip`, `checkpoint`, `de_net` and `mem` name the files, `…_variants` other forms of the same.
 */
import { WeightScope } from "../graph/builder.ts";
import { activationByteLength } from "../graph/lower.ts";
import type { HostTensor } from "../graph/program.ts";
import { readActivation } from "../graph/read-activation.ts";
import { clipVisionModel, imageProjection } from "../rcod/clip-vision.ts";
import { deResNet, degreesOfLogits } from "../rcod/de-resnet.ts";
import { DEGRADATION_DTYPE, metricOfFeatures } from "../rcod/degradation.ts";
import { bilinearSource } from "../rcod/enlarged-source.ts";
import { paddedGeometry } from "../rcod/geometry.ts";
import { IMAGE_PROJ } from "../rcod/graphs.ts";
import { resizeToTensor } from "../rcod/image-ops.ts";
import { timestepOfMetric } from "../rcod/mem.ts";
import { modelParameters } from "../rcod/model-parts.ts";
import type { ModulatedPart } from "../rcod/modulation.ts";
import { fourierEmbedding, modulationMatrices, repeatRows } from "../rcod/modulation.ts";
import { readTables } from "../rcod/rcod-s-checkpoint.ts";
import { vaeDecoder, vaeEncoder } from "../rcod/vae.ts";
import type { CaseModel } from "./checkpoint-model.ts";
import { EXACT, compareVariants, levelLimit, withCaseModel } from "./checkpoint-model.ts";
import type { OutputResult } from "./compare.ts";
import { compareOutput } from "./compare.ts";
import type { GoldenCase } from "./golden-file.ts";
import { GoldenError } from "./golden-file.ts";
import { readMatrix } from "./lora-op-cases.ts";
import { buildUNet, unetEmbedding } from "./model-cases.ts";
import { modulateWith } from "./rcod-s-cases.ts";
import type { CaseInput, CaseRun, CaseRunner } from "./run-case.ts";
import { compareResults, compareValues, readInput } from "./run-case.ts";
import type { WeightSet } from "./session.ts";
import { Session } from "./session.ts";

const ROOT = new WeightScope();
/** RCOD_S's working image has sides that are multiples of this. */
const RCOD_S_MULTIPLE = 64;

type Results = Record<string, HostTensor>;

const rcodO: CaseRunner = (run) =>
  withCaseModel(run, async (model) => {
    const { golden, session } = run;
    const variants = await compareVariants(run, "checkpoint", "checkpoint_variants");
    const pixels = await readInput(golden, "clip_pixel_values");
    const x = await readInput(golden, "x");
    const results: Results = await tokensOf(run, model, pixels);
    const weights = { vae: model.weights("vae"), unet: model.weights("unet") };
    Object.assign(results, await picturesOf(run, model, weights, x, results["tokens"]));
    return [
      ...(await compareResults(golden, session.dtype, results)),
      ...(await compareLevels(run, results)),
      ...(await compareMerged(run, model)),
      ...variants,
    ];
  });

const rcodS: CaseRunner = (run) =>
  withCaseModel(run, async (model) => {
    const { golden, session } = run;
    const { configs } = model;
    const variants = [
      ...(await compareVariants(run, "mem", "mem_variants")),
      ...(await compareVariants(run, "de_net", "de_net_variants")),
    ];
    // As the pipeline does, whatever the precision of the rest.
    const exact = new Session(session.gpu, {
      dtype: DEGRADATION_DTYPE,
      ...(session.signal && { signal: session.signal }),
    });
    try {
      const { degradation, matrices } = await degradationOf({ ...run, session: exact }, model);
      const prepare = (part: ModulatedPart): WeightSet => {
        const rank = configs.degradation?.ranks[part] ?? 0;
        return model.weights(part, modulateWith(session, matrices[part].data, rank));
      };
      const { x, clip } = await enlarge(run, model);
      const results: Results = { x, clip_pixel_values: clip };
      Object.assign(results, await tokensOf(run, model, clip));
      const weights = { vae: prepare("vae"), unet: prepare("unet") };
      Object.assign(results, await picturesOf(run, model, weights, x, results["tokens"]));
      const timestep = timestepOfMetric(degradation["m_l"]?.data[0] ?? NaN, configs.rcod);
      const adaptive = golden.parameters.number("adaptive_timestep");
      return [
        ...(await compareResults(golden, DEGRADATION_DTYPE, degradation)),
        await compareValues(golden, exact.dtype, "m_vae", matrices.vae.data),
        await compareValues(golden, exact.dtype, "m_unet", matrices.unet.data),
        compareOutput("adaptive_timestep", [timestep], [adaptive], EXACT),
        ...(await compareResults(golden, session.dtype, results)),
        ...variants,
      ];
    } finally {
      exact.dispose();
    }
  });

async function tokensOf(
  { session }: CaseRun,
  { configs, weights }: CaseModel,
  pixels: CaseInput,
): Promise<Results> {
  return session.run({
    weights: weights("clip"),
    build(g) {
      const hidden = clipVisionModel(g, ROOT, g.input("pixels", pixels.shape), configs.clip);
      g.output("clip_last_hidden_state", hidden);
      const { crossAttentionDim } = configs.unet;
      g.output("tokens", imageProjection(g, ROOT.at(IMAGE_PROJ), hidden, crossAttentionDim));
    },
    inputs: { pixels: pixels.data },
  });
}

/** Encoder, UNet and decoder: `moments`, `latent`, and at every stored timestep `eps_t…` and `image_t…`. */
async function picturesOf(
  { golden, session }: CaseRun,
  { configs }: CaseModel,
  weights: Readonly<Record<"vae" | "unet", WeightSet>>,
  x: CaseInput,
  tokens: HostTensor | undefined,
): Promise<Results> {
  const { unet, vae, rcod } = configs;
  if (tokens === undefined) throw new Error("internal: no tokens");
  const results: Results = await session.run({
    weights: weights.vae,
    build(g) {
      const moments = vaeEncoder(g, ROOT, g.input("x", x.shape), vae);
      g.output("moments", moments);
      const mean = g.sliceChannels(moments, 0, vae.latentChannels, null, "mean");
      g.output("latent", g.scale(mean, vae.scalingFactor, "latent"));
    },
    inputs: { x: x.data },
  });
  const latent = results["latent"] as HostTensor;
  const timesteps = timestepsOf(golden);
  const root = Math.sqrt(rcod.alpha);
  const predicted = new Map<number, HostTensor>();
  await session.withProgram(
    weights.unet,
    (g) => {
      const { latent: sample, eps } = buildUNet(g, unet, latent.shape, tokens.shape);
      g.output("eps", eps);
      g.output("x0", g.combine(sample, 1 / root, eps, -Math.sqrt(1 - rcod.alpha) / root, "x0"));
    },
    async ({ run, read }) => {
      for (const t of timesteps) {
        await run({ latent: latent.data, context: tokens.data, embedding: unetEmbedding(t, unet) });
        results[`eps_t${t}`] = await read("eps");
        predicted.set(t, await read("x0"));
      }
    },
  );
  await session.withProgram(
    weights.vae,
    (g) => {
      const z = g.scale(g.input("x0", latent.shape), 1 / vae.scalingFactor, "z");
      g.output("image", vaeDecoder(g, ROOT, z, vae));
    },
    async ({ run, read }) => {
      for (const [t, x0] of predicted) {
        if (!golden.outputs.includes(`image_t${t}`)) continue;
        await run({ x0: x0.data });
        const { shape, data } = await read("image");
        const clamped = data.map((value) => Math.min(Math.max(value, -1), 1));
        results[`image_t${t}`] = { shape, data: clamped };
      }
    },
  );
  return results;
}

/** The timesteps that outputs are stored for. */
function timestepsOf({ outputs }: GoldenCase): readonly number[] {
  const found = outputs.flatMap((name) => /^eps_t(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return found.toSorted((a, b) => a - b);
}

/** 8-bit pictures, truncated as the reference does. */
async function compareLevels(
  { golden, session: { dtype } }: CaseRun,
  results: Results,
): Promise<readonly OutputResult[]> {
  const compared: OutputResult[] = [];
  for (const [name, { data }] of Object.entries(results)) {
    const stored = name.replace("image_t", "image_u8_t");
    if (stored === name || !golden.outputs.includes(stored)) continue;
    const levels = data.map((value) => Math.floor(255 * (0.5 * value + 0.5)));
    const halves = golden.metrics[name]?.fp16_storage_vs_ref?.max_abs ?? 0;
    compared.push(await compareValues(golden, dtype, stored, levels, levelLimit(dtype, halves)));
  }
  return compared;
}

/** Outputs `merged/<part>/<parameter>`. */
async function compareMerged(
  { golden, session }: CaseRun,
  { configs, weights }: CaseModel,
): Promise<readonly OutputResult[]> {
  const parameters = modelParameters(configs);
  const compared: OutputResult[] = [];
  for (const output of golden.outputs) {
    const [, part, name] = /^merged\/(unet|vae)\/(.+)$/.exec(output) ?? [];
    if (part !== "unet" && part !== "vae") continue;
    const weight = parameters[part].find((other) => other.name === name);
    if (weight === undefined) throw new GoldenError(`verify: the ${part} has no ${name}`);
    const device = session.deviceWeights(weights(part), [weight]);
    await device.load([weight]);
    const values = await readMatrix(session.gpu, device, weight);
    compared.push(await compareValues(golden, session.dtype, output, values));
  }
  return compared;
}

/** RCOD_S: `degrees`, `features`, `m_l` of the low-resolution image, and the modulation matrices of each part. */
async function degradationOf(
  { golden, session }: CaseRun,
  { configs, open, weights }: CaseModel,
): Promise<{
  readonly degradation: Results;
  readonly matrices: Readonly<Record<ModulatedPart, HostTensor>>;
}> {
  const { degradation: config } = configs;
  if (config === null || open.checkpoint === null) {
    throw new GoldenError(`verify: the checkpoint is not RCOD_S's (${golden.file.name})`);
  }
  const image = await readInput(golden, "x_lr");
  const { logits, ...degradation } = await session.run({
    weights: weights("degradation"),
    build(g) {
      const net = deResNet(g, ROOT, g.input("image", image.shape), config.estimator);
      g.output("logits", net.logits);
      g.output("features", net.features);
      g.output("m_l", metricOfFeatures(g, ROOT, net.features));
    },
    inputs: { image: image.data },
  });
  if (logits === undefined) throw new Error("internal: no result");
  const degrees = degreesOfLogits(logits.data);
  const tables = await readTables(open.checkpoint, session.signal);
  const embedding = fourierEmbedding(degrees, tables.w);
  const matricesOf = async (part: ModulatedPart): Promise<HostTensor> => {
    const blocks = tables.blocks[part].length / config.blockEmbedding;
    const { matrices } = await session.run({
      weights: weights("degradation"),
      build(g) {
        const inputs = {
          embedding: g.input("embedding", [blocks, embedding.length]),
          blocks: g.input("blocks", [blocks, config.blockEmbedding]),
        };
        g.output("matrices", modulationMatrices(g, ROOT, part, inputs, config.ranks[part]));
      },
      inputs: { embedding: repeatRows(embedding, blocks), blocks: tables.blocks[part] },
    });
    return matrices as HostTensor;
  };
  return {
    degradation: {
      ...degradation,
      degrees: { shape: logits.shape, data: Float32Array.from(degrees) },
    },
    matrices: { vae: await matricesOf("vae"), unet: await matricesOf("unet") },
  };
}

/** RCOD_S: the encoder's input `x` and the vision tower's, from the 8-bit image. */
async function enlarge(
  { golden, session: { gpu, dtype } }: CaseRun,
  { configs }: CaseModel,
): Promise<{ readonly x: HostTensor; readonly clip: HostTensor }> {
  const image = await golden.input("image_u8_hwc");
  const [height = 1, width = 1] = image.shape;
  const { upscale } = configs.rcod;
  const geometry = paddedGeometry(width, height, { upscale, multiple: RCOD_S_MULTIPLE });
  const raw = { width, height, channels: 3, data: Uint8Array.from(image.data) } as const;
  const source = await bilinearSource(gpu, raw, geometry, "truncate");
  const read = async (
    shape: readonly number[],
    fill: (y: GPUBufferBinding) => Promise<void>,
  ): Promise<HostTensor> => {
    const buffer = gpu.memory.create("input", activationByteLength(shape, dtype), "images");
    try {
      await fill({ buffer });
      const data = await readActivation(gpu, buffer, shape, dtype);
      return { shape, data: Float32Array.from(data) };
    } finally {
      gpu.memory.release(buffer);
    }
  };
  try {
    const side = configs.clip.imageSize;
    const x = await read([1, geometry.workHeight, geometry.workWidth, 3], (y) =>
      source.toTensor(y, dtype),
    );
    const clip = await read([1, side, side, 3], (y) =>
      resizeToTensor(gpu, source.pixels, y, { width: side, height: side, dtype }),
    );
    return { x, clip };
  } finally {
    gpu.memory.release(source.image.buffer);
    source.release();
  }
}

/** By the `model` of a case whose weights are "checkpoint files". */
export const CHECKPOINT_MODELS: Readonly<Record<string, CaseRunner>> = {
  RCOD_O: rcodO,
  RCOD_S: rcodS,
};
