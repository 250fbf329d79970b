/**
 * Activation buffers shared by programs that run one after another (encoder, UNet, decoder): slot i is as
 * large as the largest slot i of any program, so the total is the maximum over the programs and not their
 * sum. A result in a slot is valid until the next run of *any* program of the pool.
 */
import type { Gpu } from "../gpu/device.ts";

/** Buffers for activations, shared by programs that never run at the same time. */
export class SlotPool {
  readonly #gpu: Gpu;
  readonly #buffers: (GPUBuffer | undefined)[] = [];
  #generation = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Changes whenever a buffer was replaced; bind groups of an older generation are stale. */
  get generation(): number {
    return this.#generation;
  }

  /** Bytes of all slots. */
  get byteLength(): number {
    return this.byteLengths.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Bytes of each slot. */
  get byteLengths(): readonly number[] {
    return this.#buffers.map((buffer) => buffer?.size ?? 0);
  }

  /** Makes slot i at least `byteLengths[i]` bytes. Growing a slot drops its contents. */
  reserve(byteLengths: readonly number[]): void {
    byteLengths.forEach((byteLength, index) => {
      const present = this.#buffers[index];
      if (present !== undefined && present.size >= byteLength) return;
      this.#generation++; // the present buffer goes, even if the larger one is refused
      if (present !== undefined) this.#gpu.memory.release(present);
      this.#buffers[index] = undefined;
      this.#buffers[index] = this.#gpu.memory.create(`slot ${index}`, byteLength, "activations");
    });
  }

  /** The buffer of a slot that was reserved; another one after the slot has grown. */
  buffer(slot: number): GPUBuffer {
    const buffer = this.#buffers[slot];
    if (buffer === undefined) throw new Error(`internal: slot ${slot} of ${this.#buffers.length}`);
    return buffer;
  }

  /** Frees everything. New programs may use the pool again. */
  dispose(): void {
    for (const buffer of this.#buffers) if (buffer) this.#gpu.memory.release(buffer);
    this.#buffers.length = 0;
    this.#generation++;
  }
}
