/** GroupNorm + SiLU (three kernels), LayerNorm, addition and nearest upsampling as workloads. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { AffineActivationProblem } from "../../kernels/norm/affine-activation.ts";
import { affineActivation } from "../../kernels/norm/affine-activation.ts";
import type { ChannelStatsProblem } from "../../kernels/norm/channel-stats.ts";
import {
  channelStats,
  channelStatsByteLength,
  choosePartials,
} from "../../kernels/norm/channel-stats.ts";
import type { GroupNormAffineProblem } from "../../kernels/norm/group-norm-affine.ts";
import {
  groupNormAffine,
  groupNormAffineByteLength,
} from "../../kernels/norm/group-norm-affine.ts";
import { layerNorm } from "../../kernels/norm/layer-norm.ts";
import { elementwise } from "../../kernels/pointwise/elementwise.ts";
import { upsampleNearest } from "../../kernels/pointwise/upsample-nearest.ts";
import type { CaseShape } from "./case-shape.ts";
import type { TestTensor } from "./test-data.ts";
import type { Workload } from "./workload.ts";
import { pointwiseTolerance } from "./workload.ts";

/** What every workload of a single kernel without weights has in common. */
function single<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
): Pick<Workload, "kernel" | "variants" | "select" | "plan" | "cost" | "weight" | "temporaries"> {
  return {
    kernel: kernel.name,
    variants: kernel.variants,
    select: (caps) => kernel.select(problem, caps),
    plan: (caps, variant) => [
      { kernel: kernel.name, plan: kernel.plan(problem, caps, variant as V) },
    ],
    cost: kernel.cost(problem),
    weight: [],
    temporaries: {},
  };
}

export function groupNormSiluWorkload(
  shape: Extract<CaseShape, { kind: "group-norm-silu" }>,
  dtype: DType,
): Workload {
  const { size, channels, numGroups, eps } = shape;
  const pixels = size * size;
  const statsOf = (caps: Caps): ChannelStatsProblem => ({
    dtype,
    batch: 1,
    height: size,
    width: size,
    channels,
    region: { y0: 0, y1: size, x0: 0, x1: size },
    partials: choosePartials(pixels, channels, caps),
  });
  const affineOf = (caps: Caps): GroupNormAffineProblem => ({
    batch: 1,
    sources: [
      {
        channels,
        partials: statsOf(caps).partials,
        pixels,
        tiles: null,
        channelsPerEntry: 1,
        first: 0,
      },
    ],
    numGroups,
    isStacked: false,
    eps,
  });
  const apply: AffineActivationProblem = {
    dtype,
    batch: 1,
    pixels,
    channels,
    channelOffset: 0,
    totalChannels: channels,
    activation: "silu",
  };
  const applied = affineActivation.cost(apply);
  const groupChannels = channels / numGroups;
  return {
    kernel: "groupNorm",
    variants: ["strip"],
    select: () => "strip",
    plan: (caps) => [
      { kernel: channelStats.name, plan: channelStats.plan(statsOf(caps), caps) },
      {
        kernel: groupNormAffine.name,
        plan: groupNormAffine.plan(affineOf(caps), caps),
        buffers: { stats0: "stats" },
      },
      { kernel: affineActivation.name, plan: affineActivation.plan(apply, caps) },
    ],
    // x is read twice, y written once; the tables between are small and depend on the device.
    cost: {
      flops: applied.flops + pixels * channels * 5,
      bytesRead: 2 * applied.bytesRead,
      bytesWritten: applied.bytesWritten,
    },
    inputs: [
      { name: "x", dtype, rows: pixels, channels, scale: 4, seed: 31 },
      { name: "gamma", dtype: "f32", rows: 1, channels, scale: 1, seed: 32 },
      { name: "beta", dtype: "f32", rows: 1, channels, scale: 1, seed: 33 },
    ],
    weight: [],
    // One strip a pixel would be the most that any device asks for; the cut is at 32 pixels a strip.
    temporaries: {
      stats: channelStatsByteLength(1, Math.max(1, Math.floor(pixels / 32)), channels),
      affine: groupNormAffineByteLength(1, channels),
    },
    output: { dtype, rows: pixels, channels, groupChannels },
    tolerance: pointwiseTolerance(dtype),
    reference(read) {
      const [x, gamma, beta] = [read("x"), read("gamma"), read("beta")];
      const moments = new Map<number, readonly [mean: number, rstd: number]>();
      const momentsOf = (group: number): readonly [number, number] => {
        const known = moments.get(group);
        if (known) return known;
        let [sum, squares] = [0, 0];
        for (let pixel = 0; pixel < pixels; pixel++) {
          for (let c = group * groupChannels; c < (group + 1) * groupChannels; c++) {
            const value = x(pixel * channels + c);
            sum += value;
            squares += value * value; // in doubles, and the mean is near 0: nothing cancels
          }
        }
        const mean = sum / (pixels * groupChannels);
        const rstd = 1 / Math.sqrt(squares / (pixels * groupChannels) - mean * mean + eps);
        moments.set(group, [mean, rstd]);
        return [mean, rstd];
      };
      return (pixel, c) => {
        const [mean, rstd] = momentsOf(Math.floor(c / groupChannels));
        const y = (x(pixel * channels + c) - mean) * rstd * gamma(c) + beta(c);
        return y / (1 + Math.exp(-y));
      };
    },
  };
}

