/** Statistics from the epilogue of conv2d and linear, against those of the map that the same run stores. */
import { expect } from "vitest";
import type { Gpu } from "../../../src/gpu/device.ts";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import type { Conv2dProblem } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d } from "../../../src/kernels/contraction/conv2d.ts";
import type { Epilogue } from "../../../src/kernels/contraction/epilogue.ts";
import { TILE_ROWS } from "../../../src/kernels/contraction/gemm-tiled.ts";
import { linear } from "../../../src/kernels/contraction/linear.ts";
import { patchTile } from "../../../src/kernels/contraction/tile-statistics.ts";
import type { ChannelsPerEntry } from "../../../src/kernels/norm/channel-stats.ts";
import { channelStatsByteLength } from "../../../src/kernels/norm/channel-stats.ts";
import { splitStats } from "../../reference/channel-stats.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows } from "../../support/gpu.ts";
import { testNorm } from "../../support/input-norm.ts";
import { PLAIN_PACK, packBias, packOnGpu } from "../../support/packed-weight.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { uniformArray } from "../../support/random.ts";
import { entryIndex, entriesOf, measuresBeforeRounding } from "../../support/statistics.ts";
import { pointwise } from "../../support/tolerance.ts";

export interface StatisticsCase {
  readonly size: readonly [height: number, width: number];
  readonly from: readonly number[];
  readonly to: number;
  /** 1: a linear layer. */
  readonly kernel: 1 | 3;
  readonly upsample?: boolean;
  readonly shortcut?: readonly number[];
  readonly channelAdd?: boolean;
  readonly residual?: boolean;
  readonly norm?: boolean;
  /** Added to every bias: statistics must not lose their digits to it. */
  readonly offset?: number;
  /** Channels of an entry; 1 unless told. */
  readonly channelsPerEntry?: ChannelsPerEntry;
  /** Where they begin, in f32. */
  readonly first?: number;
  readonly dtype?: DType;
}

export const STATISTICS_CASES: readonly StatisticsCase[] = [
  { size: [8, 8], from: [5], to: 6, kernel: 1 }, // one tile, padded channels
  { size: [16, 12], from: [9], to: 70, kernel: 1, residual: true, dtype: "f16" }, // 3 × 2 tiles
  { size: [8, 8], from: [5], to: 9, kernel: 3, channelAdd: true },
  { size: [8, 8], from: [5], to: 9, kernel: 3, offset: 1000 },
  { size: [8, 16], from: [4], to: 8, kernel: 3, upsample: true }, // 2 tiles in each of 4 phases
  { size: [8, 8], from: [8, 5], to: 65, kernel: 3, norm: true, channelAdd: true },
  { size: [8, 8], from: [5], to: 9, kernel: 3, norm: true, shortcut: [8, 3] },
  { size: [16, 12], from: [9], to: 70, kernel: 1, channelsPerEntry: 2, first: 16 },
  { size: [8, 8], from: [5], to: 72, kernel: 1, channelsPerEntry: 4, first: 8, offset: 1000 },
];

/** The variants that take statistics. */
export type TileVariant =
  | "tiled"
  | "matrix"
  | "patch"
  | "patch-winograd"
  | "matrix-patch-8"
  | "matrix-patch-4";

/** For the variants on patches, which also take maps that are no whole tiles. */
export const PATCH_STATISTICS_CASES: readonly StatisticsCase[] = (
  [
    { size: [8, 16], from: [5], to: 9, channelAdd: true, offset: 1000 }, // one tile
    { size: [16, 48], from: [5], to: 65, residual: true, dtype: "f16" }, // 2 × 3 tiles, 2 columns of them
    { size: [9, 17], from: [4], to: 70, upsample: true }, // 2 × 2 tiles in each of 4 phases, three of them broken
    { size: [9, 15], from: [5], to: 9, channelAdd: true, offset: 1000 },
    { size: [1, 1], from: [5], to: 9, residual: true, dtype: "f16" },
    { size: [16, 16], from: [8, 5], to: 65, norm: true, channelAdd: true },
    { size: [16, 16], from: [5], to: 9, norm: true, shortcut: [8, 3] },
    { size: [9, 17], from: [5], to: 70, channelsPerEntry: 2, first: 8, offset: 1000 },
    { size: [9, 17], from: [5], to: 68, channelsPerEntry: 4, first: 24 },
  ] as const
).map((testCase) => ({ ...testCase, kernel: 3 }));

