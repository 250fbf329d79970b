/**
 * Statistics of what conv2d or linear stores. The workgroups that hold the values in registers write them, so that the
 * next norm need not read the values again. `tile-statistics-wgsl.ts` has the WGSL.
 *
 * "channels", for a GroupNorm: `stats`, f32, laid out as `Statistics` says, from `statisticsFirst` on. Partial s is that of
 * the s-th tile: for `tiled` and `matrix` a whole tile of rows, for `patch…` a tile of pixels, which at the border counts
 * fewer. Where a map is doubled, the tiles of a phase follow those of the phases before it.
 *
 * "rows", for a LayerNorm, variants `tiled` and `matrix`: `row_stats_out` [rows][outChannels / 64] vec2 f32, mean and M2 of
 * each tile's 64 columns of a row. Takes whole tiles of columns.
 *
 * Each invocation takes the mean and M2 of its own n values of a column or row. One lane merges those of a tile, which all
 * have the same size: M2 = Σ(M2ᵢ + n·(meanᵢ − mean)²). f32, two passes, over the values as they are stored.
 */
import type { Operand } from "../../gpu/wgsl.ts";
import type { PartialCounts } from "../norm/channel-stats.ts";
import { channelStatsByteLength } from "../norm/channel-stats.ts";
import { PATCH_TILE } from "./conv2d-patch.ts";
import type { Epilogue } from "./epilogue.ts";
import { MAX_BINDINGS } from "./epilogue.ts";
import { TILE_COLUMNS, TILE_ROWS } from "./gemm-tiled.ts";
import type { MergedNorm } from "./merged-norm.ts";

/** Whether a variant's workgroups own whole tiles of rows × columns. They can measure them, and normalise their rows. */
export const ownsWholeTiles = (variant: string): boolean =>
  variant === "tiled" || variant === "matrix";

/** Lines and columns of the tiles of pixels that a variant's workgroups own; null where they do not. */
export function patchTile(variant: string): readonly [height: number, width: number] | null {
  if (variant === "matrix-patch-4") return [PATCH_TILE[0] / 2, PATCH_TILE[1]];
  return ["patch", "patch-winograd", "matrix-patch-8"].includes(variant) ? PATCH_TILE : null;
}

/** The rows of one image that a kernel computes, in how many phases of equal size. */
export interface TiledRows {
  readonly rows: number;
  readonly images: number;
  readonly phases: number;
  /** Pixels in a row of the map of a phase; null where rows are not those of a map. */
  readonly width: number | null;
}

/** How the partials of a variant count the pixels; null where it takes no statistics, or none of this map. */
export function tileCounts(
  variant: string,
  { rows, images, phases, width }: TiledRows,
): PartialCounts | null {
  if (images !== 1) return null;
  if (ownsWholeTiles(variant)) {
    const isWhole = rows % (phases * TILE_ROWS) === 0;
    return isWhole ? { partials: rows / TILE_ROWS, pixels: rows, tiles: null } : null;
  }
  const tile = patchTile(variant);
  if (tile === null || width === null) return null;
  const [tileHeight, tileWidth] = tile;
  const height = rows / phases / width;
  const partials = phases * Math.ceil(height / tileHeight) * Math.ceil(width / tileWidth);
  const isWhole = partials * tileHeight * tileWidth === rows;
  const tiles = isWhole ? null : { map: [height, width] as const, tile };
  return { partials, pixels: rows, tiles };
}

/** Partials of the statistics of a row; null where tiles do not divide it. */
export function rowPartials(channels: number): number | null {
  return channels % TILE_COLUMNS === 0 ? channels / TILE_COLUMNS : null;
}

/** Why a variant cannot write the statistics of a problem, or merge those of the norm of x; null where it can. */
export function statisticsRefusal(
  variant: string,
  { epilogue, mergedNorm, outChannels }: StatisticsProblem,
  operands: readonly Operand[],
  tiled: TiledRows,
): string | null {
  const { statistics } = epilogue;
  const isBound = operands.length <= MAX_BINDINGS;
  if (mergedNorm !== null) {
    if (!ownsWholeTiles(variant) && patchTile(variant) === null)
      return `${variant} does not merge the statistics of a norm. Use groupNormAffine`;
    if (!isBound) return "has no binding left for the statistics of a norm. Use groupNormAffine";
  }
  if (statistics === "channels" && tileCounts(variant, tiled) === null) {
    const { rows, images, phases } = tiled;
    return (
      `takes statistics as "tiled" or "matrix" of one image of whole tiles of ${TILE_ROWS} rows, or as "patch" of one image, ` +
      `got "${variant}", ${images} images, ${phases} × ${rows / phases} rows. Use channelStats`
    );
  }
  if (statistics === "rows" && (!ownsWholeTiles(variant) || rowPartials(outChannels) === null)) {
    return (
      `takes statistics of rows as "tiled" of a multiple of ${TILE_COLUMNS} columns, ` +
      `got "${variant}" of ${outChannels}. Use layerNorm`
    );
  }
  if (statistics === "none" || isBound) return null;
  return "has no binding left for statistics. Use channelStats, or layerNorm for rows";
}

interface StatisticsProblem {
  readonly epilogue: Epilogue;
  readonly mergedNorm: MergedNorm | null;
  readonly outChannels: number;
}

/** Bytes of the statistics that an epilogue writes; those of channels as `tiled` writes them, which has the smaller tiles. */
export function epilogueStatisticsByteLength(
  { statistics, channelsPerEntry }: Epilogue,
  { rows }: TiledRows,
  channels: number,
): number {
  if (statistics === "none") return 0;
  if (statistics === "rows") return rowStatisticsByteLength(rows, channels);
  return channelStatsByteLength(1, Math.ceil(rows / TILE_ROWS), channels, channelsPerEntry);
}

/** Bytes of `row_stats_out`. */
export function rowStatisticsByteLength(rows: number, channels: number): number {
  return rows * Math.ceil(channels / TILE_COLUMNS) * 8;
}
