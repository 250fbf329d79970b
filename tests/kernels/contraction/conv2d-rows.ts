/** Problems of conv2d with weights packed on the GPU, and what their definition gives. */
import { expect } from "vitest";
import type { Gpu } from "../../../src/gpu/device.ts";
import { F16_MAX, roundToDtype } from "../../../src/gpu/dtype.ts";
import type { Conv2dProblem, Conv2dVariant } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d, conv2dOutputSize } from "../../../src/kernels/contraction/conv2d.ts";
import type { Epilogue } from "../../../src/kernels/contraction/epilogue.ts";
import type { InputNorm } from "../../../src/kernels/contraction/loads.ts";
import type { SourceDType } from "../../../src/kernels/contraction/pack-weight.ts";
import type { Activation } from "../../../src/kernels/pointwise/activation.ts";
import type { WeightStorage } from "../../../src/kernels/quantized/storage.ts";
import { conv2d as conv2dReference } from "../../reference/conv2d.ts";
import { dequantized } from "../../reference/integer-weight.ts";
import { finishRows, matmul } from "../../reference/linear.ts";
import { mergeLora } from "../../reference/pack-weight.ts";
import { upsampleNearest } from "../../reference/upsample-nearest.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows } from "../../support/gpu.ts";
import { testNorm } from "../../support/input-norm.ts";
import { hostileMatrix, packIntegersOnGpu } from "../../support/integer-weight.ts";
import {
  PLAIN_PACK,
  packBias,
  packOnGpu,
  poisonTail,
  roundToSource,
} from "../../support/packed-weight.ts";
import { uniformArray } from "../../support/random.ts";
import type { Tolerance } from "../../support/tolerance.ts";
import { contraction, roundedContraction, winograd } from "../../support/tolerance.ts";

/** Uniform in offset ± scale. */
type Values = readonly [scale: number, offset: number];

