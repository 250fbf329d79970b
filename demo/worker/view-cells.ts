/** Which tiles of some layers are seen where: the rectangles of the canvas that one tile of each covers. */
import type { Mat3 } from "wgpu-matrix";
import { mat3 } from "wgpu-matrix";
import { transform } from "../view-transform.ts";
import type { Tiling } from "./layer.ts";

/** In whole pixels of the canvas, and columns and rows of tiles. */
export interface ViewCell {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Of each layer, in their order. */
  readonly tiles: readonly (readonly [column: number, row: number])[];
}

interface Span {
  readonly from: number;
  readonly to: number;
  /** Of each layer: its column or row. */
  readonly tiles: readonly number[];
}

/** Each layer shows the whole picture, whatever its own size. Side by side the second half shows it again. */
export function viewCells(
  layers: readonly Tiling[],
  {
    toPicture,
    pictureSize,
    canvas: [width, height],
    isTwice,
  }: {
    readonly toPicture: Mat3;
    readonly pictureSize: readonly [number, number];
    readonly canvas: readonly [width: number, height: number];
    readonly isTwice: boolean;
  },
): ViewCell[] {
  const toCanvas = mat3.inverse(toPicture);
  const [x0, y0] = transform([0, 0], toCanvas);
  const [x1, y1] = transform(pictureSize, toCanvas);
  const half = isTwice ? width / 2 : width;
  // The shader asks for the middle of a pixel which half it is in.
  const edge = Math.ceil(half - 0.5);
  const ofRows = layers.map((layer) => layer.rows);
  const ofColumns = layers.map((layer) => layer.columns);
  const rows = spansOf(ofRows, [y0, y1], [0, height]);
  const columns = spansOf(ofColumns, [x0, x1], [0, edge]);
  if (isTwice) columns.push(...spansOf(ofColumns, [x0 + half, x1 + half], [edge, width]));
  return rows.flatMap((row) =>
    columns.map((column) => ({
      x: column.from,
      y: row.from,
      width: column.to - column.from,
      height: row.to - row.from,
      tiles: column.tiles.map((tile, i) => [tile, row.tiles[i] as number] as const),
    })),
  );
}

/** Along one axis: `place` is where the picture begins and ends on the canvas, `shown` what of the canvas it may cover. */
function spansOf(
  cutsOfLayers: readonly (readonly number[])[],
  place: readonly [number, number],
  shown: readonly [number, number],
): Span[] {
  const shares = cutsOfLayers.map((cuts) => cuts.map((cut) => cut / (cuts.at(-1) ?? 1)));
  const edges = [...new Set(shares.flat())].toSorted((a, b) => a - b);
  const onCanvas = (share: number): number => {
    const at = Math.round(place[0] + share * (place[1] - place[0]));
    return Math.min(shown[1], Math.max(shown[0], at));
  };
  return edges.slice(1).flatMap((end, i) => {
    const begin = edges[i] as number;
    const [from, to] = [onCanvas(begin), onCanvas(end)];
    if (to <= from) return [];
    const middle = (begin + end) / 2;
    return [{ from, to, tiles: shares.map((cuts) => cuts.findLastIndex((c) => c < middle)) }];
  });
}
