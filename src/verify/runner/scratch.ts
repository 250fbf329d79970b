/** Buffers of a case that runs kernels outside a graph. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { uploadBytes } from "../../gpu/transfer.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { packActivation } from "../../graph/pack-activation.ts";

/** Makes buffers that are all freed together. */
export class Scratch {
  readonly #gpu: Gpu;
  readonly #release: (() => void)[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** An uninitialised buffer. */
  bytes(byteLength: number): GPUBuffer {
    return this.keep({ buffer: this.#gpu.memory.create("case", byteLength, "activations") }).buffer;
  }

  /** An activation of `shape`, uninitialised or with `values` (channels last). */
  activation(shape: readonly number[], dtype: DType, values?: Float32Array): GPUBuffer {
    const buffer = this.bytes(activationByteLength(shape, dtype));
    if (values !== undefined) {
      uploadBytes(this.#gpu, buffer, 0, packActivation(values, shape.at(-1) ?? 1, dtype));
    }
    return buffer;
  }

  /** Frees the buffer of `image` with the others. */
  keep<T extends { readonly buffer: GPUBuffer }>(image: T): T {
    this.onFree(() => this.#gpu.memory.release(image.buffer));
    return image;
  }

  /** Calls `release` when the scratch is freed. */
  onFree(release: () => void): void {
    this.#release.push(release);
  }

  free(): void {
    for (const release of this.#release) release();
  }
}

/** Gives `use` a scratch and frees it afterwards. */
export async function withScratch<T>(gpu: Gpu, use: (scratch: Scratch) => Promise<T>): Promise<T> {
  const scratch = new Scratch(gpu);
  try {
    return await use(scratch);
  } finally {
    scratch.free();
  }
}
