/**
 * Which errors of a device are ours. Error scopes are a stack that all code on a device shares, and other code runs whenever we
 * wait. So scopes are opened and closed around calls that do not wait: what they catch is ours, and all else stays with others.
 */
import { DeviceError, messageOf } from "./errors.ts";
import type { DeviceLoss } from "./loss.ts";

/** The last is closed first: what memory that ran out breaks is invalid too, and the cause is told. */
const FILTERS = ["validation", "internal", "out-of-memory"] as const;

interface ScopeError {
  readonly message: string;
}

/** Runs `work`, which must not wait. `error` is the first one that the device finds in it; it never rejects. */
export function catchErrors<T>(
  device: GPUDevice,
  work: () => T,
): { readonly value: T; readonly error: Promise<ScopeError | null> } {
  let opened = 0;
  const close = async (): Promise<ScopeError | null> => {
    const pops = Array.from({ length: opened }, async () => device.popErrorScope());
    try {
      return (await Promise.all(pops)).find((error) => error !== null) ?? null;
    } catch (error) {
      return { message: `its errors cannot be read: ${messageOf(error)}` };
    }
  };
  try {
    for (const filter of FILTERS) {
      device.pushErrorScope(filter);
      opened++;
    }
    const value = work();
    return { value, error: close() };
  } catch (error) {
    void close();
    throw error;
  }
}

/** What has failed, or may still fail, since the errors were last forgotten. */
interface Batch {
  first?: DeviceError;
  readonly unsettled: Set<Promise<ScopeError | null>>;
}

/** Errors of one user's work on a device: of a model, or of whoever has the `Gpu`. */
export class ErrorScopes {
  readonly loss: DeviceLoss;
  readonly #device: GPUDevice;
  #batch: Batch = { unsettled: new Set() };
  #isOpen = false;

  constructor(device: GPUDevice, loss: DeviceLoss) {
    this.#device = device;
    this.loss = loss;
  }

  /** Runs `work`, which must not wait. Throws a `DeviceError` for what it throws; the device's errors come with `settled`. */
  run<T>(work: () => T): T {
    if (this.#isOpen) return work();
    this.#isOpen = true;
    try {
      const { value, error } = catchErrors(this.#device, work);
      void this.#note(error, this.#batch);
      return value;
    } catch (error) {
      throw deviceError(error);
    } finally {
      this.#isOpen = false;
    }
  }

  /** The same for work without a result: what it throws also comes with `settled`, so callers need not clean up here. */
  note(work: () => void): void {
    try {
      this.run(work);
    } catch (error) {
      this.#batch.first ??= deviceError(error);
    }
  }

  /**
   * Waits for `begin`'s promise. Rejects with the device's loss, an error of the work before, or else a `DeviceError` for what
   * the promise says.
   */
  async wait<T>(begin: () => Promise<T>): Promise<T> {
    this.throwIfFailed();
    try {
      const value = await this.loss.orEnd(begin());
      await this.settled();
      return value;
    } catch (error) {
      await this.settled();
      throw await this.loss.behind(deviceError(error));
    }
  }

  /** Resolves when all errors so far are known; rejects like `throwIfFailed`. */
  async settled(): Promise<void> {
    await this.loss.orEnd(Promise.all(this.#batch.unsettled));
    this.throwIfFailed();
  }

  /** Throws the device's loss, or the first error, once. */
  throwIfFailed(): void {
    if (this.loss.error) throw this.loss.error;
    const { first } = this.#batch;
    delete this.#batch.first;
    if (first) throw first;
  }

  /** Forgets the errors of the work so far, also those that come later. */
  forget(): void {
    this.#batch = { unsettled: new Set() };
  }

  async #note(error: Promise<ScopeError | null>, batch: Batch): Promise<void> {
    batch.unsettled.add(error);
    const found = await error;
    batch.unsettled.delete(error);
    if (found) batch.first ??= deviceError(found);
  }
}

/** An error of WebGPU's as one of ours. */
export function deviceError(error: unknown): DeviceError {
  if (error instanceof DeviceError) return error;
  const { message, constructor } =
    error instanceof Object ? (error as Error) : new Error(String(error));
  return new DeviceError(
    /OutOfMemory/.test(constructor.name)
      ? `device: out of memory: ${message}. Use a smaller image, a tile, or f16 precision`
      : `device: ${message}`,
    { cause: error },
  );
}
