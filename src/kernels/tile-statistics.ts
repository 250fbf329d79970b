/**
 * Statistics of what conv2d or linear stores, written by the workgroups that hold it in registers, so that the next
 * norm need not read it for them. Variants `tiled` and `matrix` only.
 *
 * "channels", for a GroupNorm: `stats` as `channelStats` writes it. Whole tiles of rows: split s is the s-th of them,
 * behind those of the earlier phases when a map is doubled. "rows", for a LayerNorm: `row_stats_out`
 * [rows][outChannels / 64] vec2 f32, mean and M2 of each tile's 64 columns of a row. Whole tiles of columns.
 *
 * Each invocation takes the mean and M2 of its own n values of a column or row; one lane merges those of a tile, all
 * of the same size: M2 = Σ(M2ᵢ + n·(meanᵢ − mean)²). f32, two passes, of the values as they are stored.
 */
import type { Operand } from "../gpu/wgsl.ts";
import { channelStatsByteLength } from "./channel-stats.ts";
import type { TileStatistics } from "./gemm-tiled.ts";
import { TILE_COLUMNS, TILE_ROWS } from "./gemm-tiled.ts";
import { writes } from "./kernel.ts";

/** Whether a variant finishes whole tiles: it can measure them, and a row is staged by one lane, that can normalise it. */
export const finishesTiles = (variant: string): boolean =>
  variant === "tiled" || variant === "matrix";

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

/** Why a variant or a map gives no statistics of channels; null where it does. */
export function statisticsRefusal(variant: string, tiled: TiledRows): string | null {
  if (finishesTiles(variant) && tileSplits(tiled) !== null) return null;
  return (
    `takes statistics as "tiled" of one image of whole tiles of ${TILE_ROWS} rows, ` +
    `got "${variant}", ${tiled.images} images, ${tiled.rows} rows. Use channelStats`
  );
}

/** The refusal of a layer whose operands take all bindings. */
export const NO_BINDING_FOR_STATISTICS =
  "has no binding left for statistics. Use channelStats, or layerNorm for rows";

/** Bytes of `stats`. */
export function tileStatisticsByteLength({ rows }: TiledRows, channels: number): number {
  return channelStatsByteLength(1, rows / TILE_ROWS, channels);
}

/** How many parts the statistics of a row have, or null where tiles do not divide it. */
export function rowParts(channels: number): number | null {
  return channels % TILE_COLUMNS === 0 ? channels / TILE_COLUMNS : null;
}

/** Bytes of `row_stats_out`. */
export function rowStatisticsByteLength(rows: number, channels: number): number {
  return rows * Math.ceil(channels / TILE_COLUMNS) * 8;
}

/** The operand, behind `y`. */
export function statisticsOperands(statistics: TileStatistics): Operand[] {
  if (statistics === "none") return [];
  return [
    statistics === "channels" ? writes("stats", "vec4<f32>") : writes("row_stats_out", "vec2<f32>"),
  ];
}
