/** What the pipeline does for a call with `inspect`. */
import { ShapeError } from "../../gpu/shape.ts";
import type { Geometry } from "../images/geometry.ts";
import type { Inspector } from "../inspect/inspector.ts";
import { NETWORK_STAGES } from "../inspect/stage-modules.ts";
import { clipTokens, sampleChannels, vaeFactor } from "../settings/config.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { unetTiles } from "../tiles/tiling.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import type { Encoded, StageContext } from "./context.ts";
import { dtypeOf } from "./context.ts";

/** Throws `ShapeError` where a requested module belongs to a stage that will run in tiles. */
export function checkWhole(
  context: StageContext,
  inspector: Inspector,
  { workWidth, workHeight }: Geometry,
  options: UpscaleOptions,
): void {
  const { gpu, configs } = context;
  const { vae } = configs;
  const isReference = options.reference === true;
  const factor = vaeFactor(vae);
  const vaeTile = (kind: "encode" | "decode"): number | null =>
    chooseVaeTile(vae, gpu.caps, dtypeOf(context, "vae"), kind, workHeight, workWidth, options);
  const isTiled = {
    tokens: () => false,
    encode: () => vaeTile("encode") !== null,
    unet: () => unetTiles(workWidth / factor, workHeight / factor, configs, isReference) !== null,
    decode: () => vaeTile("decode") !== null,
  };
  const tiled = NETWORK_STAGES.find((stage) => inspector.looksInto([stage]) && isTiled[stage]());
  if (tiled === undefined) return;
  throw new ShapeError(
    `inspect: modules of "${tiled}" can be captured where it runs in one piece; at ${workWidth}×${workHeight} ` +
      "it runs in tiles. Use a smaller image",
  );
}

/** Reads tokens and latents, where they are requested. */
export async function collectEncoded(
  { gpu, configs }: StageContext,
  inspector: Inspector,
  { tokens, latents, latentHeight, latentWidth, storage }: Encoded,
): Promise<void> {
  const { clip, unet, vae } = configs;
  const tokenShape = [1, clipTokens(clip), unet.crossAttentionDim];
  await inspector.collectValue(gpu, "tokens", tokens, tokenShape, storage.tokens);
  const latentShape = [1, latentHeight, latentWidth, sampleChannels(vae)];
  await inspector.collectValue(gpu, "latents", latents, latentShape, storage.latents);
}
