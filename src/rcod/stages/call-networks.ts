/** The networks of a call: how each is named and built at a size, and which of them a call needs. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Graph } from "../../graph/ir/ir.ts";
import type { Geometry } from "../images/geometry.ts";
import { outputGeometry, paddedGeometry, withResult } from "../images/geometry.ts";
import type { Size } from "../images/result-size.ts";
import { callSizes } from "../images/result-size.ts";
import {
  decoderGraph,
  encoderGraph,
  posteriorGraph,
  tokenGraph,
  unetGraph,
} from "../networks/graphs.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import { clipTokens, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { chooseRegions } from "../tiles/region-choice.ts";
import type { RegionPlan } from "../tiles/region-plan.ts";
import { readRectangle } from "../tiles/region-plan.ts";
import { tileCountOf, unetTiles } from "../tiles/tiling.ts";
import { unetBatch } from "../tiles/unet-batch.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";

/** A network at a size. */
export interface Network {
  /** Its name, and its size where it has several. */
  readonly key: string;
  readonly part: ModelPart;
  readonly build: () => Graph;
}

/** Sides of RCOD_S's working image are multiples of this. */
const RCOD_S_MULTIPLE = 64;

/**
 * All sizes of a call whose networks get an image of `width` × `height`. The result is as large as `target`, by default enlarged
 * ×`upscale`; with `reference` as the released program makes it.
 */
export function callGeometry(
  { rcod, vae, degradation }: ModelConfigs,
  { width, height }: Size,
  reference: boolean,
  target?: Size,
): Geometry {
  const { upscale } = rcod;
  const factor = vaeFactor(vae);
  if (degradation !== null) {
    const multiple = Math.ceil(RCOD_S_MULTIPLE / factor) * factor;
    return withResult(paddedGeometry(width, height, { upscale, multiple, isCut: true }), target);
  }
  const sizes = { upscale, minSide: rcod.minSize, multiple: factor };
  if (reference) return outputGeometry(width, height, { ...sizes, mode: "reference" });
  const exact = { ...sizes, mode: "exact", isCut: true } as const;
  return withResult(outputGeometry(width, height, exact), target);
}

/** How a picture of `input` is computed: all sizes of the whole, and its regions where it has several. `dtype` is the VAE's. */
export function callPlaces(
  configs: ModelConfigs,
  caps: Caps,
  dtype: DType,
  input: Size,
  result: Size,
  options: UpscaleOptions,
): { readonly geometry: Geometry; readonly plan: RegionPlan | null } {
  const geometry = callGeometry(configs, input, options.reference === true, result);
  return { geometry, plan: chooseRegions(configs, caps, dtype, input, geometry, options) };
}

/** Sizes of one of the regions; all are of one size. */
export const regionSizes = (configs: ModelConfigs, plan: RegionPlan): Geometry =>
  callGeometry(configs, readRectangle(plan, { column: 0, row: 0 }), false);

export const tokensNetwork = ({ clip, unet }: ModelConfigs, dtype: DType): Network => ({
  key: "tokens",
  part: "clip",
  build: () => tokenGraph(clip, unet.crossAttentionDim, dtype),
});

/** In image pixels. */
export const encoderNetwork = (
  { vae }: ModelConfigs,
  dtype: DType,
  height: number,
  width: number,
): Network => ({
  key: `encode ${height}x${width}`,
  part: "vae",
  build: () => encoderGraph(vae, height, width, dtype),
});

/** In latents. What the encoder does at last, for moments that were made in tiles. */
export const posteriorNetwork = (
  { vae }: ModelConfigs,
  dtype: DType,
  height: number,
  width: number,
): Network => ({
  key: `encode posterior ${height}x${width}`,
  part: "vae",
  build: () => posteriorGraph(vae, height, width, dtype),
});

/** In latents; for a batch of so many. */
export const unetNetwork = (
  { unet, clip }: ModelConfigs,
  dtype: DType,
  height: number,
  width: number,
  batch: number,
): Network => ({
  key: `unet ${height}x${width}${batch > 1 ? ` x ${batch}` : ""}`,
  part: "unet",
  build: () => unetGraph(unet, height, width, clipTokens(clip), dtype, batch),
});

/** In latents. */
export const decoderNetwork = (
  { vae }: ModelConfigs,
  dtype: DType,
  height: number,
  width: number,
): Network => ({
  key: `decode ${height}x${width}`,
  part: "vae",
  build: () => decoderGraph(vae, height, width, dtype),
});

/**
 * What a call runs in one piece, in order, with the UNet at so many `timesteps`. RCOD_S's estimator and the VAE in tiles are not
 * among it.
 */
export function* callNetworks(
  configs: ModelConfigs,
  dtypeOf: (part: ModelPart) => DType,
  caps: Caps,
  imageWidth: number,
  imageHeight: number,
  options: UpscaleOptions,
  timesteps = 1,
): Generator<Network> {
  const picture = { width: imageWidth, height: imageHeight };
  const { input, result } = callSizes(picture, options, configs.rcod.upscale);
  const places = [caps, dtypeOf("vae"), input, result, options] as const;
  const { geometry, plan } = callPlaces(configs, ...places);
  const { workHeight, workWidth } = plan ? regionSizes(configs, plan) : geometry;
  const { vae } = configs;
  const factor = vaeFactor(vae);
  const [height, width] = [workHeight / factor, workWidth / factor];
  const [clipDType, vaeDType, unetDType] = [dtypeOf("clip"), dtypeOf("vae"), dtypeOf("unet")];
  const isWhole = (kind: "encode" | "decode"): boolean =>
    chooseVaeTile(vae, caps, vaeDType, kind, workHeight, workWidth, options) === null;
  yield tokensNetwork(configs, clipDType);
  if (isWhole("encode")) yield encoderNetwork(configs, vaeDType, workHeight, workWidth);
  const tiles = unetTiles(width, height, configs, options.reference === true);
  const tile = [tiles?.tileHeight ?? height, tiles?.tileWidth ?? width] as const;
  const runs = timesteps * tileCountOf(tiles);
  const batch = unetBatch(configs.unet, caps, unetDType, ...tile, runs, timesteps);
  yield unetNetwork(configs, unetDType, ...tile, batch);
  if (isWhole("decode")) yield decoderNetwork(configs, vaeDType, height, width);
}
