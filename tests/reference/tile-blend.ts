/** Weighted mean of overlapping tiles, in doubles. */
export interface Tile {
  readonly x0: number;
  readonly y0: number;
  readonly values: ArrayLike<number>;
}

/** `values` and the result are [y, x, channel]; weights [y, x] belong to every tile. */
export function blendTiles(
  [width, height, channels]: readonly [number, number, number],
  [tileWidth, tileHeight]: readonly [number, number],
  weights: ArrayLike<number>,
  tiles: readonly Tile[],
): number[] {
  const sums = Array.from({ length: width * height * channels }, () => 0);
  const totals = Array.from({ length: width * height }, () => 0);
  for (const { x0, y0, values } of tiles) {
    for (let y = 0; y < tileHeight; y++) {
      for (let x = 0; x < tileWidth; x++) {
        const weight = weights[y * tileWidth + x] as number;
        const at = (y0 + y) * width + x0 + x;
        totals[at] = (totals[at] as number) + weight;
        for (let c = 0; c < channels; c++) {
          const value = values[(y * tileWidth + x) * channels + c] as number;
          sums[at * channels + c] = (sums[at * channels + c] as number) + weight * value;
        }
      }
    }
  }
  return sums.map((sum, i) => sum / (totals[Math.floor(i / channels)] as number));
}