export const statisticsTitle = ({
  size,
  from,
  to,
  kernel,
  dtype = "f32",
  ...options
}: StatisticsCase): string =>
  `${dtype} ${kernel}x${kernel} [${size.join(",")},${from.join("+")}] → ${to} ${JSON.stringify(options)}`;

/** Runs a case in a variant and compares. */
export async function checkStatistics(
  gpu: Gpu,
  testCase: StatisticsCase,
  variant: TileVariant,
): Promise<void> {
  const { size, from, to, kernel, upsample = false, shortcut = [], dtype = "f32" } = testCase;
  const { channelsPerEntry = 1, first = 0 } = testCase;
  const [height, width] = size;
  const scale = upsample ? 2 : 1;
  const rows = height * width * scale * scale;
  const sum = (channels: readonly number[]): number => channels.reduce((a, b) => a + b, 0);
  const epilogue = {
    ...PLAIN_EPILOGUE,
    channelAdd: testCase.channelAdd === true,
    residual: testCase.residual === true,
    channelsPerEntry,
    statisticsFirst: first,
  };
  const inputNorm = testCase.norm ? ("affine-silu" as const) : ("none" as const);
  const weightStorage = "float" as const;
  const common = {
    dtype,
    inChannels: from,
    outChannels: to,
    inputNorm,
    mergedNorm: null,
    weightStorage,
  };
  const planOf = (statistics: Epilogue["statistics"]) =>
    kernel === 1
      ? linear.plan(
          {
            ...common,
            layerNorm: null,
            rows,
            rowsPerImage: rows,
            epilogue: { ...epilogue, statistics },
          },
          gpu.caps,
          variant as "tiled" | "matrix",
        )
      : conv2d.plan(
          { ...common, ...convolution(testCase), epilogue: { ...epilogue, statistics } },
          gpu.caps,
          variant,
        );
  const packed = async (inChannels: number, taps: number, seed: number) =>
    packOnGpu(
      gpu,
      {
        ...PLAIN_PACK,
        dtype,
        sourceDType: "F32",
        outChannels: to,
        inChannels,
        taps,
        upsample: upsample && taps === 9,
      },
      uniformArray(to * inChannels * taps, seed),
    );
  const map = (count: number, channels: number, seed: number) =>
    packRows(
      uniformArray(count * channels, seed).map((value) => roundToDtype(value, dtype)),
      channels,
      dtype,
    );
  const main = await packed(sum(from), kernel * kernel, 1);
  const side = shortcut.length > 0 ? [...(await packed(sum(shortcut), 1, 2))] : [];
  const bias = uniformArray(to, 3, 2, testCase.offset ?? 0).map(Math.fround);
  const inputs = {
    ...Object.fromEntries(from.map((c, i) => [`x${i}`, map(height * width, c, 10 + i)])),
    ...Object.fromEntries(shortcut.map((c, i) => [`shortcut${i}`, map(rows, c, 20 + i)])),
    weight: Uint8Array.from([...main, ...side]),
    bias: packBias(bias, false),
    ...(epilogue.channelAdd && { channel_add: map(1, to, 4) }),
    ...(epilogue.residual && { residual: map(rows, to, 5) }),
    ...(testCase.norm && {
      norm: testNorm(inputNorm, sum(from))?.bytes as Uint8Array<ArrayBuffer>,
    }),
  };
  const outBytes = packRows(new Float64Array(rows * to), to, dtype).byteLength;
  const parts = splitsOf(variant, height, width, upsample);
  const partials = parts.length;
  const { y, stats } = await runKernel(gpu, planOf("channels"), inputs, {
    y: outBytes,
    stats: 4 * first + channelStatsByteLength(1, partials, to, channelsPerEntry),
  });
  // Without a norm on load the shader is shared by cases: what is stored must not depend on the statistics.
  if (!testCase.norm)
    expect(y).toEqual((await runKernel(gpu, planOf("none"), inputs, { y: outBytes }))["y"]);

  const stored = unpackRows(y as Uint8Array<ArrayBuffer>, to, dtype);
  const counts = parts.map(({ length }) => length);
  const expected = entriesOf(splitStats(stored, parts, to), counts, to, channelsPerEntry);
  const entries = Math.floor(to / channelsPerEntry);
  const got = new Float32Array((stats as Uint8Array<ArrayBuffer>).buffer, 4 * first);
  const part = (offset: number) =>
    Float64Array.from({ length: partials * entries }, (_, i) => {
      const at = entryIndex(Math.floor(i / entries), i % entries, to, channelsPerEntry);
      return got[at + offset] as number;
    });
  const isRounded = dtype === "f32" || !measuresBeforeRounding(gpu.caps);
  const limit = pointwise("f32"); // whatever the storage: of the values that are stored
  const m2 = Math.max(...expected.m2);
  const off = isRounded ? 0 : 2 ** -11 * Math.max(...stored.map(Math.abs));
  // Of an entry likewise: the means of its channels round at the size of the offset.
  const rounding = channelsPerEntry > 1 ? 2 * 2 ** -24 * (testCase.offset ?? 0) : 0;
  const between = 2 * rounding * Math.sqrt(channelsPerEntry * Math.max(...counts) * m2);
  const nmse = isRounded ? limit.nmse : Infinity;
  const shape = [partials, entries];
  expectClose(part(0), expected.mean, shape, { ...limit, nmse, atol: limit.atol + off });
  expectClose(part(4 / channelsPerEntry), expected.m2, shape, {
    ...limit,
    nmse: nmse + (between / m2) ** 2,
    // |Σ(v + e)² − Σv²| ≤ 2·off·Σ|v − mean|, and that by Cauchy and Schwarz
    atol: limit.atol * m2 + 2 * off * Math.sqrt(TILE_ROWS * m2) + between,
  });
}

