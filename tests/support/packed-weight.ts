/** Checkpoint tensors as bytes, and packing them on the GPU for the tests of conv2d and linear. */
import type { Gpu } from "../../src/gpu/device.ts";
import { floatToHalfBits, halfBitsToFloat } from "../../src/gpu/dtype.ts";
import type { PackWeightProblem, SourceDType } from "../../src/kernels/contraction/pack-weight.ts";
import { packWeight, packedWeightByteLength } from "../../src/kernels/contraction/pack-weight.ts";
import { packedRows } from "../reference/pack-weight.ts";
import { runKernel } from "./gpu.ts";

const floatView = new Float32Array(1);
const bitsView = new Uint32Array(floatView.buffer);

/** Bits of the bfloat16 nearest to `value` (ties to even). */
function toBfloat16Bits(value: number): number {
  floatView[0] = value;
  const bits = bitsView[0] as number;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** `value` as a checkpoint of `source` holds it. */
export function roundToSource(value: number, source: SourceDType): number {
  if (source === "F32") return Math.fround(value);
  if (source === "F16") return halfBitsToFloat(floatToHalfBits(value));
  bitsView[0] = toBfloat16Bits(value) << 16;
  return floatView[0] as number;
}

/** Raw bytes of a tensor. An odd number of 16-bit elements is followed by a NaN, which must not matter. */
export function sourceBytes(values: Float64Array, source: SourceDType): Uint8Array<ArrayBuffer> {
  if (source === "F32") return new Uint8Array(Float32Array.from(values).buffer);
  const words = new Uint16Array(Math.ceil(values.length / 2) * 2).fill(0x7fff);
  const toBits = source === "F16" ? floatToHalfBits : toBfloat16Bits;
  values.forEach((value, index) => (words[index] = toBits(value)));
  return new Uint8Array(words.buffer);
}

/** `bytes` followed by NaN in every dtype: a kernel that lets a read past the end count is found out. */
export function poisonTail(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.byteLength + 256).fill(0xff);
  out.set(bytes);
  return out;
}

/** A matrix as it is: no taps, no LoRA, a buffer of its own. */
export const PLAIN_PACK = {
  taps: 1,
  geglu: false,
  upsample: false,
  lora: null,
  place: null,
  roundToHalf: false,
} as const;

/** Runs packWeight on `weight` [out, in, taps] and its LoRA factors. Returns the packed bytes. */
export async function packOnGpu(
  gpu: Gpu,
  problem: PackWeightProblem,
  weight: Float64Array,
  lora?: { readonly a: Float64Array; readonly b: Float64Array },
): Promise<Uint8Array<ArrayBuffer>> {
  const inputs = {
    source: sourceBytes(weight, problem.sourceDType),
    ...(problem.lora && lora
      ? {
          lora_a: sourceBytes(lora.a, problem.lora.aDType),
          lora_b: sourceBytes(lora.b, problem.lora.bDType),
        }
      : {}),
  };
  const plan = packWeight.plan(problem, gpu.caps);
  const { packed } = await runKernel(gpu, plan, inputs, {
    packed: packedWeightByteLength(problem),
  });
  return packed as Uint8Array<ArrayBuffer>;
}

/** Bias as conv2d and linear bind it: f32 in the order of the packed columns, zeros in the padding. */
export function packBias(bias: Float64Array, geglu: boolean): Uint8Array<ArrayBuffer> {
  const rows = packedRows(bias.length, geglu);
  return new Uint8Array(
    Float32Array.from(rows, (row) => (row < 0 ? 0 : (bias[row] as number))).buffer,
  );
}
