import { describe, expect, it } from "vitest";
import {
  clampOverlap,
  gaussianTileWeights,
  latentTiling,
  tileCount,
  tileStarts,
} from "../../../src/rcod/tiles/tiling.ts";
import { referenceTiles } from "../../../src/rcod/tiles/vae-tiles.ts";
import { imageFixture, tilingFixture } from "../../support/image-fixture.ts";

describe("tileStarts", () => {
  it.each(tilingFixture.axisTable)("n $n, T $T, O $O", ({ n, T, O, starts }) => {
    expect(tileStarts(n, T, O)).toEqual(starts);
    expect(tileCount(n, T, O)).toBe(starts.length);
  });

  it("covers the axis, and the count is the smallest", () => {
    const wrong: string[] = [];
    for (let n = 1; n <= 40; n++) {
      for (let tile = 1; tile <= n; tile++) {
        for (let overlap = 0; overlap < tile; overlap++) {
          const starts = tileStarts(n, tile, overlap);
          const stride = tile - overlap;
          const reach = (count: number) => (count - 1) * stride + tile;
          const isRight =
            starts[0] === 0 &&
            starts.at(-1) === n - tile &&
            starts.every((start, i) => i === 0 || start - (starts[i - 1] as number) <= stride) &&
            reach(starts.length) >= n &&
            (starts.length === 1 || reach(starts.length - 1) < n);
          if (!isRight) wrong.push(`${n} ${tile} ${overlap}: ${starts}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("refuses an overlap as large as the tile, and a tile larger than the axis", () => {
    expect(() => tileStarts(100, 32, 32)).toThrow(
      "overlap must be smaller than the tile, got 32 and 32",
    );
    expect(() => tileStarts(10, 16, 4)).toThrow("tile must be at most the axis, got 16 and 10");
    expect(() => tileCount(NaN, 16, 4)).toThrow("got NaN");
  });
});

describe("latentTiling", () => {
  it.each(tilingFixture.latent)("$name", (c) => {
    const tiling = latentTiling(c.width, c.height, c);
    if (c.effectiveTile === null) expect(tiling).toBeNull();
    else {
      expect(tiling).toEqual({
        tile: c.effectiveTile,
        overlap: c.overlap,
        xStarts: c.xStarts,
        yStarts: c.yStarts,
      });
    }
  });

  it("asks for the area, not for the sides", () => {
    expect(latentTiling(144, 64, { tile: 96, overlap: 32 })).toBeNull();
    expect(latentTiling(96, 96, { tile: 96, overlap: 32 })).toBeNull();
    expect(latentTiling(97, 96, { tile: 96, overlap: 32 })).not.toBeNull();
  });

  it.each([1, 2, 3, 5, 8, 9, 16, 31, 32, 33, 39, 40, 41])(
    "ends and covers for a short side of %i",
    (side) => {
      const tiling = latentTiling(10_000, side, { tile: 96, overlap: 32 });
      expect(tiling).not.toBeNull();
      const { tile, overlap, xStarts, yStarts } = tiling as NonNullable<typeof tiling>;
      expect(tile).toBe(side);
      expect(overlap).toBeLessThan(tile);
      expect(yStarts).toEqual([0]);
      expect(xStarts.length).toBeLessThanOrEqual(Math.ceil(10_000 / Math.min(8, tile - overlap)));
    },
  );

  it("keeps the reference's overlap wherever the stride is at least 8", () => {
    expect(clampOverlap(96, 32)).toBe(32);
    expect(clampOverlap(40, 32)).toBe(32);
    expect(clampOverlap(39, 32)).toBe(31);
    expect(clampOverlap(32, 32)).toBe(24);
    expect(clampOverlap(6, 32)).toBe(2);
    expect(clampOverlap(1, 32)).toBe(0);
  });
});

describe("gaussianTileWeights", () => {
  it.each([7, 12, 16])("T %i equals the reference", (tile) => {
    const expected = imageFixture(`weights_T${tile}/outputs/w`).data;
    const got = gaussianTileWeights(tile);
    got.forEach((w, i) => {
      const e = expected[i] as number;
      // One unit in the last place of f32: the doubles differ in theirs.
      expect(Math.abs(w - e)).toBeLessThanOrEqual(1.2e-7 * e);
    });
  });

  it("T 96 has the published corner, centre and asymmetry", () => {
    const weights = gaussianTileWeights(96);
    const at = (x: number, y: number) => weights[y * 96 + x] as number;
    expect(Math.min(...weights) / 2.863957413444029e-10).toBeCloseTo(1, 6);
    expect(Math.max(...weights) / 15.893922171328748).toBeCloseTo(1, 6);
    expect(at(0, 48)).toBe(at(95, 48));
    expect(at(48, 0) / 3.984015).toBeCloseTo(1.48672e-5, 9);
    expect(at(48, 95) / 3.984015).toBeCloseTo(2.48925e-5, 9);
  });

  it("symmetric maps equal their transpose and mirror image", () => {
    const weights = gaussianTileWeights(9, { symmetric: true });
    for (let y = 0; y < 9; y++) {
      for (let x = 0; x < 9; x++) {
        expect(weights[y * 9 + x]).toBe(weights[x * 9 + y]);
        expect(weights[y * 9 + x]).toBe(weights[(8 - y) * 9 + x]);
      }
    }
  });
});

describe("referenceTiles", () => {
  it.each(tilingFixture.vae)("$name", (c) => {
    const tiles = referenceTiles(c, c.tileSize, c.pad, { kind: c.kind, factor: 8 });
    if (c.inputBoxes === null) {
      expect(tiles.length).toBe(1);
      expect(tiles[0]?.input).toEqual({ x0: 0, x1: c.width, y0: 0, y1: c.height });
    } else {
      const flat = (box: { x0: number; x1: number; y0: number; y1: number }) => [
        box.x0,
        box.x1,
        box.y0,
        box.y1,
      ];
      expect(tiles.map((tile) => flat(tile.input))).toEqual(c.inputBoxes);
      expect(tiles.map((tile) => flat(tile.output))).toEqual(c.outputBoxes);
    }
  });

  it("outputs cover every pixel exactly once, inside what the input reaches", () => {
    for (const [kind, tileSize, pad, step] of [
      ["decode", 224, 11, 1],
      ["decode", 8, 11, 1],
      ["decode", 7, 3, 1],
      ["encode", 1024, 32, 8],
      ["encode", 40, 112, 8],
    ] as const) {
      for (let width = step; width < 400 * step; width += 31 * step) {
        const tiles = referenceTiles({ width, height: 5 * step }, tileSize, pad, {
          kind,
          factor: 8,
        });
        const scale = kind === "decode" ? 8 : 1 / 8;
        let next = 0;
        for (const { input, output } of tiles) {
          expect(output.x0).toBe(next);
          expect(output.x1).toBeGreaterThan(output.x0);
          expect(output.y0).toBe(0);
          expect(output.y1).toBe(5 * step * scale);
          expect(input.x0 * scale).toBeLessThanOrEqual(output.x0);
          expect(input.x1 * scale).toBeGreaterThanOrEqual(output.x1);
          expect(Number.isInteger(output.x1)).toBe(true);
          next = output.x1;
        }
        expect(next).toBe(width * scale);
      }
    }
  });

  it("refuses sizes that do not encode", () => {
    const refused = (width: number, height: number, tile: number, kind: "encode" | "decode") =>
      expect(() => referenceTiles({ width, height }, tile, 32, { kind, factor: 8 }));
    refused(2001, 2000, 1024, "encode").toThrow(
      "vaeTiles: width must be a multiple of 8 to encode, got 2001",
    );
    refused(0, 8, 224, "decode").toThrow("got 0");
  });
});
