/** Where the UNet's tiles of a latent map lie (`latentTiling`), and the Gaussian weights that blend them. Pure numbers. */
import { ShapeError } from "../../gpu/shape.ts";
import type { RcodConfig } from "../settings/config.ts";

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

/** Variance of the Gaussian in units of the tile side squared. */
const TILE_VARIANCE = 0.01;

/**
 * Weights [T, T] of a tile, row-major: products of two Gaussians, computed in doubles. The reference centres
 * x at (T − 1)/2 but y at T/2; `symmetric` centres both at (T − 1)/2.
 */
export function gaussianTileWeights(
  tile: number,
  options: { readonly symmetric?: boolean } = {},
): Float32Array<ArrayBuffer> {
  checkIntegers("tiling", { tile }, 1);
  const across = gaussian(tile, (tile - 1) / 2);
  const down = gaussian(tile, options.symmetric ? (tile - 1) / 2 : tile / 2);
  const weights = new Float32Array(tile * tile);
  for (let y = 0; y < tile; y++) {
    for (let x = 0; x < tile; x++) {
      weights[y * tile + x] = (down[y] as number) * (across[x] as number);
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
