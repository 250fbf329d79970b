/**
 * Weights that are no finite numbers, or that their storage cannot hold. Matrices are counted on the device while they
 * are packed; what the host reads whole is looked at there. Bits are compared, since compilers may assume that there is
 * no NaN.
 */
import type { Gpu } from "../../gpu/device.ts";
import { readBytes } from "../../gpu/transfer.ts";
import { FAULT_BYTES } from "../../gpu/wgsl.ts";
import type { SourceDType } from "../../kernels/contraction/pack-weight.ts";

/** Tensors of a load by what is wrong with them. */
export interface WeightFaults {
  /** With NaN or infinity, in the file or once their LoRA is merged. */
  readonly nonFinite: readonly string[];
  /** With values beyond ±65,504 in f16 storage, which clamps them. */
  readonly saturated: readonly string[];
}

/** Counters of one load, one pair a tensor. Call `dispose`. */
export class WeightCheck {
  readonly #gpu: Gpu;
  readonly #stride: number;
  readonly #names: string[] = [];
  readonly #nonFinite: string[] = [];
  readonly #counters: GPUBuffer;

  /** For at most `most` matrices. */
  constructor(gpu: Gpu, most: number) {
    this.#gpu = gpu;
    this.#stride = gpu.caps.limits.minStorageBufferOffsetAlignment;
    this.#counters = gpu.memory.create("weight check", Math.max(1, most) * this.#stride, "staging");
  }

  /** Counters for the next matrix. */
  next(name: string): GPUBufferBinding {
    const offset = this.#stride * (this.#names.push(name) - 1);
    return { buffer: this.#counters, offset, size: FAULT_BYTES };
  }

  /** Looks at a tensor on the host. */
  look(name: string, dtype: SourceDType, bytes: Uint8Array): void {
    if (countNonFinite(dtype, bytes) > 0) this.#nonFinite.push(name);
  }

  /** What all tensors so far have. Waits for the device. */
  async result(): Promise<WeightFaults> {
    const byteLength = this.#names.length * this.#stride;
    const bytes = byteLength > 0 && (await readBytes(this.#gpu, this.#counters, 0, byteLength));
    const counts = new Uint32Array(bytes ? bytes.buffer : []);
    const named = (which: number): string[] =>
      this.#names.filter((_, i) => (counts[(i * this.#stride) / 4 + which] as number) > 0);
    return {
      nonFinite: [...new Set([...this.#nonFinite, ...named(0)])],
      saturated: [...new Set(named(1))],
    };
  }

  /** Frees the counters. Idempotent. */
  dispose(): void {
    this.#gpu.memory.release(this.#counters);
  }
}

/** How many values of a checkpoint's bytes, which may lie anywhere, are NaN or infinite. */
export function countNonFinite(dtype: SourceDType, bytes: Uint8Array): number {
  const isWord = dtype === "F32";
  const isAligned = bytes.byteOffset % 4 === 0;
  const { buffer, byteOffset, byteLength } = isAligned ? bytes : bytes.slice();
  const words = isWord
    ? new Uint32Array(buffer, byteOffset, byteLength >> 2)
    : new Uint16Array(buffer, byteOffset, byteLength >> 1);
  const exponent = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 }[dtype];
  let count = 0;
  for (const word of words) if ((word & exponent) === exponent) count++;
  return count;
}
