/** Tiles on the stage: every canvas pixel of the picture is drawn once, from the tiles that hold its place. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Point } from "../../demo/view-transform.ts";
import { toPicture, transform } from "../../demo/view-transform.ts";
import type { Tiling } from "../../demo/worker/layer.ts";
import { viewCells } from "../../demo/worker/view-cells.ts";

/** Even cuts, as layers have them. */
const tiling = (width: number, height: number, columns: number, rows: number): Tiling => ({
  width,
  height,
  columns: Array.from({ length: columns + 1 }, (_, i) => Math.round((i * width) / columns)),
  rows: Array.from({ length: rows + 1 }, (_, i) => Math.round((i * height) / rows)),
});

const CANVAS = [61, 40] as const;

/** Whether a tile of a layer that shows 400×300 pixels has a place of them, or nearly so. */
function holds(
  { width, height, columns, rows }: Tiling,
  [column, row]: readonly [number, number],
  [u, v]: Point,
  slack: number,
): boolean {
  const isWithin = (at: number, from: number, to: number): boolean =>
    at > from - slack && at < to + slack;
  const [across, down] = [400 / width, 300 / height];
  return (
    isWithin(u, columns[column]! * across, columns[column + 1]! * across) &&
    isWithin(v, rows[row]! * down, rows[row + 1]! * down)
  );
}

describe("cells of the view", () => {
  const views = fc.record({
    scale: fc.double({ min: 0.03, max: 20, noNaN: true }),
    centre: fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 300 })),
    isTwice: fc.boolean(),
  });

  it("cover the picture once, each from its tiles", () => {
    const pictureSize = [400, 300] as const;
    const layers = [tiling(100, 75, 3, 1), tiling(400, 300, 5, 4), tiling(400, 300, 2, 3)];
    fc.assert(
      fc.property(views, ({ scale, centre, isTwice }) => {
        const [width, height] = CANVAS;
        const half = isTwice ? width / 2 : width;
        const matrix = toPicture({ width: half, height, scale, centre });
        const view = { toPicture: matrix, pictureSize, canvas: CANVAS, isTwice };
        const cells = viewCells(layers, view);
        const wrong: string[] = [];
        for (let y = 0; y < height; y += 3) {
          for (let x = 0; x < width; x++) {
            const local = isTwice && x + 0.5 >= half ? x + 0.5 - half : x + 0.5;
            const place = transform([local, y + 0.5], matrix);
            const here = cells.filter(
              (cell) =>
                x >= cell.x && x < cell.x + cell.width && y >= cell.y && y < cell.y + cell.height,
            );
            // Edges are rounded to canvas pixels: a place nearer to one may be on either side.
            const slack = 1.01 / scale;
            const isInside = place.every(
              (at, axis) => at > slack && at < (pictureSize[axis] as number) - slack,
            );
            const isRight = here.every(({ tiles }) =>
              layers.every((layer, i) => holds(layer, tiles[i]!, place, slack)),
            );
            const isOnce = isInside ? here.length === 1 : here.length <= 1;
            if (!isOnce || (isInside && !isRight)) wrong.push(`${x},${y}: ${here.length} cells`);
          }
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  it("are none where the picture is out of view", () => {
    const one = tiling(10, 10, 1, 1);
    const matrix = toPicture({ width: 61, height: 40, scale: 1, centre: [500, 500] });
    const view = {
      toPicture: matrix,
      pictureSize: [10, 10],
      canvas: CANVAS,
      isTwice: false,
    } as const;
    expect(viewCells([one, one], view)).toEqual([]);
  });
});
