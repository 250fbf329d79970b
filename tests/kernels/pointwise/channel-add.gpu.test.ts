import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { channelAdd } from "../../../src/kernels/pointwise/channel-add.ts";
import { channelAdd as reference } from "../../reference/channel-add.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

/** [batch, pixels, channels, magnitude]. */
const CASES: readonly (readonly [number, number, number, number])[] = [
  [1, 1, 1, 1],
  [1, 7, 3, 1],
  [2, 5, 4, 1],
  [3, 9, 6, 1],
  [2, 64, 4, 1],
  [1, 65, 4, 1],
  [2, 16, 320, 1],
  [2, 9, 5, 30000],
];

describe.each<DType>(["f32", "f16"])("channelAdd %s", (dtype) => {
  it.each(CASES)(
    "batch=%i pixels=%i channels=%i magnitude=%d",
    async (batch, pixels, channels, magnitude) => {
      const round = (value: number) => roundToDtype(value, dtype);
      const x = uniformArray(batch * pixels * channels, pixels, magnitude).map(round);
      const v = uniformArray(batch * channels, 99, magnitude, 0.5).map(round);
      const bytes = packRows(x, channels, dtype);
      const { y } = await runKernel(
        setup.gpu,
        channelAdd.plan({ dtype, batch, pixels, channels }, setup.caps),
        { x: bytes, channel_add: packRows(v, channels, dtype) },
        { y: bytes.byteLength },
      );
      expectClose(
        unpackRows(y as Uint8Array<ArrayBuffer>, channels, dtype),
        reference(x, v, batch, channels),
        [batch, pixels, channels],
        pointwise(dtype),
      );
    },
  );
});

it("refuses an empty tensor", () => {
  const problem = { dtype: "f32", batch: 1, pixels: 0, channels: 4 } as const;
  expect(() => channelAdd.check(problem)).toThrow(
    "channelAdd: sizes must be integers ≥ 1, got [1, 0, 4]",
  );
});
