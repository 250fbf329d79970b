/**
 * Models from the files that people have to the picture, every step of RCOD_O and RCOD_S against the reference: `model`
 * says which, `base`, `clip`, `checkpoint`, `de_net` and `mem` name the files, `…_variants` other forms of the same.
 */
import { WeightScope } from "../../graph/ir/builder.ts";
import type { HostTensor } from "../../graph/program.ts";
import { clipVisionModel, imageProjection } from "../../rcod/networks/clip-vision.ts";
import { DEGRADATION_DTYPE } from "../../rcod/networks/degradation.ts";
import { IMAGE_PROJ } from "../../rcod/networks/graphs.ts";
import { timestepOfMetric } from "../../rcod/networks/mem.ts";
import { modelParameters } from "../../rcod/networks/stage-graphs.ts";
import { vaeDecoder, vaeEncoder } from "../../rcod/networks/vae.ts";
import type { ModulatedPart } from "../../rcod/settings/degradation-config.ts";
import type { OutputResult } from "../runner/compare.ts";
import { EXACT, compareOutput } from "../runner/compare.ts";
import type { GoldenCase } from "../runner/golden-file.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseInput, CaseRun, CaseRunner } from "../runner/run-case.ts";
import { compareResults, compareValues, readInput } from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";
import { Session } from "../runner/session.ts";
import { degradationOf, enlarge } from "./checkpoint-degradation.ts";
import type { CaseModel } from "./checkpoint-model.ts";
import { compareVariants, levelLimit, withCaseModel } from "./checkpoint-model.ts";
import { readMatrix } from "./lora-op-cases.ts";
import { buildUNet, unetEmbedding } from "./model-cases.ts";
import { modulateWith } from "./rcod-s-cases.ts";

const ROOT = new WeightScope();

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

/** By the `model` of a case whose weights are "checkpoint files". */
export const CHECKPOINT_MODELS: Readonly<Record<string, CaseRunner>> = {
  RCOD_O: rcodO,
  RCOD_S: rcodS,
};