interface Case {
  readonly batch?: number;
  readonly size: readonly [height: number, width: number];
  /** Channels of the one or two sources. */
  readonly from: readonly number[];
  readonly to: number;
  readonly kernel?: number | readonly [height: number, width: number];
  readonly stride?: number;
  readonly padding?: Conv2dProblem["padding"];
  /** Channels of the sources of a 1×1 convolution that is added. */
  readonly shortcut?: readonly number[];
  /** The convolution sees the map doubled by nearest neighbour; weights are eighths, whose sums are exact. */
  readonly upsample?: boolean;
  /** What is done to x while it is loaded. */
  readonly norm?: InputNorm;
  readonly activation?: Activation;
  readonly channelAdd?: boolean;
  /** Where the added channels are: the first, of so many. */
  readonly window?: Epilogue["channelAddWindow"];
  /** One row of added channels for all images. */
  readonly shared?: boolean;
  readonly residual?: boolean;
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

const FULL = { activation: "silu", channelAdd: true, residual: true } as const;

// Few different kernels and epilogues: on SwiftShader compiling a shader takes up to two seconds. The
// other activations share their code with these and run in linear.gpu.test.ts.
/** Of integers: blocks that are not full, and a seam of two sources within one. */
const INTEGER_CASES: readonly Case[] = [
  { size: [4, 5], from: [5], to: 7 },
  { size: [7, 9], from: [37], to: 9, stride: 2 },
  { size: [9, 17], from: [36, 33], to: 65, shortcut: [40, 25], channelAdd: true },
  { size: [3, 5], from: [68], to: 10, norm: "affine-silu", residual: true },
];

const CASES: readonly Case[] = [
  { size: [1, 1], from: [1], to: 1 },
  { size: [1, 1], from: [1], to: 1, kernel: 1, padding: [0, 0, 0, 0] },
  { size: [4, 5], from: [5], to: 7, source: "F16" },
  { size: [3, 9], from: [37], to: 3, source: "BF16" },
  { size: [5, 6], from: [4], to: 33, batch: 2 },
  { size: [8, 8], from: [16], to: 64 }, // one tile: 64 rows × 64 columns, 16 channels a step
  { size: [5, 13], from: [17], to: 65 }, // one more of each
  { size: [8, 8], from: [6], to: 9, stride: 2 },
  { size: [7, 9], from: [6], to: 9, stride: 2 },
  { size: [8, 8], from: [6], to: 9, stride: 2, padding: [0, 1, 0, 1] },
  { size: [7, 9], from: [6], to: 9, stride: 2, padding: [0, 1, 0, 1], batch: 2 },
  { size: [28, 42], from: [3], to: 8, kernel: 14, stride: 14, padding: [0, 0, 0, 0] },
  { size: [6, 11], from: [12], to: 8, kernel: 1, padding: [0, 0, 0, 0], source: "F16" },
  { size: [9, 4], from: [5], to: 6, kernel: [4, 2], stride: 3, padding: [3, 0, 0, 1] },
  { size: [2, 3], from: [5], to: 6, padding: [4, 3, 3, 5] }, // whole windows in the padding
  { size: [5, 6], from: [8, 5], to: 10, batch: 2 },
  { size: [4, 4], from: [32, 32], to: 32 },
  { size: [4, 5], from: [8], to: 11, batch: 2, ...FULL },
  { size: [3, 9], from: [4], to: 12, batch: 2, channelAdd: true, window: [8, 24] },
  { size: [3, 9], from: [4], to: 11, batch: 2, channelAdd: true, window: [8, 19] }, // ends with its row
  { size: [3, 9], from: [4], to: 11, batch: 3, ...FULL, window: [8, 19], shared: true },
  { size: [5, 13], from: [8, 5], to: 65, batch: 3, ...FULL }, // tiles begin in one image and end in the next
  { size: [8, 8], from: [320], to: 320, ...FULL }, // as in unet.down_blocks.0.resnets
  { size: [4, 3], from: [7], to: 9, lora: 3, source: "F16" },
  { size: [1, 1], from: [1], to: 1, upsample: true },
  { size: [3, 5], from: [5], to: 7, batch: 2, upsample: true, source: "F16" },
  { size: [8, 8], from: [16], to: 64, upsample: true }, // one tile a phase
  { size: [5, 13], from: [17], to: 65, upsample: true, ...FULL },
  { size: [2, 9], from: [8, 5], to: 10, batch: 2, upsample: true, ...FULL },
  { size: [4, 3], from: [7], to: 9, upsample: true, lora: 3, source: "F16" },
  { size: [1, 1], from: [1], to: 1, shortcut: [1] },
  { size: [4, 5], from: [5], to: 7, batch: 2, shortcut: [11], source: "F16" },
  { size: [8, 8], from: [16], to: 64, shortcut: [16] }, // one tile
  { size: [5, 13], from: [17], to: 65, shortcut: [8, 13], channelAdd: true },
  { size: [3, 9], from: [8, 5], to: 10, batch: 2, shortcut: [4, 3], channelAdd: true },
  { size: [2, 2], from: [4], to: 5, shortcut: [512], x: [0.5, 0.5], w: [0.01, 0.01] }, // one sign
  // One more pixel in each direction than the tile of `patch`; sums long enough for the slices of `tiled-split`.
  { size: [9, 17], from: [17], to: 65 },
  { size: [9, 17], from: [17], to: 65, batch: 2, upsample: true },
  { size: [9, 17], from: [8, 5], to: 10, shortcut: [4, 3], channelAdd: true },
  { size: [9, 17], from: [40], to: 65 }, // 27 steps in 3 slices
  { size: [3, 5], from: [68], to: 10, batch: 2, upsample: true, ...FULL }, // 4 × 5 steps in 2 slices
  { size: [4, 5], from: [32, 17], to: 9, shortcut: [40, 24], channelAdd: true }, // 9 × 4 + 4 steps
  { size: [4, 5], from: [5], to: 7, norm: "affine-silu" },
  { size: [5, 13], from: [8, 9], to: 65, norm: "affine-silu", shortcut: [8, 13] },
  { size: [7, 9], from: [6], to: 9, stride: 2, padding: [0, 1, 0, 1], norm: "affine" },
  { size: [2, 3], from: [5], to: 6, padding: [4, 3, 3, 5], norm: "affine-silu" }, // padding stays zero
  { size: [3, 5], from: [8, 5], to: 7, upsample: true, norm: "affine", residual: true },
  // Hostile values.
  { size: [2, 2], from: [512], to: 5, x: [0.5, 0.5], w: [0.01, 0.01] }, // one sign
  { size: [3, 9], from: [36], to: 8, x: [30_000, 0], w: [1, 0], overflows: true },
  { size: [9, 17], from: [40], to: 5, x: [1, 1000] }, // transforms subtract neighbours
  { size: [3, 3], from: [4], to: 5, x: [0, 1.5], w: [0, -0.25] },
  { size: [3, 3], from: [4], to: 5, x: [0, 0], w: [1, 0] },
  ...(["int8", "int4"] as const).flatMap((storage) =>
    INTEGER_CASES.map((testCase) => ({ ...testCase, storage })),
  ),
  ...(["int8/64", "int4/64"] as const).flatMap((storage) =>
    INTEGER_CASES.filter(({ from }) => from.length > 1).map((test) => ({ ...test, storage })),
  ),
];

export interface Conv2dRow extends Required<Omit<Case, "lora">> {
  readonly name: string;
  readonly lora: number | undefined;
  readonly problem: Conv2dProblem;
}

export const CONV2D_TABLE: readonly Conv2dRow[] = CASES.flatMap((testCase) => {
  const { kernel = 3, lora, from, to } = testCase;
  const row = {
    batch: 1,
    stride: 1,
    padding: [1, 1, 1, 1] as const,
    upsample: false,
    norm: "none" as const,
    shortcut: [],
    activation: "none" as const,
    channelAdd: false,
    window: null,
    shared: false,
    residual: false,
    source: "F32" as const,
    storage: "float" as const,
    x: [2, 0] as const,
    w: [2 / Math.sqrt(from.reduce((a, b) => a + b) * 9), 0] as const,
    overflows: false,
    ...testCase,
    kernel: typeof kernel === "number" ? ([kernel, kernel] as const) : kernel,
    lora,
  };
  const input = [row.batch, from.join("+"), ...row.size].join(",");
  const details = [
    row.storage === "float" ? "" : ` ${row.storage}`,
    row.upsample ? " upsampled" : "",
    row.norm === "none" ? "" : ` norm ${row.norm}`,
    row.shortcut.length > 0 ? ` shortcut ${row.shortcut.join("+")}` : "",
    row.activation === "none" ? "" : ` ${row.activation}`,
    row.channelAdd ? " +channelAdd" : "",
    row.window === null ? "" : ` ${row.window.join(" of ")}`,
    row.shared ? " of all images" : "",
    row.residual ? " +residual" : "",
    lora === undefined ? "" : ` lora ${lora}`,
    testCase.x ? ` x ${row.x[1]} ± ${row.x[0]}` : "",
  ].join("");
  const window = `${row.kernel.join("x")} s${row.stride} p${row.padding.join("")}`;
  return (["f32", "f16"] as const).map((dtype): Conv2dRow => ({
    ...row,
    name: `conv2d ${dtype} [${input}] → ${to}, ${window}, ${row.source}${details}`,
    problem: {
      dtype,
      batch: row.batch,
      inHeight: row.size[0],
      inWidth: row.size[1],
      inChannels: from,
      outChannels: to,
      kernelSize: row.kernel,
      stride: row.stride,
      padding: row.padding,
      upsample: row.upsample,
      shortcutChannels: row.shortcut,
      inputNorm: row.norm,
      mergedNorm: null,
      weightStorage: row.storage,
      epilogue: {
        channelAdd: row.channelAdd,
        channelAddWindow: row.window,
        channelAddShared: row.shared,
        residual: row.residual,
        activation: row.activation,
        statistics: "none",
        channelsPerEntry: 1,
        statisticsFirst: 0,
        geglu: false,
      },
    },
  }));
});

export interface PreparedConv2d {
  readonly inputs: Record<string, Uint8Array<ArrayBuffer>>;
  readonly outBytes: number;
  readonly expected: Float64Array;
  readonly shape: readonly number[];
  readonly tolerance: Tolerance;
  /** Where a variant rounds normalised x to f16. */
  readonly roundedTolerance: Tolerance;
  readonly winogradTolerance: Tolerance;
  /** Of integers: the same weight as f32. */
  readonly floats: Uint8Array<ArrayBuffer> | null;
}

/** Rows of `count` channels as a window of wider rows, from channel `first` on; 7 elsewhere. */
function widened(rows: Float64Array, count: number, first: number, channels: number): Float64Array {
  const wide = new Float64Array((rows.length / count) * channels).fill(7);
  rows.forEach((value, i) => {
    wide[Math.floor(i / count) * channels + first + (i % count)] = value;
  });
  return wide;
}

/** Multiples of 1/8 in [-1, 1]: sums and products of a few are exact in every dtype. */
function eighths(count: number, seed: number): Float64Array {
  return uniformArray(count, seed, 8).map((value) => Math.round(value) / 8);
}

/** Weight (and LoRA factors) that source and storage dtype both hold exactly, packed and merged. */
async function makeWeight(
  gpu: Gpu,
  { problem, source, lora: rank, w: [scale, offset] }: Conv2dRow,
) {
  const { dtype, outChannels, kernelSize, upsample } = problem;
  const inChannels = problem.inChannels.reduce((a, b) => a + b);
  const taps = kernelSize[0] * kernelSize[1];
  const shape = { dtype, sourceDType: source, outChannels, inChannels, taps, geglu: false };
  const count = outChannels * inChannels * taps;
  if (rank === undefined) {
    const weight = upsample
      ? eighths(count, 2)
      : uniformArray(count, 2, scale, offset).map((value) =>
          roundToDtype(roundToSource(value, source), dtype),
        );
    const packProblem = { ...shape, lora: null, upsample, place: null, roundToHalf: false };
    return { weight, packed: await packOnGpu(gpu, packProblem, weight) };
  }
  const weight = eighths(count, 2);
  const a = eighths(rank * inChannels * taps, 3);
  const b = eighths(outChannels * rank, 4);
  const lora = { rank, scaling: 0.5, aDType: "F16", bDType: "F32" } as const;
  const packProblem = { ...shape, lora, upsample, place: null, roundToHalf: false };
  const packed = await packOnGpu(gpu, packProblem, weight, { a, b });
  return { weight: mergeLora(weight, a, b, rank, lora.scaling), packed };
}

/** The sources of the 1×1 convolution, its packed weight and its result. */
async function makeShortcut(
  gpu: Gpu,
  { problem, source, x: [scale, offset], w }: Conv2dRow,
  integers?: Float64Array,
) {
  const { dtype, batch, inHeight, inWidth, outChannels, shortcutChannels } = problem;
  if (shortcutChannels.length === 0) return null;
  const inChannels = shortcutChannels.reduce((a, b) => a + b);
  const rounded = (value: number): number => roundToDtype(value, dtype);
  const x = uniformArray(batch * inHeight * inWidth * inChannels, 8, scale, offset).map(rounded);
  const weight = uniformArray(outChannels * inChannels, 9, w[0], w[1]).map((value) =>
    rounded(roundToSource(value, source)),
  );
  if (integers) return { x, packed: null, inChannels, ...matmul(x, integers, inChannels) };
  const packed = await packOnGpu(
    gpu,
    {
      dtype,
      sourceDType: source,
      outChannels,
      inChannels,
      ...PLAIN_PACK,
    },
    weight,
  );
  return { x, packed, inChannels, ...matmul(x, weight, inChannels) };
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The operands `<name>0`, `<name>1` of rows whose channels come from so many sources. */
function sources(
  name: string,
  x: Float64Array,
  channels: readonly number[],
  dtype: "f32" | "f16",
): Record<string, Uint8Array<ArrayBuffer>> {
  const total = channels.reduce((a, b) => a + b);
  let first = 0;
  return Object.fromEntries(
    channels.map((count, source) => {
      const part = x.filter((_, i) => i % total >= first && i % total < first + count);
      first += count;
      return [`${name}${source}`, packRows(part, count, dtype)];
    }),
  );
}

/** The weights of both convolutions as integers in one buffer, as numbers, and as f32. */
async function makeIntegers(gpu: Gpu, { problem, w: [scale] }: Conv2dRow) {
  const { outChannels, kernelSize, weightStorage: storage } = problem;
  if (storage === "float") return null;
  const taps = kernelSize[0] * kernelSize[1];
  const sizes = [
    { channels: problem.inChannels, taps },
    ...(problem.shortcutChannels.length > 0
      ? [{ channels: problem.shortcutChannels, taps: 1 }]
      : []),
  ].map((size) => ({ ...size, inChannels: size.channels.reduce((a, b) => a + b) }));
  const matrices = sizes.map((size, i) =>
    hostileMatrix({ ...size, outChannels }, storage, scale, 2 + i),
  );
  const weights = matrices.map(dequantized);
  const floats = await Promise.all(
    sizes.map(({ inChannels, taps: count }, i) =>
      packOnGpu(
        gpu,
        { ...PLAIN_PACK, dtype: "f32", sourceDType: "F32", outChannels, inChannels, taps: count },
        weights[i] as Float64Array,
      ),
    ),
  );
  const packed = await packIntegersOnGpu(gpu, storage, matrices, false);
  return { weights, packed, floats: joined(...floats) };
}

export async function prepareConv2d(gpu: Gpu, row: Conv2dRow): Promise<PreparedConv2d> {
  const { problem } = row;
  const { dtype, batch, inHeight, inWidth, outChannels, epilogue } = problem;
  const stored = (count: number, seed: number, [scale, offset]: Values) =>
    uniformArray(count, seed, scale, offset).map((value) => roundToDtype(value, dtype));
  const inChannels = problem.inChannels.reduce((a, b) => a + b);
  const x = stored(batch * inHeight * inWidth * inChannels, 1, row.x);
  const integers = await makeIntegers(gpu, row);
  const made = integers ? null : await makeWeight(gpu, row);
  const weight = (made?.weight ?? integers?.weights[0]) as Float64Array;
  const shortcut = await makeShortcut(gpu, row, integers?.weights[1]);
  const bias = uniformArray(outChannels, 5).map(Math.fround);
  const norm = testNorm(problem.inputNorm, inChannels);
  const normed = norm ? norm.apply(x) : x;
  const [seen, height, width] = problem.upsample
    ? [
        upsampleNearest(normed, [batch, inHeight, inWidth, inChannels], 2 * inHeight, 2 * inWidth),
        2 * inHeight,
        2 * inWidth,
      ]
    : [normed, inHeight, inWidth];
  const sums = conv2dReference(seen, weight, {
    ...problem,
    inHeight: height,
    inWidth: width,
    inChannels,
  });
  const { outHeight, outWidth } = sums;
  shortcut?.y.forEach((value, i) => (sums.y[i] = (sums.y[i] as number) + value));
  const shape = [batch, outHeight, outWidth, outChannels];
  expect(conv2dOutputSize(problem)).toEqual([outHeight, outWidth]);
  const addedRows = epilogue.channelAddShared ? 1 : batch;
  const channelAdd = epilogue.channelAdd ? stored(addedRows * outChannels, 6, [1, 0]) : null;
  const residual = epilogue.residual ? stored(sums.y.length, 7, [2, 0]) : null;
  const finished = finishRows(sums.y, {
    bias,
    activation: epilogue.activation,
    channelAdd,
    rowsPerImage: outHeight * outWidth * (batch / addedRows),
    residual,
  });
  const limit = dtype === "f16" ? F16_MAX : Infinity;
  const inputs: PreparedConv2d["inputs"] = {
    weight:
      integers?.packed ??
      joined(...[made?.packed, shortcut?.packed].filter((part) => part instanceof Uint8Array)),
    bias: packBias(bias, false),
    ...sources("x", x, problem.inChannels, dtype),
    ...(shortcut && sources("shortcut", shortcut.x, problem.shortcutChannels, dtype)),
  };
  if (norm) inputs["norm"] = norm.bytes;
  if (channelAdd) {
    const [first, channels] = epilogue.channelAddWindow ?? [0, outChannels];
    inputs["channel_add"] = packRows(
      widened(channelAdd, outChannels, first, channels),
      channels,
      dtype,
    );
  }
  if (residual) inputs["residual"] = packRows(residual, outChannels, dtype);
  const taps = problem.kernelSize[0] * problem.kernelSize[1];
  const length = inChannels * taps + (shortcut?.inChannels ?? 0);
  const productRms = Math.max(sums.productRms, shortcut?.productRms ?? 0);
  return {
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([operand, bytes]) => [operand, poisonTail(bytes)]),
    ),
    outBytes: packRows(finished, outChannels, dtype).byteLength,
    expected: finished.map((value) => Math.min(Math.max(value, -limit), limit)),
    shape,
    tolerance: contraction(dtype, length, productRms),
    roundedTolerance: roundedContraction(length, productRms),
    winogradTolerance: winograd(dtype, length, productRms),
    floats: integers && poisonTail(integers.floats),
  };
}

