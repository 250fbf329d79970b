import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { sliceChannels } from "../../../src/kernels/pointwise/slice-channels.ts";
import { sliceChannels as reference } from "../../reference/channels.ts";
import { packRows, runKernel, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";

const setup = useGpu();

interface Case {
  readonly rows: number;
  readonly channels: number;
  readonly offset: number;
  readonly count: number;
  readonly scale?: number;
  readonly clamp: readonly [number, number] | null;
}

const CASES: readonly Case[] = [
  { rows: 1, channels: 1, offset: 0, count: 1, clamp: null },
  { rows: 5, channels: 8, offset: 0, count: 4, clamp: null }, // VAE: mean
  { rows: 4096, channels: 8, offset: 4, count: 4, clamp: [-30, 20] }, // VAE: log-variance
  { rows: 5, channels: 8, offset: 0, count: 4, scale: -0.5, clamp: null }, // the latents
  { rows: 5, channels: 11, offset: 3, count: 6, scale: 0.5, clamp: [-8, 9] },
  { rows: 3, channels: 11, offset: 1, count: 1, clamp: null },
  { rows: 3, channels: 11, offset: 1, count: 10, clamp: null },
  { rows: 3, channels: 11, offset: 2, count: 6, clamp: null },
  { rows: 3, channels: 11, offset: 3, count: 7, clamp: null },
  { rows: 3, channels: 11, offset: 3, count: 8, clamp: null }, // ends inside the last quad of x
  { rows: 3, channels: 11, offset: 10, count: 1, clamp: null },
  { rows: 3, channels: 12, offset: 9, count: 3, clamp: null },
  { rows: 3, channels: 640, offset: 321, count: 319, clamp: null },
  { rows: 3, channels: 7, offset: 2, count: 5, clamp: [1, 2] }, // the clamp of a zero is no zero
];

function title({ rows, channels, offset, count, scale = 1, clamp }: Case): string {
  const suffix = clamp ? ` clamp ${clamp.join("…")}` : "";
  return `rows=${rows} ${offset}+${count} of ${channels}${scale === 1 ? "" : ` × ${scale}`}${suffix}`;
}

describe.each<DType>(["f32", "f16"])("sliceChannels %s", (dtype) => {
  it.each(CASES.map((testCase) => [title(testCase), testCase] as const))(
    "%s",
    async (_, testCase) => {
      const { rows, channels, offset, count, scale = 1, clamp } = testCase;
      const tiny = dtype === "f16" ? 2 ** -24 : 2 ** -149;
      const x = uniformArray(rows * channels, 1, 50).map((value, i) =>
        roundToDtype(
          scale !== 1 || clamp !== null || i % 5 > 1 ? value : i % 5 === 0 ? -0 : tiny,
          dtype,
        ),
      );
      const expected = packRows(
        reference(
          x.map((value) => scale * value),
          channels,
          offset,
          count,
          clamp,
        ),
        count,
        dtype,
      );
      const { y } = await runKernel(
        setup.gpu,
        sliceChannels.plan({ dtype, ...testCase, scale }, setup.caps),
        { x: packRows(x, channels, dtype) },
        { y: expected.byteLength },
      );
      expect(y).toEqual(expected);
    },
  );
});
