import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { geglu } from "../../../src/kernels/pointwise/geglu.ts";
import { geglu as reference } from "../../reference/geglu.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

/** [rows, channels, magnitude, offset]: every remainder of channels, so every shift of the gate's quads. */
const CASES: readonly (readonly [number, number, number, number])[] = [
  [1, 1, 3, 0],
  [3, 2, 3, 0],
  [5, 3, 3, 0],
  [4, 4, 3, 0],
  [7, 5, 3, 0],
  [7, 6, 3, 0],
  [3, 7, 3, 0],
  [63, 4, 3, 0],
  [64, 4, 3, 0],
  [65, 4, 3, 0],
  [77, 320, 3, 0],
  [9, 6, 0, 2], // constant
  [9, 6, 8, 0], // gates deep in gelu's tails
  [9, 7, 200, 0], // products near 4e4, inside f16
  [9, 5, 0.01, 0],
];

describe.each<DType>(["f32", "f16"])("geglu %s", (dtype) => {
  it.each(CASES)(
    "rows=%i channels=%i magnitude=%d offset=%d",
    async (rows, channels, magnitude, offset) => {
      const x = uniformArray(rows * 2 * channels, rows + channels, magnitude, offset).map((value) =>
        roundToDtype(value, dtype),
      );
      const expected = reference(x, rows, channels);
      const { y } = await runKernel(
        setup.gpu,
        geglu.plan({ dtype, rows, channels }, setup.caps),
        { x: packRows(x, 2 * channels, dtype) },
        { y: packRows(expected, channels, dtype).byteLength },
      );
      expectClose(
        unpackRows(y as Uint8Array<ArrayBuffer>, channels, dtype),
        expected,
        [rows, channels],
        pointwise(dtype),
      );
    },
  );
});

it("f16 products beyond the largest half clamp and stay finite", async () => {
  const x = Float64Array.of(60000, -60000, 30000, 30000);
  const { y } = await runKernel(
    setup.gpu,
    geglu.plan({ dtype: "f16", rows: 1, channels: 2 }, setup.caps),
    { x: packRows(x, 4, "f16") },
    { y: 8 },
  );
  expect([...unpackRows(y as Uint8Array<ArrayBuffer>, 2, "f16")]).toEqual([65504, -65504]);
});

it("refuses an empty tensor", () => {
  const problem = { dtype: "f32", rows: 0, channels: 4 } as const;
  expect(() => geglu.check(problem)).toThrow(
    "geglu: sizes must be integers ≥ 1, got rows 0, channels 4",
  );
});
