/**
 * Where the UNet's tiles of a latent map lie: as in the released code (`latentTiling`) and balanced (`unetTiles`), and the
 * Gaussian weights that blend them. Pure numbers.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { RcodConfig, UNetConfig } from "../settings/config.ts";

/** Throws `ShapeError` unless all values are integers from `minimum` on. */
export function checkIntegers(
  op: string,
  values: Readonly<Record<string, number>>,
  minimum: number,
): void {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw new ShapeError(`${op}: ${name} must be an integer ≥ ${minimum}, got ${value}`);
    }
  }
}

/** Smallest m ≥ 1 with (m − 1)(T − O) + T ≥ n. */
export function tileCount(axisLength: number, tile: number, overlap: number): number {
  checkIntegers("tiling", { axisLength, tile }, 1);
  checkIntegers("tiling", { overlap }, 0);
  if (overlap >= tile) {
    throw new ShapeError(
      `tiling: overlap must be smaller than the tile, got ${overlap} and ${tile}. Use clampOverlap`,
    );
  }
  return Math.max(1, Math.ceil((axisLength - overlap) / (tile - overlap)));
}

/** First positions of the tiles of an axis, ascending; the last tile is moved back to end at the axis' end. */
export function tileStarts(axisLength: number, tile: number, overlap: number): readonly number[] {
  const count = tileCount(axisLength, tile, overlap);
  if (tile > axisLength) {
    throw new ShapeError(`tiling: tile must be at most the axis, got ${tile} and ${axisLength}`);
  }
  return Array.from({ length: count }, (_, k) =>
    k === count - 1 ? axisLength - tile : k * (tile - overlap),
  );
}

/** Smallest useful step between tiles, in latent pixels. */
const LEAST_STRIDE = 8;

/**
 * The overlap to use with a tile: `overlap` itself where it leaves a stride of at least 8, else the larger of
 * tile − 8 and tile/3, so that the stride stays positive. (The reference loops forever at a tile ≤ overlap.)
 */
export function clampOverlap(tile: number, overlap: number): number {
  checkIntegers("tiling", { tile }, 1);
  checkIntegers("tiling", { overlap }, 0);
  if (tile - overlap >= LEAST_STRIDE) return overlap;
  return Math.min(overlap, Math.max(tile - LEAST_STRIDE, Math.floor(tile / 3)));
}

/** Tiles of a latent map: squares of side `tile` at every (x, y) of `xStarts` × `yStarts`. */
export interface LatentTiling {
  readonly tile: number;
  readonly overlap: number;
  readonly xStarts: readonly number[];
  readonly yStarts: readonly number[];
}

/**
 * The tiling of a latent map, or null where it is processed whole: tiles are used only when its *area*
 * exceeds tile², so 64 × 144 stays whole at 96. The tile shrinks to the shorter side.
 */
export function latentTiling(
  width: number,
  height: number,
  { tile, overlap }: RcodConfig["latentTiles"],
): LatentTiling | null {
  checkIntegers("tiling", { width, height, tile }, 1);
  checkIntegers("tiling", { overlap }, 0);
  if (width * height <= tile * tile) return null;
  const side = Math.min(tile, width, height);
  const used = clampOverlap(side, overlap);
  return {
    tile: side,
    overlap: used,
    xStarts: tileStarts(width, side, used),
    yStarts: tileStarts(height, side, used),
  };
}

/** Equal rectangles at every (x, y) of `xStarts` × `yStarts`. */
export interface UNetTiles {
  readonly tileWidth: number;
  readonly tileHeight: number;
  readonly xStarts: readonly number[];
  readonly yStarts: readonly number[];
}

/**
 * The UNet's tiles of a latent map, or null where it is processed whole, which is up to the same area as in `latentTiling`.
 * Each axis has as many tiles as `latent_tile` needs there, and they are no longer than it takes: 128 at tile 96 and overlap
 * 32 are two of 80. Sides are multiples of the UNet's own factor where these fit, starts spread evenly, overlaps as
 * configured or wider. With `reference` they are the released code's squares.
 */
export function unetTiles(
  width: number,
  height: number,
  { rcod, unet }: { readonly rcod: RcodConfig; readonly unet: UNetConfig },
  reference: boolean,
): UNetTiles | null {
  const squares = latentTiling(width, height, rcod.latentTiles);
  if (squares === null) return null;
  const { tile, xStarts, yStarts } = squares;
  if (reference) return { tileWidth: tile, tileHeight: tile, xStarts, yStarts };
  const multiple = 2 ** (unet.blockOutChannels.length - 1);
  const across = balancedAxis(width, rcod.latentTiles, multiple);
  const down = balancedAxis(height, rcod.latentTiles, multiple);
  return {
    tileWidth: across.side,
    tileHeight: down.side,
    xStarts: across.starts,
    yStarts: down.starts,
  };
}

/** Tiles of a map; null is a map that is processed whole. */
export const tileCountOf = (tiles: UNetTiles | null): number =>
  tiles ? tiles.xStarts.length * tiles.yStarts.length : 1;

/** Latents that all tiles have together, overlaps counted as often as they are computed. */
export function tiledArea(tiles: UNetTiles): number {
  return tiles.tileWidth * tiles.tileHeight * tileCountOf(tiles);
}

/** The shortest tiles that cover an axis in the same number and with the same overlap as those of side `tile`. */
function balancedAxis(
  axisLength: number,
  { tile, overlap }: RcodConfig["latentTiles"],
  multiple: number,
): { readonly side: number; readonly starts: readonly number[] } {
  if (axisLength <= tile) return { side: axisLength, starts: [0] };
  const used = clampOverlap(tile, overlap);
  const count = tileCount(axisLength, tile, used);
  const least = Math.ceil((axisLength + (count - 1) * used) / count);
  const side = Math.min(tile, Math.ceil(least / multiple) * multiple);
  const step = (axisLength - side) / (count - 1);
  return { side, starts: Array.from({ length: count }, (_, k) => Math.round(k * step)) };
}

/** Variance of the Gaussian in units of the tile side squared. */
const TILE_VARIANCE = 0.01;

/**
 * Weights [height, width] of a tile, row-major, square unless `height` is given: products of two Gaussians, computed in
 * doubles. The reference centres x at (T − 1)/2 but y at T/2; `symmetric` centres both at (T − 1)/2.
 */
export function gaussianTileWeights(
  width: number,
  {
    symmetric = false,
    height = width,
  }: { readonly symmetric?: boolean; readonly height?: number } = {},
): Float32Array<ArrayBuffer> {
  checkIntegers("tiling", { width, height }, 1);
  const across = gaussian(width, (width - 1) / 2);
  const down = gaussian(height, symmetric ? (height - 1) / 2 : height / 2);
  const weights = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      weights[y * width + x] = (down[y] as number) * (across[x] as number);
    }
  }
  return weights;
}

function gaussian(tile: number, centre: number): Float64Array {
  const twiceVariance = 2 * TILE_VARIANCE;
  return Float64Array.from(
    { length: tile },
    (_, i) =>
      Math.exp(-((i - centre) * (i - centre)) / (tile * tile) / twiceVariance) /
      Math.sqrt(twiceVariance * Math.PI),
  );
}

/** A half-open rectangle. */
export interface Box {
  readonly x0: number;
  readonly x1: number;
  readonly y0: number;
  readonly y1: number;
}
