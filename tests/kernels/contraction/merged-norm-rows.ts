/** GroupNorms whose statistics conv2d and linear merge while they load, against the definition. */
import { expect } from "vitest";
import type { Gpu } from "../../../src/gpu/device.ts";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { conv2d } from "../../../src/kernels/contraction/conv2d.ts";
import { isMatrixVariant } from "../../../src/kernels/contraction/gemm-matrix.ts";
import { linear } from "../../../src/kernels/contraction/linear.ts";
import { patchTile } from "../../../src/kernels/contraction/tile-statistics.ts";
import type { Statistics, ChannelsPerEntry } from "../../../src/kernels/norm/channel-stats.ts";
import { partialPixels } from "../../../src/kernels/norm/channel-stats.ts";
import { splitStats } from "../../reference/channel-stats.ts";
import { conv2d as conv2dReference } from "../../reference/conv2d.ts";
import { groupNorm } from "../../reference/group-norm.ts";
import { finishRows } from "../../reference/linear.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows } from "../../support/gpu.ts";
import { PLAIN_PACK, packBias, packOnGpu } from "../../support/packed-weight.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { uniformArray } from "../../support/random.ts";
import { entriesOf, storedEntries } from "../../support/statistics.ts";
import { contraction, roundedContraction } from "../../support/tolerance.ts";
import type { TileVariant } from "./statistics-rows.ts";

const EPS = 1e-5;
/** f32 in front of the first statistics, which belong to nobody. */
const UNUSED = 8;

/** A source of x: channels, and how its statistics are cut. */
interface Source {
  readonly channels: number;
  readonly partials: number;
  readonly channelsPerEntry: ChannelsPerEntry;
}

export interface MergedNormCase {
  readonly size: readonly [height: number, width: number];
  readonly from: readonly Source[];
  readonly groups: number;
  readonly to: number;
  /** 1: a linear layer. */
  readonly kernel: 1 | 3;
  readonly dtype?: DType;
  /** Mean of x, of which it must not lose digits. */
  readonly offset?: number;
  /** Also writes statistics of its own, behind those that it reads. */
  readonly measures?: boolean;
}

const one = (
  channels: number,
  partials: number,
  channelsPerEntry: ChannelsPerEntry,
): readonly Source[] => [{ channels, partials, channelsPerEntry }];

export const MERGED_NORM_CASES: readonly MergedNormCase[] = [
  { size: [8, 8], from: one(8, 1, 4), groups: 2, to: 5, kernel: 3 },
  { size: [5, 7], from: one(40, 3, 2), groups: 4, to: 70, kernel: 3 }, // groups of 10: quads of two groups
  { size: [9, 5], from: one(12, 45, 1), groups: 2, to: 6, kernel: 3, offset: 30 }, // a part a pixel
  { size: [8, 8], from: one(64, 2, 2), groups: 32, to: 9, kernel: 3, dtype: "f16" }, // 2 channels a group
  {
    size: [4, 6],
    from: [
      { channels: 8, partials: 2, channelsPerEntry: 2 },
      { channels: 10, partials: 5, channelsPerEntry: 2 }, // padded; the second of three groups has channels of both
    ],
    groups: 1,
    to: 8,
    kernel: 3,
  },
  {
    size: [8, 8],
    from: [
      { channels: 20, partials: 4, channelsPerEntry: 4 },
      { channels: 28, partials: 1, channelsPerEntry: 1 },
    ],
    groups: 4, // of 12: the second has channels of both
    to: 70,
    kernel: 3,
    measures: true,
  },
  { size: [13, 5], from: one(24, 5, 2), groups: 4, to: 7, kernel: 1 },
  { size: [8, 16], from: one(24, 3, 4), groups: 2, to: 70, kernel: 1, measures: true },
  { size: [13, 5], from: one(32, 5, 4), groups: 8, to: 70, kernel: 1, dtype: "f16", offset: 3 },
];