/** Runs a prepared row in a variant and compares. */
export async function checkConv2d(
  gpu: Gpu,
  row: Conv2dRow,
  prepared: PreparedConv2d,
  variant: Conv2dVariant,
): Promise<void> {
  const { dtype, outChannels } = row.problem;
  const plan = conv2d.plan(row.problem, gpu.caps, variant);
  const { y } = await runKernel(gpu, plan, prepared.inputs, { y: prepared.outBytes });
  const got = unpackRows(y as Uint8Array<ArrayBuffer>, outChannels, dtype);
  const isMatrix = variant.startsWith("matrix");
  const rounds = isMatrix && (row.problem.inputNorm !== "none" || row.storage !== "float");
  const direct = rounds ? prepared.roundedTolerance : prepared.tolerance;
  const tolerance = variant === "winograd" ? prepared.winogradTolerance : direct;
  expectClose(got, prepared.expected, prepared.shape, tolerance);
  // A compiler may fuse either product of a sum of two, which `naive` has; it takes the other where a weight is computed.
  if (prepared.floats && dtype === "f32" && !isMatrix && variant !== "naive") {
    const twin = conv2d.plan({ ...row.problem, weightStorage: "float" }, gpu.caps, variant);
    const inputs = { ...prepared.inputs, weight: prepared.floats };
    const results = await runKernel(gpu, twin, inputs, { y: prepared.outBytes });
    const other = unpackRows(results["y"] as Uint8Array<ArrayBuffer>, outChannels, dtype);
    const off = got.findIndex((value, i) => value !== other[i]);
    expect([off, got[off]], "the same bits with the weight as floats").toEqual([-1, other[off]]);
  }
  if (row.overflows && dtype === "f16") {
    expect([Math.min(...got), Math.max(...got)]).toEqual([-F16_MAX, F16_MAX]);
  }
}
