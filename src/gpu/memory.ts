/** Every buffer of a device: made, counted by purpose, freed. */
import type { Caps } from "./caps.ts";
import { DeviceError } from "./errors.ts";

/** Bytes on the device now and at the highest point, in total and by purpose. */
export interface MemoryUse {
  /** Bytes now. */
  readonly currentBytes: number;
  /** Most bytes at a time since the last `resetPeak`. */
  readonly peakBytes: number;
  /** The same by purpose. */
  readonly byPurpose: Readonly<Record<string, { readonly current: number; readonly peak: number }>>;
}

/** What a buffer is for; peaks are reported per purpose. */
export type Purpose = "weights" | "activations" | "staging" | "params" | "images";

/** As in `GPUBufferUsage`, which is not defined in every Node process. */
export const BUFFER_USAGE = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;
const { STORAGE, COPY_SRC, COPY_DST } = BUFFER_USAGE;

/**
 * Creates, counts and destroys the buffers of one device. Whoever creates a buffer gives it back with `release`.
 * `destroyAll` destroys the rest.
 */
export class DeviceMemory {
  readonly #device: GPUDevice;
  readonly #caps: Caps;
  readonly #live = new Map<GPUBuffer, Purpose>();
  readonly #use = new Map<Purpose, { current: number; peak: number }>();
  #current = 0;
  #peak = 0;

  constructor(device: GPUDevice, caps: Caps) {
    this.#device = device;
    this.#caps = caps;
  }

  /** A buffer of at least `byteLength` bytes (rounded up to 16). Throws `DeviceError` above the limits. */
  create(
    label: string,
    byteLength: number,
    purpose: Purpose,
    usage: number = STORAGE | COPY_SRC | COPY_DST,
  ): GPUBuffer {
    const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#caps.limits;
    const limit =
      usage & STORAGE ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
    if (size > limit) {
      throw new DeviceError(
        `device: buffer "${label}" needs ${size} bytes, this adapter allows ${limit}. ` +
          `Use a smaller image or tile, or f16 precision`,
      );
    }
    const buffer = this.#device.createBuffer({ label, size, usage });
    this.#live.set(buffer, purpose);
    const use = this.#use.get(purpose) ?? { current: 0, peak: 0 };
    use.current += size;
    use.peak = Math.max(use.peak, use.current);
    this.#use.set(purpose, use);
    this.#current += size;
    this.#peak = Math.max(this.#peak, this.#current);
    return buffer;
  }

  /** Destroys a buffer made here. Releasing twice is allowed and does nothing. */
  release(buffer: GPUBuffer): void {
    const purpose = this.#live.get(buffer);
    if (purpose === undefined) return;
    this.#live.delete(buffer);
    const use = this.#use.get(purpose);
    if (use) use.current -= buffer.size;
    this.#current -= buffer.size;
    buffer.destroy();
  }

  /** Starts a new peak measurement at the present use. */
  resetPeak(): void {
    this.#peak = this.#current;
    for (const use of this.#use.values()) use.peak = use.current;
  }

  use(): MemoryUse {
    const byPurpose: Record<string, { current: number; peak: number }> = {};
    for (const [purpose, use] of this.#use) byPurpose[purpose] = { ...use };
    return { currentBytes: this.#current, peakBytes: this.#peak, byPurpose };
  }

  destroyAll(): void {
    for (const buffer of this.#live.keys()) this.release(buffer);
  }
}
