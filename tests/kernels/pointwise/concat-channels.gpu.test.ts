import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { concatChannels } from "../../../src/kernels/pointwise/concat-channels.ts";
import { concatChannels as reference } from "../../reference/channels.ts";
import { packRows, runKernel, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";

const setup = useGpu();

/** [rows, c1, c2]: every remainder of c1 with every remainder of the sum, b shorter and longer than the gap. */
const SIZES: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [3, 1, 3],
  [3, 1, 4],
  [5, 1, 8],
  [3, 2, 1],
  [3, 2, 2],
  [3, 2, 5],
  [3, 3, 1],
  [3, 3, 3],
  [3, 3, 10],
  [7, 5, 6],
  [7, 6, 9],
  [7, 7, 2],
  [5, 4, 3],
  [5, 8, 1],
  [64, 320, 320],
  [16, 1280, 640],
];

/** Values that arithmetic would lose: −0, the smallest subnormal, the largest finite. */
function hostile(values: Float64Array, dtype: DType): Float64Array {
  const extremes = dtype === "f16" ? [-0, 2 ** -24, 65504] : [-0, 2 ** -149, 3.4e38];
  return values.map((value, i) =>
    roundToDtype(i % 5 < 3 ? (extremes[i % 5] as number) : value, dtype),
  );
}

describe.each<DType>(["f32", "f16"])("concatChannels %s", (dtype) => {
  it.each(SIZES)("rows=%i channels=%i + %i", async (rows, c1, c2) => {
    const a = hostile(uniformArray(rows * c1, 1, 4), dtype);
    const b = hostile(uniformArray(rows * c2, 2, 4), dtype);
    const expected = packRows(reference(a, b, rows), c1 + c2, dtype);
    const { y } = await runKernel(
      setup.gpu,
      concatChannels.plan({ dtype, rows, channels: [c1, c2] }, setup.caps),
      { a: packRows(a, c1, dtype), b: packRows(b, c2, dtype) },
      { y: expected.byteLength },
    );
    expect(y).toEqual(expected);
  });

  it("shifted variant also does whole quads", async () => {
    const a = hostile(uniformArray(3 * 8, 1, 4), dtype);
    const b = hostile(uniformArray(3 * 5, 2, 4), dtype);
    const expected = packRows(reference(a, b, 3), 13, dtype);
    const plan = concatChannels.plan({ dtype, rows: 3, channels: [8, 5] }, setup.caps, "shifted");
    const inputs = { a: packRows(a, 8, dtype), b: packRows(b, 5, dtype) };
    expect((await runKernel(setup.gpu, plan, inputs, { y: expected.byteLength })).y).toEqual(
      expected,
    );
  });
});
