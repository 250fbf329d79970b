/** conv2d and linear as workloads. The reference is the definition: a loop over taps and channels in doubles. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import { packedMembers } from "../../graph/weights/weight-layout.ts";
import type { Conv2dProblem } from "../../kernels/contraction/conv2d.ts";
import { conv2d, conv2dOutputSize } from "../../kernels/contraction/conv2d.ts";
import { PLAIN_EPILOGUE } from "../../kernels/contraction/epilogue.ts";
import type { LinearProblem } from "../../kernels/contraction/linear.ts";
import { linear } from "../../kernels/contraction/linear.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";
import { chooseVariant } from "../../kernels/variant-choice.ts";
import type { CaseShape } from "./case-shape.ts";
import type { TestTensor } from "./test-data.ts";
import type { Reader, Workload } from "./workload.ts";
import { UNIT_PRODUCT_RMS, contractionTolerance, roundedWeightError } from "./workload.ts";

export function conv2dWorkload(
  shape: Extract<CaseShape, { kind: "conv2d" }>,
  dtype: DType,
  on: Caps,
): Workload {
  const { size, from, to, stride, padding, upsample = false, shortcut = [] } = shape;
  const shortcutChannels = total(shortcut);
  const residual = stride === 1 && !upsample && shortcutChannels === 0;
  const problem: Conv2dProblem = {
    dtype,
    batch: 1,
    inHeight: size,
    inWidth: size,
    inChannels: [from],
    outChannels: to,
    kernelSize: [3, 3],
    stride,
    padding,
    upsample,
    shortcutChannels: shortcut,
    inputNorm: "none",
    mergedNorm: null,
    epilogue: { ...PLAIN_EPILOGUE, residual },
  };
  const [outHeight, outWidth] = conv2dOutputSize(problem);
  const rows = outHeight * outWidth;
  const taps = 9;
  const reductionLength = taps * from + shortcutChannels;
  const scale = weightScale(reductionLength);
  const [main, pointwise] = [
    matrix([to, from, 3, 3], upsample ? "upsample-matrix" : "matrix"),
    matrix([to, shortcutChannels], "matrix"),
  ];
  const weight: Weight =
    shortcutChannels > 0
      ? { ...main, layout: "shortcut-matrix", members: [main, pointwise] }
      : main;
  const { rtol, atol } = contractionTolerance(dtype, reductionLength, scale * UNIT_PRODUCT_RMS);
  return {
    kernel: conv2d.name,
    variants: offered(conv2d, problem, on),
    select: (caps) => chooseVariant(conv2d, problem, caps).variant,
    plan: (caps, variant) => [
      {
        kernel: conv2d.name,
        plan: conv2d.plan(problem, caps, variant as (typeof conv2d.variants)[number]),
      },
    ],
    cost: conv2d.cost(problem),
    inputs: [
      { name: "x0", dtype, rows: size * size, channels: from, scale: 1, seed: 1 },
      { name: "bias", dtype: "f32", rows: 1, channels: to, scale: 1, seed: 2 },
      ...shortcut.map((channels, i) => sourceTensor(`shortcut${i}`, dtype, rows, channels, 31 + i)),
      ...(residual ? [residualTensor(dtype, rows, to)] : []),
    ],
    weight: weightOf(dtype, weight, scale),
    temporaries: {},
    output: { dtype, rows, channels: to, groupChannels: 1 },
    // Sums of taps are rounded to f16 once more.
    tolerance: {
      rtol,
      atol: atol + (upsample ? roundedWeightError(dtype, reductionLength, scale) : 0),
    },
    reference(read) {
      const [x, w, bias] = [read("x0"), read("source0"), read("bias")];
      const added: Reader = residual ? read("residual") : () => 0;
      const shortcutAt = shortcutChannels > 0 ? dotOf(read, "shortcut", shortcut, "source1") : null;
      // Without doubling, a pixel of the map is itself.
      const [mapSize, each] = upsample ? [2 * size, 2] : [size, 1];
      return (row, o) => {
        const oy = Math.floor(row / outWidth);
        const ox = row % outWidth;
        let result = bias(o);
        for (let tap = 0; tap < taps; tap++) {
          const iy = oy * stride + Math.floor(tap / 3) - padding[0];
          const ix = ox * stride + (tap % 3) - padding[2];
          if (iy < 0 || ix < 0 || iy >= mapSize || ix >= mapSize) continue;
          const pixel = (Math.floor(iy / each) * size + Math.floor(ix / each)) * from;
          for (let i = 0; i < from; i++) result += x(pixel + i) * w((o * from + i) * taps + tap);
        }
        return result + (shortcutAt?.(row, o) ?? 0) + added(row * to + o);
      };
    },
  };
}

export function linearWorkload(
  shape: Extract<CaseShape, { kind: "linear" }>,
  dtype: DType,
  on: Caps,
): Workload {
  const { rows, from, to } = shape;
  const geglu = shape.epilogue === "geglu";
  const residual = shape.epilogue === "residual";
  const activation: Activation = shape.epilogue === "quick_gelu" ? "quick_gelu" : "none";
  const outChannels = geglu ? 2 * to : to;
  const problem: LinearProblem = {
    dtype,
    rows,
    inChannels: from,
    outChannels,
    rowsPerImage: rows,
    inputNorm: "none",
    mergedNorm: null,
    layerNorm: null,
    epilogue: { ...PLAIN_EPILOGUE, residual, activation, geglu },
  };
  const reductionLength = total(from);
  const scale = weightScale(reductionLength);
  const exact = contractionTolerance(dtype, reductionLength, scale * UNIT_PRODUCT_RMS);
  return {
    kernel: linear.name,
    variants: offered(linear, problem, on),
    select: (caps) => chooseVariant(linear, problem, caps).variant,
    plan: (caps, variant) => [
      {
        kernel: linear.name,
        plan: linear.plan(problem, caps, variant as (typeof linear.variants)[number]),
      },
    ],
    cost: linear.cost(problem),
    inputs: [
      ...from.map((channels, i) => sourceTensor(`x${i}`, dtype, rows, channels, 11 + i)),
      // Multiples of 4 in all our cases, so the order of the packed columns has no gaps: see `interleaved`.
      { name: "bias", dtype: "f32", rows: 1, channels: outChannels, scale: 1, seed: 2 },
      ...(residual ? [residualTensor(dtype, rows, to)] : []),
    ],
    weight: weightOf(
      dtype,
      matrix([outChannels, reductionLength], geglu ? "geglu-matrix" : "matrix"),
      scale,
    ),
    temporaries: {},
    output: { dtype, rows, channels: to, groupChannels: 1 },
    // An activation's slope is below 1.2; GEGLU multiplies two sums of size 4 at most, each with its own error.
    tolerance: {
      rtol: exact.rtol,
      atol: exact.atol * (geglu ? 8 : activation === "none" ? 1 : 1.2),
    },
    reference(read) {
      const bias = read("bias");
      const added: Reader = residual ? read("residual") : () => 0;
      const product = dotOf(read, "x", from, "source0");
      const dot = (row: number, o: number): number =>
        bias(geglu ? interleaved(o, to) : o) + product(row, o);
      return (row, o) => {
        if (geglu) return dot(row, o) * gelu(dot(row, to + o));
        const z = dot(row, o);
        return (
          (activation === "quick_gelu" ? z / (1 + Math.exp(-1.702 * z)) : z) + added(row * to + o)
        );
      };
    },
  };
}

/** The variants that run a problem on a device. */
function offered<P, V extends string>(kernel: Kernel<P, V>, problem: P, caps: Caps): readonly V[] {
  return kernel.variants.filter(
    (variant) => (kernel.refusal?.(problem, caps, variant) ?? null) === null,
  );
}

