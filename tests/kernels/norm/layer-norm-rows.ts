/** Two linear layers, the second of which normalises the rows that the first has made and measured. */
import type { Gpu } from "../../../src/gpu/device.ts";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import type { LinearProblem } from "../../../src/kernels/contraction/linear.ts";
import { linear } from "../../../src/kernels/contraction/linear.ts";
import { rowStatisticsByteLength } from "../../../src/kernels/contraction/tile-statistics.ts";
import { layerNorm } from "../../reference/layer-norm.ts";
import { finishRows, matmul } from "../../reference/linear.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows } from "../../support/gpu.ts";
import { PLAIN_PACK, packBias, packOnGpu } from "../../support/packed-weight.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { uniformArray } from "../../support/random.ts";
import { measuresBeforeRounding } from "../../support/statistics.ts";
import { contraction, roundedContraction } from "../../support/tolerance.ts";

const EPS = 1e-5;

export interface LayerNormCase {
  readonly rows: number;
  readonly channels: number;
  readonly to: number;
  readonly dtype: DType;
  /** Mean of the rows, which their statistics must not lose digits to. */
  readonly offset?: number;
}

export const LAYER_NORM_CASES: readonly LayerNormCase[] = [
  { rows: 1, channels: 64, to: 5, dtype: "f32" },
  { rows: 65, channels: 192, to: 70, dtype: "f32" },
  { rows: 9, channels: 128, to: 8, dtype: "f32", offset: 300 },
  { rows: 65, channels: 128, to: 70, dtype: "f16" },
];

/** Runs a case in a variant and compares. */
export async function checkLayerNormOnLoad(
  gpu: Gpu,
  { rows, channels, to, dtype, offset = 0 }: LayerNormCase,
  variant: "tiled" | "matrix",
): Promise<void> {
  const rounded = (count: number, seed: number, scale: number) =>
    uniformArray(count, seed, scale).map((value) => roundToDtype(value, dtype));
  const problem = (from: number, outChannels: number): LinearProblem => ({
    dtype,
    rows,
    inChannels: [from],
    outChannels,
    rowsPerImage: rows,
    inputNorm: "none",
    mergedNorm: null,
    weightStorage: "float",
    layerNorm: null,
    epilogue: PLAIN_EPILOGUE,
  });
  const pack = (weight: Float64Array, inChannels: number, outChannels: number) =>
    packOnGpu(
      gpu,
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
    gpu,
    linear.plan(
      { ...first, epilogue: { ...PLAIN_EPILOGUE, statistics: "rows" } },
      gpu.caps,
      variant,
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
    gpu,
    linear.plan(second, gpu.caps, variant),
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
  const limit =
    variant === "matrix"
      ? roundedContraction(channels, sums.productRms)
      : contraction(dtype, channels, sums.productRms);
  const slack = 1 + offset;
  // Mean and deviation of values that err by u16/√3 each are off by that over √channels, of all products of a row alike.
  const off =
    dtype === "f16" && measuresBeforeRounding(gpu.caps) ? 4 * 2 ** -11 * sums.productRms : 0;
  expectClose(unpackRows(y as Uint8Array<ArrayBuffer>, to, dtype), expected, [rows, to], {
    ...limit,
    atol: limit.atol * slack + off,
    nmse: limit.nmse * slack ** 2,
  });
}
