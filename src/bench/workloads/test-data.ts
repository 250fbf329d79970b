/**
 * Benchmark inputs as a function of the element's index: the device fills its buffers with it, and the
 * reference computes single elements again on the host. Nothing is uploaded and nothing large is stored.
 *
 *   value(i) = scale · (h(i, seed) − 1024) / 1024      h: 11 bits of a 32-bit mixing function
 *
 * With a power of two as scale every value is exact in f16 too.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { elementCount, paddedChannels, quadCount } from "../../gpu/shape.ts";
import type { SourceTensor } from "../../graph/weights/device-weights.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";
import { f32, u32, writes } from "../../kernels/kernel.ts";
import { flatPlan } from "./flat-plan.ts";

/** A tensor [rows, channels] of pseudo-random values, channels padded with zeros to quads. */
export interface TestTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly rows: number;
  readonly channels: number;
  /** A power of two; values are within −scale … scale. */
  readonly scale: number;
  readonly seed: number;
}

/** Bytes of a tensor in device memory. */
export function testTensorByteLength({
  rows,
  channels,
  dtype,
}: Pick<TestTensor, "rows" | "channels" | "dtype">): number {
  return rows * paddedChannels(channels) * dtypeByteLength(dtype);
}

/** Reads element `row · channels + channel` of a tensor; what the device holds, exactly. */
export function elementReader({
  scale,
  seed,
}: Pick<TestTensor, "scale" | "seed">): (index: number) => number {
  const step = scale / 1024;
  const salt = mix(seed);
  return (index) => ((mix(index ^ salt) >>> 21) - 1024) * step;
}

/** A tensor as it lies in a checkpoint, in f32. */
export function sourceTensor(tensor: TestTensor, shape: readonly number[]): SourceTensor {
  const element = elementReader(tensor);
  return {
    dtype: "F32",
    shape,
    byteLength: 4 * elementCount(shape),
    async read(start, length) {
      const values = Float32Array.from({ length: length / 4 }, (_, i) => element(start / 4 + i));
      return new Uint8Array(values.buffer);
    },
  };
}

/** A 32-bit mixing function: multiply and shift, constants of C. Wellons' "lowbias32". */
export function mix(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Four values of the tensor's row, zeros behind its last channel. */
const FILL = /* wgsl */ `
  let row = i / params.quads;
  let first = (i % params.quads) * 4u;
  var v = vec4<f32>(0.0);
  for (var lane = 0u; lane < 4u; lane++) {
    if (first + lane < params.channels) {
      let h = mix32((row * params.channels + first + lane) ^ params.salt);
      v[lane] = (f32(h >> 21u) - 1024.0) * params.step;
    }
  }
  y[i] = pack(v);`;

const MIX = /* wgsl */ `
fn mix32(value: u32) -> u32 {
  var x = value;
  x = (x ^ (x >> 16u)) * 0x7feb352du;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  return x ^ (x >> 16u);
}
`;

/** Fills operand `y` with a tensor. */
export function fillPlan(tensor: TestTensor, caps: Caps): KernelPlan {
  const { dtype, rows, channels, scale, seed } = tensor;
  const header = {
    caps,
    dtype,
    operands: [writes("y")],
    params: [
      u32("quads", quadCount(channels)),
      u32("channels", channels),
      u32("salt", mix(seed)),
      f32("step", scale / 1024),
    ],
  };
  return flatPlan("fill", header, FILL, rows * quadCount(channels), MIX);
}

/** Fills operand `y` with NaN of either dtype, so that an element which a kernel skips is found out. */
export function poisonPlan(byteLength: number, caps: Caps): KernelPlan {
  const operands = [writes("y", "vec4<u32>")];
  const header = { caps, dtype: "f32" as const, operands, params: [] };
  return flatPlan("poison", header, "y[i] = vec4<u32>(0xffffffffu);", Math.ceil(byteLength / 16));
}
