/** Whether a device computes a picture as a whole: untiled, or with its VAE in exact tiles. Larger ones are cut into regions. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { growSlots } from "../../graph/memory-plan.ts";
import { planGraph } from "../../graph/plan.ts";
import { vaeGraph } from "../networks/graphs.ts";
import type { VaeNetwork } from "../networks/vae.ts";
import {
  middleChannels,
  vaeDecoderHead,
  vaeDecoderTail,
  vaeEncoderHead,
  vaeEncoderTail,
} from "../networks/vae.ts";
import type { VaeConfig } from "../settings/config.ts";
import { sampleChannels, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { ByDevice } from "./by-device.ts";
import { TILED_WITHOUT, cutsOf, mostWaitingBytes } from "./segments.ts";
import { budgetOf, chooseVaeTile, untiledSlots } from "./vae-tile-choice.ts";
import type { VaeKind } from "./vae-tiles.ts";
import { exactVaeTiles } from "./vae-tiles.ts";

/** Bytes of a pixel in maps of three channels as f32, the largest that there are of a picture besides the VAE's. */
const MAP_PIXEL_BYTES = 16;
/** Bytes of a pixel of the whole picture while the VAE runs: such a map, the colour reference and the result. */
const PICTURE_PIXEL_BYTES = MAP_PIXEL_BYTES + 4 + 4;

const known = new ByDevice<boolean>();

/**
 * Whether a picture whose networks see `workWidth` × `workHeight` pixels fits a device as a whole. `dtype` is the VAE's storage,
 * `budgetBytes` what activations and pictures may take besides the weights and UNet. Plans without running; answers are kept.
 */
export function fitsWhole(
  configs: Pick<ModelConfigs, "vae">,
  caps: Caps,
  dtype: DType,
  workHeight: number,
  workWidth: number,
  budgetBytes: number = budgetOf(caps),
): boolean {
  return known.get(caps, [configs.vae, dtype, workHeight, workWidth, budgetBytes], () => {
    try {
      return plannedFit(configs.vae, caps, dtype, workHeight, workWidth, budgetBytes);
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      return false; // more than a kernel takes at once
    }
  });
}

function plannedFit(
  vae: VaeConfig,
  caps: Caps,
  dtype: DType,
  height: number,
  width: number,
  budgetBytes: number,
): boolean {
  const pixels = height * width;
  const { maxStorageBufferBindingSize, maxBufferSize } = caps.limits;
  const binding = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  if (pixels * MAP_PIXEL_BYTES > binding) return false;
  const left = budgetBytes - pixels * PICTURE_PIXEL_BYTES;
  // The decoder's first block at full resolution needs its input beside what it makes: this rules out most sizes without planning.
  const [narrow = 1, wide = 0] = vae.blockOutChannels;
  if (activationByteLength([height, width, narrow + wide], dtype) > left) return false;
  return (["decode", "encode"] as const).every((kind) => {
    const { slots, others } = vaeUse(vae, caps, dtype, kind, height, width, {});
    const bytes = slots.reduce((sum, slot) => sum + slot, others);
    return Math.max(...slots) <= binding && bytes <= left;
  });
}

/** Bytes that a pass of the VAE takes: of its slots, and of all else. */
export interface VaeUse {
  readonly slots: readonly number[];
  readonly others: number;
}

/** What a pass over a picture of this size takes on a device. */
export function vaeUse(
  vae: VaeConfig,
  caps: Caps,
  dtype: DType,
  kind: VaeKind,
  height: number,
  width: number,
  options: Pick<UpscaleOptions, "tile" | "reference">,
): VaeUse {
  const tileSize = chooseVaeTile(vae, caps, dtype, kind, height, width, options);
  return tileSize === null
    ? { slots: untiledSlots(vae, caps, dtype, kind, height, width), others: 0 }
    : tiledUse(vae, caps, dtype, kind, height, width, tileSize);
}

function tiledUse(
  vae: VaeConfig,
  caps: Caps,
  dtype: DType,
  kind: VaeKind,
  height: number,
  width: number,
  tileSize: number,
): VaeUse {
  const factor = vaeFactor(vae);
  const [latentHeight, latentWidth] = [height / factor, width / factor];
  const middle = [1, latentHeight, latentWidth, middleChannels(vae, kind)];
  const isEncode = kind === "encode";
  const map = isEncode ? { height, width } : { height: latentHeight, width: latentWidth };
  const tiles = exactVaeTiles(vae, kind, map, tileSize);
  const side = (from: "x0" | "y0", to: "x1" | "y1"): number =>
    Math.max(...tiles.map(({ input }) => input[to] - input[from]));
  const plan = (
    network: VaeNetwork,
    shape: readonly number[],
    without: typeof TILED_WITHOUT | [] = [],
  ) => planGraph(vaeGraph(network, vae, dtype, shape), caps, { without, countsFaults: true });
  const largest = [1, side("y0", "y1"), side("x0", "x1"), isEncode ? 3 : (middle[3] as number)];
  const tile = plan(isEncode ? vaeEncoderHead : vaeDecoderTail, largest, TILED_WITHOUT);
  const whole = isEncode
    ? plan(vaeEncoderTail, middle)
    : plan(vaeDecoderHead, [1, latentHeight, latentWidth, sampleChannels(vae)]);
  // Programs that run one after another share slots.
  const slots = [...tile.memory.slotByteLengths];
  growSlots(slots, whole.memory.slotByteLengths);
  const others = mostWaitingBytes(cutsOf(tile), tiles) + activationByteLength(middle, dtype);
  return { slots, others };
}
