/**
 * Statistics of what conv2d or linear stores, written by the workgroups that hold it in registers, so that the next
 * norm need not read it for them.
 *
 * "channels", for a GroupNorm: `stats` f32 as `Statistics` says, from `statisticsFirst` on. Split s is the s-th tile, behind those of the
 * earlier phases when a map is doubled: of `tiled` and `matrix` whole tiles of rows, of `patch` tiles of pixels, which
 * at the border may count fewer.
 *
 * "rows", for a LayerNorm, variants `tiled` and `matrix`: `row_stats_out` [rows][outChannels / 64] vec2 f32, mean and M2 of each
 * tile's 64 columns of a row. Whole tiles of columns.
 *
 * Each invocation takes the mean and M2 of its own n values of a column or row; one lane merges those of a tile, all
 * of the same size (of a patch: those within the map): M2 = Σ(M2ᵢ + n·(meanᵢ − mean)²). f32, two passes, of the values as they are stored.
 */
import type { Operand } from "../../gpu/wgsl.ts";
import { reads, writes } from "../kernel.ts";
import type { PartialCounts, ChannelsPerEntry } from "../norm/channel-stats.ts";
import { channelStatsByteLength } from "../norm/channel-stats.ts";
import { PATCH_TILE } from "./conv2d-patch.ts";
import { MAX_BINDINGS } from "./epilogue.ts";
import type { TileStatistics } from "./gemm-tiled.ts";
import { TILE_COLUMNS, TILE_ROWS } from "./gemm-tiled.ts";
import type { MergedNorm } from "./merged-norm.ts";

/** Whether a variant finishes whole tiles: it can measure them, and a row is staged by one lane, that can normalise it. */
export const ownsWholeTiles = (variant: string): boolean =>
  variant === "tiled" || variant === "matrix";

/** The rows of one image that a kernel computes, in how many phases of equal size. */
export interface TiledRows {
  readonly rows: number;
  readonly images: number;
  readonly phases: number;
  /** Pixels in a row of the map of a phase; null where rows are not those of a map. */
  readonly width: number | null;
}

/** How many partials the statistics of a variant have, or null where it takes none, or none of this map. */
export function tileSplits(
  variant: string,
  { rows, images, phases, width }: TiledRows,
): number | null {
  if (images !== 1) return null;
  if (ownsWholeTiles(variant)) return rows % (phases * TILE_ROWS) === 0 ? rows / TILE_ROWS : null;
  if (variant !== "patch" || width === null) return null;
  const [tileHeight, tileWidth] = PATCH_TILE;
  return phases * Math.ceil(rows / phases / width / tileHeight) * Math.ceil(width / tileWidth);
}

/** How those partials count the pixels: strips of one size, or tiles of which some are smaller. */
export function tileCounts(variant: string, tiled: TiledRows): PartialCounts | null {
  const partials = tileSplits(variant, tiled);
  if (partials === null) return null;
  const { rows, phases, width } = tiled;
  const area = PATCH_TILE[0] * PATCH_TILE[1];
  const isWhole = variant !== "patch" || width === null || partials * area === rows;
  const tiles = isWhole ? null : { map: [rows / phases / width, width] as const, tile: PATCH_TILE };
  return { partials, pixels: rows, tiles };
}

/** Why a variant or a map gives no statistics of channels; null where it does. */
export function statisticsRefusal(variant: string, tiled: TiledRows): string | null {
  if (tileSplits(variant, tiled) !== null) return null;
  const { rows, images, phases } = tiled;
  return (
    `takes statistics as "tiled" or "matrix" of one image of whole tiles of ${TILE_ROWS} rows, or as "patch" of one image, ` +
    `got "${variant}", ${images} images, ${phases} × ${rows / phases} rows. Use channelStats`
  );
}

/** The refusal of a layer whose operands take all bindings. */
export const NO_BINDING_FOR_STATISTICS =
  "has no binding left for statistics. Use channelStats, or layerNorm for rows";

/** Bytes of `stats` as `tiled` writes them, which has the smaller tiles. */
export function tileStatisticsByteLength(
  { rows }: TiledRows,
  channels: number,
  channelsPerEntry: ChannelsPerEntry,
): number {
  return channelStatsByteLength(1, Math.ceil(rows / TILE_ROWS), channels, channelsPerEntry);
}

/** How many parts the statistics of a row have, or null where tiles do not divide it. */
export function rowParts(channels: number): number | null {
  return channels % TILE_COLUMNS === 0 ? channels / TILE_COLUMNS : null;
}

/** Bytes of `row_stats_out`. */
export function rowStatisticsByteLength(rows: number, channels: number): number {
  return rows * Math.ceil(channels / TILE_COLUMNS) * 8;
}

/** The operands, behind `y`: what is written, and the statistics that are merged on load; of channels in one buffer. */
export function statisticsOperands(statistics: TileStatistics, isMerging: boolean): Operand[] {
  return [
    ...(statistics === "channels"
      ? [writes("stats", "f32")]
      : isMerging
        ? [reads("stats", "f32")]
        : []),
    ...(statistics === "rows" ? [writes("row_stats_out", "vec2<f32>")] : []),
  ];
}

/** Why a variant cannot merge the statistics of a norm of x; null where it can or need not. */
export function mergedNormVariantRefusal(
  variant: string,
  norm: MergedNorm | null,
  operands: readonly Operand[],
): string | null {
  if (norm === null) return null;
  if (!ownsWholeTiles(variant) && variant !== "patch")
    return `${variant} does not merge the statistics of a norm. Use groupNormAffine`;
  if (operands.length <= MAX_BINDINGS) return null;
  return `has no binding left for the statistics of a norm. Use groupNormAffine`;
}
