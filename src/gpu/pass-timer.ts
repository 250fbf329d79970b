/** Device time of passes, by a pair of timestamps around each. */
import type { Gpu } from "./device.ts";
import { BUFFER_USAGE } from "./memory.ts";
import { readBytes } from "./transfer.ts";

/** When a pass ran, in milliseconds of the device's clock. */
export interface PassSpan {
  readonly startMs: number;
  readonly durationMs: number;
}

/** Times up to `MAX_PASSES` passes of one command encoder. Needs the feature `timestamp-query`. */
export class PassTimer {
  /** A query set holds at most 4096 queries. */
  static readonly MAX_PASSES = 2048;
  readonly #gpu: Gpu;
  readonly #count: number;
  readonly #querySet: GPUQuerySet;
  readonly #ticks: GPUBuffer;

  constructor(gpu: Gpu, count: number) {
    this.#gpu = gpu;
    this.#count = count;
    this.#ticks = gpu.memory.create(
      "timestamps",
      16 * count,
      "staging",
      BUFFER_USAGE.QUERY_RESOLVE | BUFFER_USAGE.COPY_SRC,
    );
    try {
      const descriptor = { label: "timestamps", type: "timestamp", count: 2 * count } as const;
      this.#querySet = gpu.scopes.run(() => gpu.device.createQuerySet(descriptor));
    } catch (error) {
      gpu.memory.release(this.#ticks);
      throw error;
    }
  }

  /** For the descriptor of pass `index`. */
  writes(index: number): GPUComputePassTimestampWrites {
    return {
      querySet: this.#querySet,
      beginningOfPassWriteIndex: 2 * index,
      endOfPassWriteIndex: 2 * index + 1,
    };
  }

  /** Ends the recording: call after the last pass. */
  resolve(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.#querySet, 0, 2 * this.#count, this.#ticks, 0);
  }

  /** Waits until the passes, submitted, are done; and frees everything. */
  async read(): Promise<readonly PassSpan[]> {
    try {
      const bytes = await readBytes(this.#gpu, this.#ticks, 0, 16 * this.#count);
      const ticks = new BigUint64Array(bytes.buffer);
      return Array.from({ length: this.#count }, (_, i) => {
        const start = ticks[2 * i] ?? 0n;
        const end = ticks[2 * i + 1] ?? start;
        // Timestamps may jump when a device is reset; nothing lasts less than no time.
        return { startMs: Number(start) / 1e6, durationMs: Math.max(0, Number(end - start) / 1e6) };
      });
    } finally {
      this.#querySet.destroy();
      this.#gpu.memory.release(this.#ticks);
    }
  }
}