/** Runs a case in a variant and compares. */
export async function checkMergedNorm(
  gpu: Gpu,
  testCase: MergedNormCase,
  variant: TileVariant,
): Promise<void> {
  const { size, from, groups, to, kernel, dtype = "f32", offset = 0, measures = false } = testCase;
  const [height, width] = size;
  const pixels = height * width;
  const channels = from.reduce((sum, source) => sum + source.channels, 0);
  const maps = from.map(({ channels: count }, i) =>
    uniformArray(pixels * count, 10 + i, 1, offset).map((value) => roundToDtype(value, dtype)),
  );
  const all = uniformArray(UNUSED, 9).map(Math.fround);
  const buffer: number[] = [...all];
  const statistics = from.map(({ channels: count, partials, channelsPerEntry }, i): Statistics => {
    const first = buffer.length;
    const place = { partials, pixels, tiles: null, channelsPerEntry, first };
    const counts = Array.from({ length: partials }, (_, split) => partialPixels(place, split));
    let next = 0;
    const parts = counts.map((length) => Array.from({ length }, () => next++));
    const single = splitStats(maps[i] as Float64Array, parts, count);
    buffer.push(
      ...storedEntries(
        entriesOf(single, counts, count, channelsPerEntry),
        partials,
        count,
        channelsPerEntry,
      ),
    );
    while (buffer.length % 8 !== 0) buffer.push(0);
    return place;
  });
  const given = Float32Array.from(buffer);
  const weight = uniformArray(to * channels * kernel ** 2, 1).map((v) => roundToDtype(v, dtype));
  const [gamma, beta, bias] = [
    uniformArray(channels, 2, 1.5).map(Math.fround),
    uniformArray(channels, 3).map(Math.fround),
    uniformArray(to, 4).map(Math.fround),
  ] as const;
  const common = {
    dtype,
    inChannels: from.map((source) => source.channels),
    outChannels: to,
    inputNorm: "affine-silu",
    mergedNorm: { statistics, numGroups: groups, eps: EPS },
    weightStorage: "float" as const,
    epilogue: {
      ...PLAIN_EPILOGUE,
      statistics: measures ? "channels" : "none",
      statisticsFirst: given.length,
    },
  } as const;
  const plan =
    kernel === 1
      ? linear.plan(
          { ...common, layerNorm: null, rows: pixels, rowsPerImage: pixels },
          gpu.caps,
          variant as "tiled" | "matrix",
        )
      : conv2d.plan(
          {
            ...common,
            batch: 1,
            inHeight: height,
            inWidth: width,
            kernelSize: [3, 3],
            stride: 1,
            padding: [1, 1, 1, 1],
            upsample: false,
            shortcutChannels: [],
          },
          gpu.caps,
          variant,
        );
  const packing = { ...PLAIN_PACK, dtype, sourceDType: "F32", outChannels: to } as const;
  const patch = patchTile(variant);
  const tiles =
    patch === null
      ? Math.ceil(pixels / 64)
      : Math.ceil(height / patch[0]) * Math.ceil(width / patch[1]);
  const written = measures ? Math.ceil(to / 4) * 8 * tiles : 0;
  const room = new Float32Array(given.length + written);
  room.set(given);
  const { y, stats } = await runKernel(
    gpu,
    plan,
    {
      ...Object.fromEntries(
        from.map(({ channels: count }, i) => [
          `x${i}`,
          packRows(maps[i] as Float64Array, count, dtype),
        ]),
      ),
      weight: await packOnGpu(gpu, { ...packing, inChannels: channels, taps: kernel ** 2 }, weight),
      bias: packBias(bias, false),
      norm: packRows(Float64Array.from([...gamma, ...beta]), channels, "f32"),
      stats: new Uint8Array(room.buffer),
    },
    { y: packRows(new Float64Array(pixels * to), to, dtype).byteLength, stats: room.byteLength },
  );

  const x = Float64Array.from({ length: pixels * channels }, (_, i) => {
    let channel = i % channels;
    const source = from.findIndex(({ channels: count }) => (channel -= count) < 0);
    const count = (from[source] as Source).channels;
    return maps[source]?.[Math.floor(i / channels) * count + channel + count] as number;
  });
  const normed = groupNorm(x, 1, pixels, groups, EPS, gamma, beta).map(
    (v) => v / (1 + Math.exp(-v)),
  );
  const pad = (kernel - 1) / 2;
  const sums = conv2dReference(normed, weight, {
    batch: 1,
    inHeight: height,
    inWidth: width,
    inChannels: channels,
    kernelSize: [kernel, kernel],
    stride: 1,
    padding: [pad, pad, pad, pad],
  });
  const expected = finishRows(sums.y, {
    bias,
    activation: "none",
    channelAdd: null,
    rowsPerImage: pixels,
    residual: null,
  });
  const length = channels * kernel ** 2;
  const limit = isMatrixVariant(variant)
    ? roundedContraction(length, sums.productRms)
    : contraction(dtype, length, sums.productRms);
  // Means round at the size of the offset, which 1 / deviation (about 2) and gamma scale.
  const slack = 1 + 4 * offset;
  expectClose(unpackRows(y as Uint8Array<ArrayBuffer>, to, dtype), expected, [pixels, to], {
    ...limit,
    atol: limit.atol * slack,
    nmse: limit.nmse * slack ** 2,
  });
  const after = new Float32Array((stats as Uint8Array<ArrayBuffer>).buffer);
  expect(after.subarray(0, given.length)).toEqual(given);
  if (measures) expect(after.subarray(given.length).some((value) => value !== 0)).toBe(true);
}
