/** Problems of linear with weights packed on the GPU, and what their definition gives. */
import { expect } from "vitest";
import type { Gpu } from "../../../src/gpu/device.ts";
import { F16_MAX, roundToDtype } from "../../../src/gpu/dtype.ts";
import type { LinearProblem, LinearVariant } from "../../../src/kernels/contraction/linear.ts";
import { linear, linearOutChannels } from "../../../src/kernels/contraction/linear.ts";
import type { InputNorm } from "../../../src/kernels/contraction/loads.ts";
import type { SourceDType } from "../../../src/kernels/contraction/pack-weight.ts";
import type { Activation } from "../../../src/kernels/pointwise/activation.ts";
import type { WeightStorage } from "../../../src/kernels/quantized/storage.ts";
import { dequantized } from "../../reference/integer-weight.ts";
import { finishRows, geglu, matmul } from "../../reference/linear.ts";
import { mergeLora } from "../../reference/pack-weight.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows } from "../../support/gpu.ts";
import { testNorm } from "../../support/input-norm.ts";
import { hostileMatrix, packIntegersOnGpu } from "../../support/integer-weight.ts";
import { packBias, packOnGpu, poisonTail, roundToSource } from "../../support/packed-weight.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { uniformArray } from "../../support/random.ts";
import type { Tolerance } from "../../support/tolerance.ts";
import { contraction, roundedContraction } from "../../support/tolerance.ts";

/** Uniform in offset ± scale. */
type Values = readonly [scale: number, offset: number];

interface Case {
  readonly rows: number;
  /** Channels of the one or two sources. */
  readonly from: readonly number[];
  readonly to: number;
  readonly rowsPerImage?: number;
  readonly activation?: Activation;
  readonly channelAdd?: boolean;
  readonly residual?: boolean;
  readonly geglu?: boolean;
  /** What is done to x while it is loaded. */
  readonly norm?: InputNorm;
  readonly source?: SourceDType;
  /** Rank of a LoRA update that is merged while packing. */
  readonly lora?: number;
  /** Integers come with hostile blocks. */
  readonly storage?: WeightStorage;
  readonly x?: Values;
  readonly w?: Values;
  /** The results pass ±65504 on both sides. */
  readonly overflows?: boolean;
}

/** Of integers: blocks that are not full, and a seam of two sources within one. */
const INTEGER_CASES: readonly Case[] = [
  { rows: 3, from: [5], to: 7 },
  { rows: 65, from: [72], to: 65, activation: "silu", residual: true },
  { rows: 9, from: [500, 17], to: 14, geglu: true }, // in slices
  { rows: 9, from: [37], to: 10, norm: "affine" },
];

const CASES: readonly Case[] = [
  { rows: 1, from: [1], to: 1 },
  { rows: 3, from: [5], to: 7, source: "F16" },
  { rows: 9, from: [37], to: 3, source: "BF16" },
  { rows: 5, from: [4], to: 33 },
  { rows: 64, from: [16], to: 64 }, // one tile: 64 rows × 64 columns, 16 channels a step
  { rows: 65, from: [17], to: 65 }, // one more of each
  { rows: 64, from: [320], to: 320, source: "F16" }, // attn1.to_q, eighth width
  { rows: 77, from: [1024], to: 16 }, // attn2.to_k, some columns
  { rows: 7, from: [8, 5], to: 10 },
  { rows: 16, from: [32, 32], to: 32 },
  { rows: 1, from: [320], to: 24, activation: "silu" }, // time_embedding.linear_1
  { rows: 10, from: [6], to: 9, rowsPerImage: 5, activation: "relu", channelAdd: true },
  {
    rows: 6,
    from: [6],
    to: 9,
    rowsPerImage: 2,
    activation: "gelu",
    channelAdd: true,
    residual: true,
  },
  { rows: 5, from: [8], to: 12, activation: "quick_gelu", residual: true },
  { rows: 1, from: [1], to: 2, geglu: true },
  { rows: 9, from: [12], to: 70, geglu: true, source: "BF16" }, // 35 columns: padding inside both halves
  { rows: 65, from: [8], to: 64, geglu: true },
  { rows: 8, from: [64], to: 512, geglu: true }, // ff.net.0.proj, fifth width
  { rows: 5, from: [7], to: 10, geglu: true, lora: 2 },
  { rows: 5, from: [7], to: 9, lora: 3, source: "F16" },
  { rows: 65, from: [324], to: 65, activation: "gelu", residual: true }, // 21 steps: 2 slices of 11 and 10
  { rows: 9, from: [500, 17], to: 12, geglu: true }, // two sources in slices
  { rows: 9, from: [37], to: 10, norm: "affine" }, // proj_in
  { rows: 65, from: [8, 9], to: 12, norm: "affine-silu", residual: true },
  // Hostile values.
  { rows: 3, from: [11_520], to: 5, x: [0.5, 0.5], w: [0.01, 0.01] }, // one sign
  { rows: 9, from: [36], to: 8, x: [30_000, 0], w: [1, 0], overflows: true },
  { rows: 9, from: [36], to: 16, geglu: true, x: [300, 0], w: [1, 0], overflows: true },
  // Sums beyond ±80, where sigmoids end.
  { rows: 9, from: [4], to: 9, activation: "silu", x: [8, 0], w: [8, 0] },
  { rows: 9, from: [4], to: 9, activation: "quick_gelu", x: [8, 0], w: [8, 0] },
  { rows: 5, from: [4], to: 5, x: [0, 1.5], w: [0, -0.25] },
  { rows: 5, from: [4], to: 5, x: [0, 0], w: [1, 0] },
  ...(["int8", "int4"] as const).flatMap((storage) =>
    INTEGER_CASES.map((testCase) => ({ ...testCase, storage })),
  ),
  ...(["int8/64", "int4/64"] as const).flatMap((storage) =>
    INTEGER_CASES.filter(({ from }) => from.length > 1).map((test) => ({ ...test, storage })),
  ),
];

