/** Whether the VAE runs in one pass or in tiles, and how large they are. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { planGraph } from "../../graph/plan.ts";
import { decoderGraph, encoderGraph } from "../networks/graphs.ts";
import type { VaeConfig } from "../settings/config.ts";
import { vaeFactor } from "../settings/config.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { ByDevice } from "./by-device.ts";
import type { VaeKind } from "./vae-tiles.ts";
import { REFERENCE_PAD, vaeReach } from "./vae-tiles.ts";

/** VAE tiles of the released program, in input pixels of encoder and decoder. */
const REFERENCE_VAE_TILE = { encode: 1024, decode: 224 } as const;
/**
 * Core sides of automatic VAE tiles in output pixels; the first that fits is taken. At 512, margins are a small share.
 * With 128 MiB bindings the full model takes 256, because margins nearly double a tile of 512.
 */
const AUTO_VAE_TILES = [512, 256, 128, 64] as const;
/** Where nobody says what a call may take. */
const DEFAULT_BUDGET_BYTES = 2 * 1024 ** 3;

/** Device bytes for activations and pictures. A pass that takes more is tiled, even where every binding would fit. */
export const budgetOf = ({ memoryBudget = DEFAULT_BUDGET_BYTES }: Caps): number => memoryBudget;

/** Slots of untiled passes. Planning one takes as long as a frame. */
const planned = new ByDevice<readonly number[]>();

/** Bytes of the slots of an untiled pass over a picture of this size. */
export function untiledSlots(
  vae: VaeConfig,
  caps: Caps,
  dtype: DType,
  kind: VaeKind,
  height: number,
  width: number,
): readonly number[] {
  return planned.get(caps, [vae, dtype, kind, height, width], () => {
    const factor = vaeFactor(vae);
    const graph =
      kind === "encode"
        ? encoderGraph(vae, height, width, dtype)
        : decoderGraph(vae, height / factor, width / factor, dtype);
    return planGraph(graph, caps).memory.slotByteLengths;
  });
}

/** Tile side in the VAE's input pixels, or null for an untiled pass. */
export function chooseVaeTile(
  vae: VaeConfig,
  caps: Caps,
  dtype: DType,
  kind: VaeKind,
  height: number,
  width: number,
  options: UpscaleOptions,
): number | null {
  const factor = vaeFactor(vae);
  const toInput = (pixels: number): number =>
    kind === "encode" ? pixels : Math.ceil(pixels / factor);
  if (options.tile !== undefined) {
    const side = Math.ceil(options.tile / factor) * factor;
    return Math.max(height, width) > side ? toInput(side) : null;
  }
  if (options.reference) {
    // The hook's own rule: untiled up to tile + 2 · margin.
    const size = REFERENCE_VAE_TILE[kind];
    const most = size + 2 * REFERENCE_PAD[kind];
    return Math.max(toInput(height), toInput(width)) > most ? size : null;
  }
  const { limits } = caps;
  const binding = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  // The widest map is at full resolution: its bytes rule out most sizes without planning.
  const widest = vae.blockOutChannels[kind === "decode" ? 1 : 0] ?? vae.blockOutChannels[0] ?? 1;
  /** Whether an untiled pass stays within the bindings and the budget. */
  const fits = (h: number, w: number): boolean => {
    if (activationByteLength([h, w, widest], dtype) > binding) return false;
    const slots = untiledSlots(vae, caps, dtype, kind, h, w);
    const bytes = slots.reduce((sum, slot) => sum + slot, 0);
    return bytes <= budgetOf(caps) && Math.max(...slots) <= binding;
  };
  if (fits(height, width)) return null;
  const reach = vaeReach(vae, kind);
  const margin = kind === "decode" ? reach * factor : Math.ceil(reach / factor) * factor;
  const tileFits = (side: number): boolean => fits(side + 2 * margin, side + 2 * margin);
  return toInput(AUTO_VAE_TILES.find(tileFits) ?? AUTO_VAE_TILES[3]);
}