/** A power of two that brings sums of K products with unit inputs to about 0.5. */
function weightScale(reductionLength: number): number {
  return 2 ** -Math.round(Math.log2(Math.sqrt(reductionLength) / 2));
}

function residualTensor(dtype: DType, rows: number, channels: number): TestTensor {
  return { name: "residual", dtype, rows, channels, scale: 1, seed: 3 };
}

function sourceTensor(
  name: string,
  dtype: DType,
  rows: number,
  channels: number,
  seed: number,
): TestTensor {
  return { name, dtype, rows, channels, scale: 1, seed };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Row times column of a matrix [out, in]; the row is that of several sources, `name`0, `name`1 … */
function dotOf(
  read: (name: string) => Reader,
  name: string,
  channels: readonly number[],
  matrixName: string,
): (row: number, column: number) => number {
  const sources = channels.map((count, i) => ({ count, at: read(`${name}${i}`) }));
  const w = read(matrixName);
  const length = total(channels);
  return (row, column) => {
    let result = 0;
    let k = column * length;
    for (const { count, at } of sources) {
      for (let c = 0; c < count; c++) result += at(row * count + c) * w(k++);
    }
    return result;
  };
}

function matrix(shape: readonly number[], layout: Weight["layout"]): Weight {
  return { name: "weight", shape, layout };
}

/** As the engine lays it out: sources `source0`, `source1` … in the order of the parts. */
function weightOf(dtype: DType, weight: Weight, scale: number): Workload["weight"] {
  return packedMembers(weight).map(({ layout }, i) => {
    const { outChannels, inChannels, taps } = layout;
    // One row: the checkpoint's layout has no padding.
    const channels = outChannels * inChannels * taps;
    return {
      source: { name: `source${i}`, dtype: "f32", rows: 1, channels, scale, seed: 4 + 100 * i },
      problem: { dtype, sourceDType: "F32", lora: null, roundToHalf: false, ...layout },
    };
  });
}

/** Position of row `o` of a GEGLU bias [value | gate], `half` each, among interleaved quads. */
function interleaved(o: number, half: number): number {
  const [row, gate] = o < half ? [o, 0] : [o - half, 4];
  return Math.floor(row / 4) * 8 + gate + (row % 4);
}

function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** Maclaurin series up to 3, continued fraction of erfc beyond: double precision. */
function erf(x: number): number {
  const z = Math.abs(x);
  if (z < 3) {
    let term = z;
    let sum = z;
    for (let n = 1; n < 80; n++) {
      term *= -(z * z) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction));
}
