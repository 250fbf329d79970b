/**
 * Whole models from published files: every stage of RCOD_O and RCOD_S against the reference. `model` says which of the
 * two. `base`, `clip`, `checkpoint`, `de_net` and `mem` name the files, `…_variants` other forms of the same file.
 */
import { DEGRADATION_DTYPE } from "../../rcod/networks/degradation.ts";
import type { LoraPart } from "../../rcod/settings/degradation-config.ts";
import { timestepOfMetric } from "../../rcod/settings/latent-groups.ts";
import type { OutputResult } from "../runner/compare.ts";
import { EXACT, compareOutput } from "../runner/compare.ts";
import type { GoldenCase, GoldenTensor } from "../runner/golden-file.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import { compareResults, compareValues, readInput } from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";
import { Session } from "../runner/session.ts";
import { degradationOf, enlarge } from "./checkpoint-degradation.ts";
import type { CaseModel } from "./checkpoint-model.ts";
import { compareVariants, levelLimit, withCaseModel } from "./checkpoint-model.ts";
import { compareMerged } from "./lora-op-cases.ts";
import { modulateWith } from "./rcod-s-cases.ts";
import type { Results } from "./stages.ts";
import { decodeAt, denoise, latentOf, tokensOf } from "./stages.ts";

const rcodO: CaseRunner = (run) =>
  withCaseModel(run, async (model) => {
    const { golden, session } = run;
    const variants = await compareVariants(run, "checkpoint", "checkpoint_variants");
    const pixels = await readInput(golden, "clip_pixel_values");
    const x = await readInput(golden, "x");
    const weights = { vae: model.weights("vae"), unet: model.weights("unet") };
    const results = await picturesOf(run, model, weights, pixels, x);
    return [
      ...(await compareResults(golden, session.dtype, results)),
      ...(await compareLevels(run, results)),
      ...(await compareMergedOutputs(run, model)),
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
    // The pipeline runs the degradation networks in this precision, whatever the rest has.
    const exact = new Session(session.gpu, {
      dtype: DEGRADATION_DTYPE,
      ...(session.signal && { signal: session.signal }),
    });
    try {
      const { degradation, matrices } = await degradationOf({ ...run, session: exact }, model);
      const prepare = (part: LoraPart): WeightSet => {
        const rank = configs.degradation?.ranks[part] ?? 0;
        return model.weights(part, modulateWith(session, matrices[part], rank));
      };
      const { x, clip } = await enlarge(run, model);
      const weights = { vae: prepare("vae"), unet: prepare("unet") };
      const pictures = await picturesOf(run, model, weights, clip, x);
      const results: Results = { x, clip_pixel_values: clip, ...pictures };
      const timestep = timestepOfMetric(degradation["m_l"]?.data[0] ?? NaN, configs.rcod);
      const adaptive = golden.parameters.number("adaptive_timestep");
      return [
        ...(await compareResults(golden, DEGRADATION_DTYPE, degradation)),
        await compareValues(golden, exact.dtype, "m_vae", matrices.vae),
        await compareValues(golden, exact.dtype, "m_unet", matrices.unet),
        compareOutput("adaptive_timestep", [timestep], [adaptive], EXACT),
        ...(await compareResults(golden, session.dtype, results)),
        ...variants,
      ];
    } finally {
      exact.dispose();
    }
  });

/**
 * All networks: what `tokensOf` and `latentOf` give of the vision tower's pixels and of `x`, and at every stored
 * timestep `eps_t…` and `image_t…`.
 */
async function picturesOf(
  { golden, session }: CaseRun,
  { configs: { clip, unet, vae, rcod }, weights: weightsOf }: CaseModel,
  weights: Readonly<Record<"vae" | "unet", WeightSet>>,
  pixels: GoldenTensor,
  x: GoldenTensor,
): Promise<Results> {
  const own = await tokensOf(session, weightsOf("clip"), pixels, clip, unet);
  const encoded = await latentOf(session, weights.vae, x, vae);
  const timesteps = timestepsOf(golden);
  const latents = timesteps.map((timestep) => ({
    suffix: `_t${timestep}`,
    timestep,
    latent: encoded.latent,
  }));
  const denoised = await denoise(session, weights.unet, unet, rcod.alpha, own.tokens, latents);
  const pictures = timesteps.filter((t) => golden.outputs.includes(`image_t${t}`));
  const decoded = await decodeAt(session, weights.vae, vae, pictures, denoised);
  return { ...own, ...encoded, ...denoised, ...decoded };
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
async function compareMergedOutputs(
  run: CaseRun,
  { weights }: CaseModel,
): Promise<readonly OutputResult[]> {
  const compared: OutputResult[] = [];
  for (const output of run.golden.outputs) {
    const [, part, name] = /^merged\/(unet|vae)\/(.+)$/.exec(output) ?? [];
    if (name === undefined) continue;
    compared.push(await compareMerged(run, weights(part as LoraPart), output, name));
  }
  return compared;
}

/** By the `model` of a case whose weights are "checkpoint files". */
export const CHECKPOINT_MODELS: Readonly<Record<string, CaseRunner>> = {
  RCOD_O: rcodO,
  RCOD_S: rcodS,
};
