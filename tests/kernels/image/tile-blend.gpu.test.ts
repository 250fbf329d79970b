import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { paddedChannels } from "../../../src/gpu/shape.ts";
import { tileAccumulate, tileClear, tileNormalise } from "../../../src/kernels/image/tile-blend.ts";
import { gaussianTileWeights, tileStarts } from "../../../src/rcod/tiles/tiling.ts";
import { blendTiles } from "../../reference/tile-blend.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

/** width, height, channels, tile, overlap */
const CASES: readonly (readonly [string, number, number, number, number, number])[] = [
  ["one pixel", 1, 1, 4, 1, 0],
  ["one tile", 7, 7, 4, 7, 2],
  ["uneven last tiles", 23, 17, 4, 16, 6],
  ["five channels", 9, 6, 5, 4, 1],
  ["one channel, tile wide as the map", 5, 12, 1, 5, 3],
];

describe.each<DType>(["f32", "f16"])("tile blending %s", (dtype) => {
  it.each(CASES)("%s", async (_, width, height, channels, tile, overlap) => {
    const weights = gaussianTileWeights(tile);
    const size = { width, height, channels };
    const bytes = {
      acc: width * height * paddedChannels(channels) * 4,
      coverage: width * height * 4,
    };
    let state = await runKernel(setup.gpu, tileClear.plan(size, setup.caps), {}, bytes);
    for (const cleared of Object.values(state))
      expect(cleared.every((byte) => byte === 0)).toBe(true);
    const tiles = tileStarts(height, tile, overlap).flatMap((y0) =>
      tileStarts(width, tile, overlap).map((x0) => ({
        x0,
        y0,
        values: uniformArray(tile * tile * channels, x0 * 100 + y0, 3).map((v) =>
          roundToDtype(v, dtype),
        ),
      })),
    );
    for (const { x0, y0, values } of tiles) {
      state = await runKernel(
        setup.gpu,
        tileAccumulate.plan(
          { ...size, dtype, tileWidth: tile, tileHeight: tile, x0, y0 },
          setup.caps,
        ),
        { tile: packRows(values, channels, dtype), w: new Uint8Array(weights.buffer), ...state },
        bytes,
      );
    }
    const { y } = await runKernel(
      setup.gpu,
      tileNormalise.plan({ ...size, dtype }, setup.caps),
      state,
      { y: width * height * paddedChannels(channels) * (dtype === "f32" ? 4 : 2) },
    );
    const got = unpackRows(y as Uint8Array<ArrayBuffer>, channels, dtype);
    const expected = blendTiles([width, height, channels], [tile, tile], weights, tiles);
    expectClose(got, expected, [height, width, channels], pointwise(dtype));
  });
});

it("refuses a tile that leaves the map", () => {
  const problem = {
    dtype: "f32",
    width: 20,
    height: 20,
    channels: 4,
    tileWidth: 16,
    tileHeight: 16,
  } as const;
  expect(() => tileAccumulate.check({ ...problem, x0: 5, y0: 0 })).toThrow(
    "tileAccumulate: tile columns must lie inside 0 … 20, got offset 5 and length 16",
  );
  expect(() => tileAccumulate.check({ ...problem, x0: 0, y0: -1 })).toThrow("tile rows");
});