/** Everything of a convolution that a linear layer has not. */
function convolution({
  size: [inHeight, inWidth],
  upsample = false,
  shortcut = [],
}: StatisticsCase): Omit<
  Conv2dProblem,
  "dtype" | "inChannels" | "outChannels" | "inputNorm" | "mergedNorm" | "weightStorage" | "epilogue"
> {
  return {
    batch: 1,
    inHeight,
    inWidth,
    kernelSize: [3, 3],
    stride: 1,
    padding: [1, 1, 1, 1],
    upsample,
    shortcutChannels: shortcut,
  };
}

/** The output pixels of each tile: of phase after phase where a map is doubled. */
function splitsOf(
  variant: TileVariant,
  height: number,
  width: number,
  upsample: boolean,
): number[][] {
  const phases = upsample ? [0, 1, 2, 3] : [0];
  const patch = patchTile(variant);
  return phases.flatMap((phase) => {
    const parts = new Map<number, number[]>();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const tile =
          patch === null
            ? Math.floor((y * width + x) / TILE_ROWS)
            : Math.floor(y / patch[0]) * Math.ceil(width / patch[1]) + Math.floor(x / patch[1]);
        const pixel = upsample
          ? (2 * y + (phase >> 1)) * 2 * width + 2 * x + (phase & 1)
          : y * width + x;
        parts.set(tile, [...(parts.get(tile) ?? []), pixel]);
      }
    }
    return [...parts].toSorted(([a], [b]) => a - b).map(([, pixels]) => pixels);
  });
}