export function layerNormWorkload(
  shape: Extract<CaseShape, { kind: "layer-norm" }>,
  dtype: DType,
): Workload {
  const { rows, channels } = shape;
  const eps = 1e-5;
  return {
    ...single(layerNorm, { dtype, rows, channels, eps }),
    inputs: [
      { name: "x", dtype, rows, channels, scale: 4, seed: 41 },
      { name: "gamma", dtype: "f32", rows: 1, channels, scale: 1, seed: 42 },
      { name: "beta", dtype: "f32", rows: 1, channels, scale: 1, seed: 43 },
    ],
    output: { dtype, rows, channels, groupChannels: channels },
    tolerance: pointwiseTolerance(dtype),
    reference(read) {
      const [x, gamma, beta] = [read("x"), read("gamma"), read("beta")];
      return (row, channel) => {
        let [sum, squares] = [0, 0];
        for (let c = 0; c < channels; c++) {
          const value = x(row * channels + c);
          sum += value;
          squares += value * value;
        }
        const mean = sum / channels;
        const rstd = 1 / Math.sqrt(squares / channels - mean * mean + eps);
        return (x(row * channels + channel) - mean) * rstd * gamma(channel) + beta(channel);
      };
    },
  };
}

export function addWorkload(shape: Extract<CaseShape, { kind: "add" }>, dtype: DType): Workload {
  const { rows, channels } = shape;
  const quads = rows * quadCount(channels);
  const tensor = (name: string, seed: number): TestTensor => ({
    name,
    dtype,
    rows,
    channels,
    scale: 1,
    seed,
  });
  return {
    ...single(elementwise, { dtype, quads, hasB: true, scaleA: 1, scaleB: 1, activation: "none" }),
    inputs: [tensor("a", 51), tensor("b", 52)],
    output: { dtype, rows, channels, groupChannels: 1 },
    tolerance: pointwiseTolerance(dtype),
    reference(read) {
      const [a, b] = [read("a"), read("b")];
      return (row, channel) => a(row * channels + channel) + b(row * channels + channel);
    },
  };
}

export function upsampleWorkload(
  shape: Extract<CaseShape, { kind: "upsample" }>,
  dtype: DType,
): Workload {
  const { size, channels } = shape;
  const problem = {
    dtype,
    batch: 1,
    inHeight: size,
    inWidth: size,
    outHeight: 2 * size,
    outWidth: 2 * size,
    channels,
  };
  return {
    ...single(upsampleNearest, problem),
    inputs: [{ name: "x", dtype, rows: size * size, channels, scale: 1, seed: 61 }],
    output: { dtype, rows: 4 * size * size, channels, groupChannels: 1 },
    tolerance: { rtol: 0, atol: 0 }, // a copy
    reference(read) {
      const x = read("x");
      return (pixel, channel) => {
        const [row, column] = [Math.floor(pixel / (2 * size)), pixel % (2 * size)];
        return x((Math.floor(row / 2) * size + Math.floor(column / 2)) * channels + channel);
      };
    },
  };
}