export interface LinearRow extends Required<Omit<Case, "lora">> {
  readonly name: string;
  readonly lora: number | undefined;
  readonly problem: LinearProblem;
}

export const LINEAR_TABLE: readonly LinearRow[] = CASES.flatMap((testCase) => {
  const { rows, from, to, lora } = testCase;
  const row = {
    rowsPerImage: rows,
    activation: "none" as const,
    channelAdd: false,
    residual: false,
    geglu: false,
    norm: "none" as const,
    source: "F32" as const,
    storage: "float" as const,
    x: [2, 0] as const,
    w: [2 / Math.sqrt(from.reduce((a, b) => a + b)), 0] as const,
    overflows: false,
    ...testCase,
    lora,
  };
  const { rowsPerImage, activation, channelAdd, residual } = row;
  const details = [
    row.storage === "float" ? "" : ` ${row.storage}`,
    row.geglu ? " geglu" : "",
    row.norm === "none" ? "" : ` norm ${row.norm}`,
    activation === "none" ? "" : ` ${activation}`,
    channelAdd ? ` +channelAdd/${rowsPerImage}` : "",
    residual ? " +residual" : "",
    lora === undefined ? "" : ` lora ${lora}`,
    testCase.x ? ` x ${row.x[1]} ± ${row.x[0]}` : "",
  ].join("");
  const epilogue = { ...PLAIN_EPILOGUE, channelAdd, residual, activation, geglu: row.geglu };
  return (["f32", "f16"] as const).map((dtype): LinearRow => ({
    ...row,
    name: `linear ${dtype} [${rows},${from.join("+")}] → ${to}, ${row.source}${details}`,
    problem: {
      dtype,
      rows,
      inChannels: from,
      outChannels: to,
      rowsPerImage,
      inputNorm: row.norm,
      mergedNorm: null,
      weightStorage: row.storage,
      layerNorm: null,
      epilogue,
    },
  }));
});

export interface PreparedLinear {
  readonly inputs: Record<string, Uint8Array<ArrayBuffer>>;
  readonly outBytes: number;
  readonly expected: Float64Array;
  readonly tolerance: Tolerance;
  /** Where a variant rounds normalised x to f16. */
  readonly roundedTolerance: Tolerance;
  /** Of integers: the same weight as f32. */
  readonly floats: Uint8Array<ArrayBuffer> | null;
}

/** Multiples of 1/8 in [-1, 1]: sums and products of a few are exact in every dtype. */
function eighths(count: number, seed: number): Float64Array {
  return uniformArray(count, seed, 8).map((value) => Math.round(value) / 8);
}

/** Weight (and LoRA factors) that source and storage dtype both hold exactly, packed and merged. */
async function makeWeight(
  gpu: Gpu,
  { problem, source, lora: rank, w: [scale, offset] }: LinearRow,
) {
  const { dtype, outChannels, epilogue } = problem;
  const inChannels = problem.inChannels.reduce((a, b) => a + b);
  const shape = { dtype, sourceDType: source, outChannels, inChannels, taps: 1 };
  const packProblem = {
    ...shape,
    geglu: epilogue.geglu,
    lora: null,
    upsample: false,
    place: null,
    roundToHalf: false,
  };
  const count = outChannels * inChannels;
  const { weightStorage } = problem;
  if (weightStorage !== "float") {
    const matrix = hostileMatrix({ outChannels, inChannels, taps: 1 }, weightStorage, scale, 2);
    const packed = await packIntegersOnGpu(gpu, weightStorage, [matrix], epilogue.geglu);
    const weight = dequantized(matrix);
    const asFloats = { ...packProblem, dtype: "f32", sourceDType: "F32" } as const;
    return { weight, packed, floats: await packOnGpu(gpu, asFloats, weight) };
  }
  if (rank === undefined) {
    const weight = uniformArray(count, 2, scale, offset).map((value) =>
      roundToDtype(roundToSource(value, source), dtype),
    );
    return { weight, packed: await packOnGpu(gpu, packProblem, weight), floats: null };
  }
  const weight = eighths(count, 2);
  const a = eighths(rank * inChannels, 3);
  const b = eighths(outChannels * rank, 4);
  const lora = { rank, scaling: 0.5, aDType: "BF16", bDType: "F16" } as const;
  const packed = await packOnGpu(gpu, { ...packProblem, lora }, weight, { a, b });
  return { weight: mergeLora(weight, a, b, rank, lora.scaling), packed, floats: null };
}

