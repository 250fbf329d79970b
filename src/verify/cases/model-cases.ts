/** Whole networks, with and without LoRA. */
import type { GraphBuilder } from "../../graph/ir/builder.ts";
import { WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import type { HostTensor } from "../../graph/program.ts";
import { clipVisionModel } from "../../rcod/networks/clip-vision.ts";
import { timestepEmbedding, unet2dConditionModel } from "../../rcod/networks/unet.ts";
import { vaeDecoder, vaeEncoder } from "../../rcod/networks/vae.ts";
import type { UNetConfig } from "../../rcod/settings/config.ts";
import { openSafetensors } from "../../weights/safetensors.ts";
import type { OutputResult } from "../runner/compare.ts";
import type { GoldenCase } from "../runner/golden-file.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import {
  compareResults,
  loraScaling,
  networkWeights,
  readInput,
  runGraph,
} from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";
import { clipConfigOf, unetConfigOf, vaeConfigOf } from "./case-configs.ts";

const ROOT = new WeightScope();

/** The log-variance is clamped like this by diffusers. */
const LOGVAR_RANGE = [-30, 20] as const;

/** Graph of a UNet with inputs `latent`, `embedding`, `context`; gives the predicted noise. */
export function buildUNet(
  g: GraphBuilder,
  config: UNetConfig,
  latentShape: readonly number[],
  contextShape: readonly number[],
): { readonly latent: Value; readonly eps: Value } {
  const latent = g.input("latent", latentShape);
  const [batch = 1] = latentShape;
  const eps = unet2dConditionModel(
    g,
    ROOT,
    {
      sample: latent,
      timestepEmbedding: g.input("embedding", [batch, config.blockOutChannels[0] as number]),
      encoderHiddenStates: g.input("context", contextShape),
    },
    config,
  );
  return { latent, eps };
}

/** The sinusoidal time embeddings of a batch, a row each, which the host computes. */
export function unetEmbedding(timesteps: readonly number[], config: UNetConfig): Float32Array {
  const channels = config.blockOutChannels[0] as number;
  const rows = timesteps.map((timestep) => timestepEmbedding(timestep, config, channels));
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

/** The timestep of each of `batch` latents: the case's `timestep`, of all or as a list, or its input of that name. */
async function timestepsOf(golden: GoldenCase, batch: number): Promise<readonly number[]> {
  const { parameters } = golden;
  const given = golden.has("inputs/timestep")
    ? [...(await golden.input("timestep")).data]
    : Array.isArray(parameters.get("timestep"))
      ? parameters.numbers("timestep")
      : [parameters.number("timestep")];
  if (given.length === batch) return given;
  const [first] = given;
  return given.length === 1 && first !== undefined
    ? Array.from({ length: batch }, () => first)
    : parameters.fail("timestep", `must be one, or one for each of ${batch} latents`);
}

/** The noise that a UNet predicts of the case's `latent`, `context` and `timestep`. */
export async function runUNet<Name extends string>(
  { golden, session }: CaseRun,
  weights: WeightSet,
  output: Name,
): Promise<Record<Name, HostTensor>> {
  const config = unetConfigOf(golden.parameters);
  const latent = await readInput(golden, "latent");
  const context = await readInput(golden, "context");
  return session.run({
    weights,
    build: (g) => g.output(output, buildUNet(g, config, latent.shape, context.shape).eps),
    inputs: {
      latent: latent.data,
      context: context.data,
      embedding: unetEmbedding(await timestepsOf(golden, latent.shape[0] ?? 1), config),
    },
  });
}

const unet: CaseRunner = async (run) => {
  const { golden, session } = run;
  const weights = golden.parameters.has("r")
    ? await loraWeights(run)
    : networkWeights(golden, configIdentity(run));
  return compareResults(golden, session.dtype, await runUNet(run, weights, "eps"));
};

/**
 * The weights of a UNet with low-rank updates `lora/<module>.lora_A.weight`, `….lora_B.weight`. They stand on the
 * base weights of the file named in `weights` ("tiny_unet_a + lora/"). Without that file the base weights are the
 * recipe's, which is the same. The reference rounds the merged weights to fp16, as PEFT does when it merges into an
 * fp16 checkpoint: with unrounded ones eps is off by 7.7e-4 (relative RMS), with rounded ones by 1e-6.
 */
async function loraWeights(run: CaseRun): Promise<WeightSet> {
  const { golden, files } = run;
  const { parameters } = golden;
  const { tensors } = golden.file.safetensors;
  const baseName = /^(\S+) \+ lora\//.exec(parameters.text("weights", ""))?.[1];
  const base = baseName === undefined ? null : await files.open(`${baseName}.safetensors`);
  const weights = networkWeights(golden, configIdentity(run), {
    base: base && (await openSafetensors(base)),
    lora: {
      scaling: loraScaling(golden),
      factors(weight) {
        const stem = `lora/${weight.replace(/\.weight$/, "")}`;
        const factors = { a: `${stem}.lora_A.weight`, b: `${stem}.lora_B.weight` };
        return tensors.has(factors.a) && tensors.has(factors.b) ? factors : null;
      },
    },
  });
  return { ...weights, roundToHalf: true };
}

/** Encoder and decoder are two graphs on one set of weights; each runs where its input is stored. */
const vae: CaseRunner = async (run) => {
  const { golden } = run;
  const config = vaeConfigOf(golden.parameters);
  const weights = networkWeights(golden, configIdentity(run));
  const compared: OutputResult[] = [];
  if (golden.has("inputs/image")) {
    const results = await runGraph(run, weights, ["image"], (g, image) => {
      const moments = vaeEncoder(g, ROOT, image, config);
      const count = config.latentChannels;
      g.output("mean", g.sliceChannels(moments, 0, count, null, "mean"));
      g.output("logvar", g.sliceChannels(moments, count, count, LOGVAR_RANGE, "logvar"));
    });
    compared.push(...results);
  }
  if (golden.has("inputs/z")) {
    const results = await runGraph(run, weights, ["z"], (g, z) =>
      g.output("image", vaeDecoder(g, ROOT, z, config)),
    );
    compared.push(...results);
  }
  return compared;
};

const clip: CaseRunner = (run) => {
  const config = clipConfigOf(run.golden.parameters);
  const weights = networkWeights(run.golden, JSON.stringify(config));
  return runGraph(run, weights, ["pixel_values"], (g, pixels) =>
    g.output("last_hidden_state", clipVisionModel(g, ROOT, pixels, config)),
  );
};

/** Cases of one file with equal configurations share their weights. */
function configIdentity({ golden }: CaseRun): string {
  return `${golden.parameters.text("model")} ${JSON.stringify(golden.parameters.get("config"))}`;
}

/** By the first word of a case's `model`. */
export const MODEL_CASES: Readonly<Record<string, CaseRunner>> = {
  UNet2DConditionModel: unet,
  AutoencoderKL: vae,
  CLIPVisionModel: clip,
};
