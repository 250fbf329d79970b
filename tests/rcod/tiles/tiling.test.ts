import { describe, expect, it } from "vitest";
import { parseRcodConfig, parseUNetConfig } from "../../../src/rcod/settings/config.ts";
import {
  clampOverlap,
  gaussianTileWeights,
  latentTiling,
  tileCount,
  tileStarts,
  tiledArea,
  unetTiles,
} from "../../../src/rcod/tiles/tiling.ts";
import { referenceTiles } from "../../../src/rcod/tiles/vae-tiles.ts";
import { SD21_UNET_JSON } from "../../graph/full-configs.ts";
import { imageFixture, tilingFixture } from "../../support/image-fixture.ts";

const FULL_UNET = parseUNetConfig(SD21_UNET_JSON);

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

describe("unetTiles", () => {
  const levels = (count: number) => ({
    ...FULL_UNET,
    blockOutChannels: FULL_UNET.blockOutChannels.slice(0, count),
  });
  const tilesOf = (
    [width, height]: readonly [number, number],
    [tile, overlap] = [96, 32],
    levelCount = 4,
  ) => {
    const rcod = { ...parseRcodConfig({}), latentTiles: { tile, overlap } };
    return unetTiles(width, height, { rcod, unet: levels(levelCount) }, false);
  };

  it("shrink to the least multiple of the UNet's factor that covers", () => {
    expect(tilesOf([128, 128])).toEqual({
      tileWidth: 80,
      tileHeight: 80,
      xStarts: [0, 48],
      yStarts: [0, 48],
    });
    // 150: least side 91, 160: 96; neither more tiles nor sides beyond the configured one.
    expect(tilesOf([150, 160])).toMatchObject({ tileWidth: 96, tileHeight: 96 });
    expect(tilesOf([97, 96])).toEqual({
      tileWidth: 72,
      tileHeight: 96,
      xStarts: [0, 25],
      yStarts: [0],
    });
    expect(tilesOf([300, 64])).toMatchObject({ tileWidth: 88, tileHeight: 64, yStarts: [0] });
    expect(tilesOf([28, 8], [8, 3], 2)).toMatchObject({ xStarts: [0, 5, 10, 15, 20] });
    expect(tilesOf([128, 128], [96, 32], 1)?.tileWidth).toBe(80);
    expect(tilesOf([97, 97], [90, 33], 3)?.tileWidth).toBe(68);
  });

  it("begin beyond the same area as the released code's", () => {
    expect(tilesOf([144, 64])).toBeNull();
    expect(tilesOf([96, 96])).toBeNull();
    expect(tilesOf([10_000, 1])).not.toBeNull();
  });

  it("cover in the same number, evenly and with no less overlap", () => {
    const wrong: string[] = [];
    for (const [tile, overlap] of [
      [96, 32],
      [8, 3],
      [50, 25],
      [7, 0],
      [3, 1],
    ] as const) {
      const used = clampOverlap(tile, overlap);
      for (let n = tile + 1; n <= 5 * tile; n++) {
        for (const levelCount of [1, 2, 4]) {
          const tiles = tilesOf([n, tile], [tile, overlap], levelCount) as NonNullable<
            ReturnType<typeof unetTiles>
          >;
          const { tileWidth: side, xStarts } = tiles;
          const steps = xStarts.slice(1).map((x, i) => x - (xStarts[i] as number));
          const isRight =
            xStarts.length === tileCount(n, tile, used) &&
            xStarts[0] === 0 &&
            (xStarts.at(-1) as number) + side === n &&
            side <= tile &&
            (side === tile || side % 2 ** (levelCount - 1) === 0) &&
            Math.max(...steps) <= side - used &&
            Math.max(...steps) - Math.min(...steps) <= 1 &&
            tiledArea(tiles) === side * tile * xStarts.length;
          if (!isRight) wrong.push(`${n} ${tile} ${overlap} ${levelCount}: ${side} at ${xStarts}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("of the reference are the released code's squares", () => {
    const rcod = parseRcodConfig({});
    expect(unetTiles(128, 300, { rcod, unet: FULL_UNET }, true)).toEqual({
      tileWidth: 96,
      tileHeight: 96,
      xStarts: [0, 32],
      yStarts: [0, 64, 128, 192, 204],
    });
  });
});

describe("gaussianTileWeights", () => {
  it("of a rectangle are the products of its axes' Gaussians", () => {
    const weights = gaussianTileWeights(12, { height: 5, symmetric: true });
    const [wide, high] = [12, 5].map((side) => gaussianTileWeights(side, { symmetric: true }));
    expect(weights.length).toBe(60);
    for (const [i, weight] of weights.entries()) {
      const [x, y] = [i % 12, Math.floor(i / 12)];
      const across = (wide?.[5 * 12 + x] as number) / (wide?.[5 * 12 + 5] as number);
      const down = (high?.[y * 5 + 2] as number) / (high?.[2 * 5 + 2] as number);
      expect(weight / (weights[2 * 12 + 5] as number) / (across * down)).toBeCloseTo(1, 5);
    }
  });

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
