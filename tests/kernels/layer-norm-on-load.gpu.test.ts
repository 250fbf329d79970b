/** Two linear layers, the second of which normalises the rows that the first has made and measured. */
import { expect, it } from "vitest";
import type { DType } from "../../src/gpu/dtype.ts";
import { roundToDtype } from "../../src/gpu/dtype.ts";
import { PLAIN_EPILOGUE } from "../../src/kernels/epilogue.ts";
import type { LinearProblem } from "../../src/kernels/linear.ts";
import { linear } from "../../src/kernels/linear.ts";
import { rowStatisticsByteLength } from "../../src/kernels/tile-statistics.ts";
import { layerNorm } from "../reference/layer-norm.ts";
import { finishRows, matmul } from "../reference/linear.ts";
import { expectClose } from "../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../support/gpu.ts";
import { PLAIN_PACK, packBias, packOnGpu } from "../support/packed-weight.ts";
import { uniformArray } from "../support/random.ts";
import { contraction } from "../support/tolerance.ts";

const setup = useGpu();
const EPS = 1e-5;

interface Case {
  readonly rows: number;
  readonly channels: number;
  readonly to: number;
  readonly dtype: DType;
  /** Mean of the rows, which their statistics must not lose digits to. */
  readonly offset?: number;
}

const CASES: readonly Case[] = [
  { rows: 1, channels: 64, to: 5, dtype: "f32" },
  { rows: 65, channels: 192, to: 70, dtype: "f32" },
  { rows: 9, channels: 128, to: 8, dtype: "f32", offset: 300 },
  { rows: 65, channels: 128, to: 70, dtype: "f16" },
];

it.each(CASES.map((row) => [`${row.dtype} ${JSON.stringify(row)}`, row] as const))(
  "%s",
  async (_, { rows, channels, to, dtype, offset = 0 }) => {
    const rounded = (count: number, seed: number, scale: number) =>
      uniformArray(count, seed, scale).map((value) => roundToDtype(value, dtype));
    const problem = (from: number, outChannels: number): LinearProblem => ({
      dtype,
      rows,
      inChannels: [from],
      outChannels,
      rowsPerImage: rows,
      inputNorm: "none",
      layerNorm: null,
      epilogue: PLAIN_EPILOGUE,
    });
    const pack = (weight: Float64Array, inChannels: number, outChannels: number) =>
      packOnGpu(
        setup.gpu,
        {
          dtype,
          sourceDType: "F32",
          outChannels,
          inChannels,
          ...PLAIN_PACK,
        },
        weight,
      );

    const first = problem(8, channels);
    const bias = uniformArray(channels, 3, 1, offset).map(Math.fround);
    const made = await runKernel(
      setup.gpu,
      linear.plan(
        { ...first, epilogue: { ...PLAIN_EPILOGUE, statistics: "rows" } },
        setup.caps,
        "tiled",
      ),
      {
        x0: packRows(rounded(rows * 8, 1, 1), 8, dtype),
        weight: await pack(rounded(channels * 8, 2, 1), 8, channels),
        bias: packBias(bias, false),
      },
      {
        y: packRows(new Float64Array(rows * channels), channels, dtype).byteLength,
        row_stats_out: rowStatisticsByteLength(rows, channels),
      },
    );
    const x = made["y"] as Uint8Array<ArrayBuffer>;

    const second = { ...problem(channels, to), layerNorm: { eps: EPS } };
    const weight = rounded(to * channels, 4, 1);
    const [gamma, beta, shift] = [
      uniformArray(channels, 5, 1, 1).map(Math.fround),
      uniformArray(channels, 6).map(Math.fround),
      uniformArray(to, 7).map(Math.fround),
    ] as const;
    const { y } = await runKernel(
      setup.gpu,
      linear.plan(second, setup.caps, "tiled"),
      {
        x0: x,
        weight: await pack(weight, channels, to),
        bias: packBias(shift, false),
        gamma: packRows(gamma, channels, "f32"),
        beta: packRows(beta, channels, "f32"),
        row_stats: made["row_stats_out"] as Uint8Array<ArrayBuffer>,
      },
      { y: packRows(new Float64Array(rows * to), to, dtype).byteLength },
    );

    const normed = layerNorm(unpackRows(x, channels, dtype), EPS, gamma, beta);
    const sums = matmul(normed, weight, channels);
    const expected = finishRows(sums.y, {
      bias: shift,
      activation: "none",
      channelAdd: null,
      rowsPerImage: rows,
      residual: null,
    });
    // Means round at the size of the offset.
    const limit = contraction(dtype, channels, sums.productRms);
    const slack = 1 + offset;
    expectClose(unpackRows(y as Uint8Array<ArrayBuffer>, to, dtype), expected, [rows, to], {
      ...limit,
      atol: limit.atol * slack,
      nmse: limit.nmse * slack ** 2,
    });
  },
);

it("refuses what has no whole tiles, and other variants", () => {
  const problem: LinearProblem = {
    dtype: "f32",
    rows: 8,
    inChannels: [64],
    outChannels: 64,
    rowsPerImage: 8,
    inputNorm: "none",
    layerNorm: { eps: EPS },
    epilogue: PLAIN_EPILOGUE,
  };
  const plan =
    (change: Partial<LinearProblem>, variant: "tiled" | "naive" = "tiled") =>
    () =>
      linear.plan({ ...problem, ...change }, setup.caps, variant);
  expect(plan({})).not.toThrow();
  expect(plan({}, "naive")).toThrow("linear: naive does not normalise rows. Apply layerNorm");
  expect(plan({ inChannels: [60] })).toThrow("one source of a multiple of 64 channels");
  expect(plan({ inChannels: [64, 64] })).toThrow("one source of a multiple of 64 channels");
  expect(plan({ layerNorm: { eps: 0 } })).toThrow("linear: eps must be a positive number, got 0");
  expect(plan({ inputNorm: "affine" })).toThrow("linear: layerNorm excludes inputNorm");
  const rows = { ...PLAIN_EPILOGUE, statistics: "rows" } as const;
  expect(plan({ layerNorm: null, epilogue: rows, outChannels: 60 })).toThrow(
    'linear: takes statistics of rows as "tiled" of a multiple of 64 columns, got "tiled" of 60',
  );
});