export async function prepareLinear(gpu: Gpu, row: LinearRow): Promise<PreparedLinear> {
  const { problem } = row;
  const { dtype, rows, outChannels, rowsPerImage, epilogue } = problem;
  const stored = (count: number, seed: number, [scale, offset]: Values) =>
    uniformArray(count, seed, scale, offset).map((value) => roundToDtype(value, dtype));
  const inChannels = problem.inChannels.reduce((a, b) => a + b);
  const x = stored(rows * inChannels, 1, row.x);
  const { weight, packed, floats } = await makeWeight(gpu, row);
  const bias = uniformArray(outChannels, 5).map(Math.fround);
  const norm = testNorm(problem.inputNorm, inChannels);
  const sums = matmul(norm ? norm.apply(x) : x, weight, inChannels);
  const images = Math.ceil(rows / rowsPerImage);
  const channelAdd = epilogue.channelAdd ? stored(images * outChannels, 6, [1, 0]) : null;
  const residual = epilogue.residual ? stored(rows * outChannels, 7, [2, 0]) : null;
  const { activation } = epilogue;
  const finished = epilogue.geglu
    ? geglu(sums.y, bias)
    : finishRows(sums.y, { bias, activation, channelAdd, rowsPerImage, residual });
  const limit = dtype === "f16" ? F16_MAX : Infinity;
  const inputs: PreparedLinear["inputs"] = { weight: packed, bias: packBias(bias, epilogue.geglu) };
  let first = 0;
  problem.inChannels.forEach((channels, source) => {
    const part = x.filter((_, i) => i % inChannels >= first && i % inChannels < first + channels);
    inputs[`x${source}`] = packRows(part, channels, dtype);
    first += channels;
  });
  if (norm) inputs["norm"] = norm.bytes;
  if (channelAdd) inputs["channel_add"] = packRows(channelAdd, outChannels, dtype);
  if (residual) inputs["residual"] = packRows(residual, outChannels, dtype);
  return {
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([operand, bytes]) => [operand, poisonTail(bytes)]),
    ),
    outBytes: packRows(finished, linearOutChannels(problem), dtype).byteLength,
    expected: finished.map((value) => Math.min(Math.max(value, -limit), limit)),
    tolerance: contraction(dtype, inChannels, sums.productRms),
    roundedTolerance: roundedContraction(inChannels, sums.productRms),
    floats: floats && poisonTail(floats),
  };
}

/** Runs a prepared row in a variant and compares. */
export async function checkLinear(
  gpu: Gpu,
  row: LinearRow,
  prepared: PreparedLinear,
  variant: LinearVariant,
): Promise<void> {
  const { dtype, rows } = row.problem;
  const columns = linearOutChannels(row.problem);
  const plan = linear.plan(row.problem, gpu.caps, variant);
  const { y } = await runKernel(gpu, plan, prepared.inputs, { y: prepared.outBytes });
  const got = unpackRows(y as Uint8Array<ArrayBuffer>, columns, dtype);
  const isMatrix = variant.startsWith("matrix");
  const rounds = isMatrix && (row.problem.inputNorm !== "none" || row.storage !== "float");
  const tolerance = rounds ? prepared.roundedTolerance : prepared.tolerance;
  expectClose(got, prepared.expected, [rows, columns], tolerance);
  // A compiler may fuse either product of a sum of two, which `naive` has; it takes the other where a weight is computed.
  if (prepared.floats && dtype === "f32" && !isMatrix && variant !== "naive") {
    const twin = linear.plan({ ...row.problem, weightStorage: "float" }, gpu.caps, variant);
    const inputs = { ...prepared.inputs, weight: prepared.floats };
    const results = await runKernel(gpu, twin, inputs, { y: prepared.outBytes });
    const other = unpackRows(results["y"] as Uint8Array<ArrayBuffer>, columns, dtype);
    const off = got.findIndex((value, i) => value !== other[i]);
    expect([off, got[off]], "the same bits with the weight as floats").toEqual([-1, other[off]]);
  }
  if (row.overflows && dtype === "f16") {
    expect([Math.min(...got), Math.max(...got)]).toEqual([-F16_MAX, F16_MAX]);
  }
}
