/**
 * Per-channel statistics of what conv2d or linear stores, written by the workgroups that hold it in registers:
 * `stats` as `channelStats` writes it, without reading the map again. Variant `tiled` only, and whole tiles: split s
 * is the s-th tile of rows, behind those of the earlier phases when a map is doubled.
 *
 * Each invocation takes the mean and M2 of its four rows; one lane a column merges the 16 of a tile, all of the same
 * size: M2 = Σ(M2ᵢ + 4·(meanᵢ − mean)²). f32, two passes, of values before their rounding to the storage dtype.
 */
import { ShapeError } from "../gpu/shape.ts";
import type { Operand } from "../gpu/wgsl.ts";
import { channelStatsByteLength } from "./channel-stats.ts";
import { TILE_ROWS } from "./gemm-tiled.ts";
import { writes } from "./kernel.ts";

/** The rows of one image that a kernel computes, in how many phases of equal size. */
export interface TiledRows {
  readonly rows: number;
  readonly images: number;
  readonly phases: number;
}

/** How many splits the statistics have, or null where tiles do not divide the map. */
export function tileSplits({ rows, images, phases }: TiledRows): number | null {
  const isWhole = images === 1 && rows % (phases * TILE_ROWS) === 0;
  return isWhole ? rows / TILE_ROWS : null;
}

/** Throws `ShapeError` for a variant or a map that gives no statistics. */
export function checkStatistics(name: string, variant: string, tiled: TiledRows): void {
  if (variant === "tiled" && tileSplits(tiled) !== null) return;
  throw new ShapeError(
    `${name}: takes statistics as "tiled" of one image of whole tiles of ${TILE_ROWS} rows, ` +
      `got "${variant}", ${tiled.images} images, ${tiled.rows} rows. Use channelStats`,
  );
}

/** Bytes of the operand. */
export function tileStatisticsByteLength({ rows }: TiledRows, channels: number): number {
  return channelStatsByteLength(1, rows / TILE_ROWS, channels);
}

/** The operand, behind `y`. */
export const statisticsOperand: Operand = writes("stats", "vec4<f32>");
