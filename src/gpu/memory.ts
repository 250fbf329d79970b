/** Every buffer of a device: made, counted by purpose, freed. */
import type { Caps } from "./caps.ts";
import type { ErrorScopes } from "./error-scopes.ts";
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

interface Use {
  current: number;
  peak: number;
}

/** The buffers of all who share a `Gpu`. */
class Ledger {
  readonly live = new Map<GPUBuffer, Purpose>();
  readonly use = new Map<Purpose, Use>();
  readonly total: Use = { current: 0, peak: 0 };

  add(buffer: GPUBuffer, purpose: Purpose): void {
    this.live.set(buffer, purpose);
    const use = this.use.get(purpose) ?? { current: 0, peak: 0 };
    this.use.set(purpose, use);
    for (const sum of [use, this.total]) {
      sum.current += buffer.size;
      sum.peak = Math.max(sum.peak, sum.current);
    }
  }
}

/**
 * Creates, counts and destroys the buffers of one device. Whoever creates a buffer gives it back with `release`.
 * `destroyAll` destroys the rest.
 */
export class DeviceMemory {
  readonly #device: GPUDevice;
  readonly #caps: Caps;
  readonly #scopes: ErrorScopes;
  readonly #ledger: Ledger;

  constructor(device: GPUDevice, caps: Caps, scopes: ErrorScopes, ledger = new Ledger()) {
    this.#device = device;
    this.#caps = caps;
    this.#scopes = scopes;
    this.#ledger = ledger;
  }

  /** The same memory for another user, whose errors go to `scopes`. */
  withScopes(scopes: ErrorScopes): DeviceMemory {
    return new DeviceMemory(this.#device, this.#caps, scopes, this.#ledger);
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
    const buffer = this.#scopes.run(() => this.#device.createBuffer({ label, size, usage }));
    this.#ledger.add(buffer, purpose);
    return buffer;
  }

  /** Destroys a buffer made here. Releasing twice is allowed and does nothing. */
  release(buffer: GPUBuffer): void {
    const { live, use, total } = this.#ledger;
    const purpose = live.get(buffer);
    if (purpose === undefined) return;
    live.delete(buffer);
    for (const sum of [use.get(purpose), total]) if (sum) sum.current -= buffer.size;
    buffer.destroy();
  }

  /** Starts a new peak measurement at the present use. */
  resetPeak(): void {
    for (const sum of [this.#ledger.total, ...this.#ledger.use.values()]) sum.peak = sum.current;
  }

  use(): MemoryUse {
    const { total, use } = this.#ledger;
    const byPurpose = Object.fromEntries([...use].map(([purpose, sum]) => [purpose, { ...sum }]));
    return { currentBytes: total.current, peakBytes: total.peak, byPurpose };
  }

  destroyAll(): void {
    for (const buffer of this.#ledger.live.keys()) this.release(buffer);
  }
}
