/** The graphs of RCOD_O, each a stage of the pipeline with named inputs and outputs. */
import type { DType } from "../../gpu/dtype.ts";
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Graph, Value } from "../../graph/ir/ir.ts";
import type {
  ClipConfig,
  MemConfig,
  RcodConfig,
  UNetConfig,
  VaeConfig,
} from "../settings/config.ts";
import { sampleChannels } from "../settings/config.ts";
import { storageOf } from "../settings/quantization.ts";
import { clipVisionModel } from "./clip-vision.ts";
import { metricMap } from "./mem.ts";
import { unet2dConditionModel } from "./unet.ts";
import type { VaeNetwork } from "./vae.ts";
import { momentChannels, vaeDecoder, vaeEncoder } from "./vae.ts";

/** Prefix of the token projection's parameters: they share a store with those of CLIP's tower. */
export const IMAGE_PROJ = "image_proj";

/** The parameters of a part, at the top. */
const weightsOf = ({ quantization }: UNetConfig | VaeConfig): WeightScope =>
  new WeightScope("", storageOf(quantization));

/** "pixels" [1, S, S, 3] → "tokens" [1, T, D]. */
export function tokenGraph(clip: ClipConfig, tokenChannels: number, dtype: DType): Graph {
  const g = new GraphBuilder(dtype);
  const pixels = g.input("pixels", [1, clip.imageSize, clip.imageSize, 3]);
  const tower = new WeightScope("", storageOf(clip.quantization));
  const hidden = clipVisionModel(g, tower, pixels, clip);
  g.output("tokens", g.linear(hidden, new WeightScope(IMAGE_PROJ), tokenChannels, true)); // [1, T, D]
  return g.build();
}

/**
 * "image" [1, H, W, 3] → "latents" [1, h, w, L], the posterior's mean and the pixel path's channels times the scaling factor, and
 * "logvar", the posterior's clamped log-variance, which a call with a seed samples with.
 */
export function encoderGraph(vae: VaeConfig, height: number, width: number, dtype: DType): Graph {
  const g = new GraphBuilder(dtype);
  const image = g.input("image", [1, height, width, 3]);
  splitPosterior(g, vaeEncoder(g, weightsOf(vae), image, vae), vae);
  return g.build();
}

/** "moments" [1, h, w, `momentChannels`] → "latents" and "logvar", as in `encoderGraph`. */
export function posteriorGraph(vae: VaeConfig, height: number, width: number, dtype: DType): Graph {
  const g = new GraphBuilder(dtype);
  splitPosterior(g, g.input("moments", [1, height, width, momentChannels(vae)]), vae);
  return g.build();
}

function splitPosterior(
  g: GraphBuilder,
  moments: Value,
  { latentChannels: count, pixelChannels, scalingFactor }: VaeConfig,
): void {
  let sample = g.sliceChannels(moments, 0, count, null, "posterior.mean");
  if (pixelChannels > 0) {
    const pixels = g.sliceChannels(moments, 2 * count, pixelChannels, null, "posterior.pixels");
    sample = g.concat(sample, pixels, "posterior.with_pixels");
  }
  g.output("latents", g.scale(sample, scalingFactor, "posterior.latents"));
  g.output("logvar", g.sliceChannels(moments, count, count, [-30, 20], "posterior.logvar"));
}

/** A network of the VAE or half of one, "x" of `shape` to "y". */
export function vaeGraph(
  network: VaeNetwork,
  vae: VaeConfig,
  dtype: DType,
  shape: readonly number[],
): Graph {
  const g = new GraphBuilder(dtype);
  g.output("y", network(g, weightsOf(vae), g.input("x", shape), vae));
  return g.build();
}

/**
 * "latents" [1, h, w, L] → "metric" [1, h', w', 1], whose mean is the predicted metric (`metricOfMap`). It does not look at the
 * pixel path.
 */
export function memGraph(
  mem: MemConfig,
  vae: VaeConfig,
  height: number,
  width: number,
  dtype: DType,
): Graph {
  const g = new GraphBuilder(dtype);
  let latents = g.input("latents", [1, height, width, sampleChannels(vae)]);
  if (vae.pixelChannels > 0)
    latents = g.sliceChannels(latents, 0, vae.latentChannels, null, "mem.latents");
  g.output("metric", metricMap(g, new WeightScope(), latents, mem));
  return g.build();
}

/**
 * "latents" [N, h, w, L], "timestep" [N, C], "tokens" [1, T, D] → "eps" [N, h, w, L]: N latents, each at a timestep of its own,
 * that see the same tokens.
 */
export function unetGraph(
  unet: UNetConfig,
  height: number,
  width: number,
  tokens: number,
  dtype: DType,
  batch = 1,
): Graph {
  const g = new GraphBuilder(dtype);
  const eps = unet2dConditionModel(
    g,
    weightsOf(unet),
    {
      sample: g.input("latents", [batch, height, width, unet.inChannels]),
      timestepEmbedding: g.input("timestep", [batch, unet.blockOutChannels[0] as number]),
      encoderHiddenStates: g.input("tokens", [1, tokens, unet.crossAttentionDim]),
    },
    unet,
  );
  g.output("eps", eps);
  return g.build();
}

/** "z" [1, h, w, L], already divided by the scaling factor → "image" [1, H, W, 3], not clamped. */
export function decoderGraph(vae: VaeConfig, height: number, width: number, dtype: DType): Graph {
  const g = new GraphBuilder(dtype);
  const z = g.input("z", [1, height, width, sampleChannels(vae)]);
  g.output("image", vaeDecoder(g, weightsOf(vae), z, vae));
  return g.build();
}

/**
 * Coefficients of the one-step formula with the decoder's division folded in (rcod paper Eq. 2; one constant
 * alpha for every timestep): z = p·latents − q·eps, p = 1/(√a·s), q = √(1−a)/(√a·s).
 */
export function oneStepCoefficients(
  { alpha }: RcodConfig,
  { scalingFactor }: VaeConfig,
): { p: number; q: number } {
  const root = Math.sqrt(alpha);
  return { p: 1 / (root * scalingFactor), q: Math.sqrt(1 - alpha) / (root * scalingFactor) };
}
