/** The loss of a device, which ends whatever waits for it. */
import type { DeviceError } from "./errors.ts";
import { DeviceLostError } from "./errors.ts";

/**
 * One for each device: the reaction to `GPUDevice.lost` stays in memory as long as the device. A race with `lost` for each wait
 * would too: 0.37 MB after 500 small images, Chromium 143.
 */
export class DeviceLoss {
  /** Resolves when the device is lost for any reason. */
  readonly happened: Promise<DeviceLostError>;
  #error: DeviceLostError | undefined;
  /** Waits under way. */
  readonly #waits = new Set<(error: DeviceLostError) => void>();

  constructor(device: GPUDevice) {
    this.happened = device.lost.then(({ reason, message }) => {
      const error = new DeviceLostError(reason ?? "unknown", message);
      this.#error = error;
      for (const end of this.#waits) end(error);
      return error;
    });
  }

  /** Set once the device is gone. */
  get error(): DeviceLostError | undefined {
    return this.#error;
  }

  /** What `promise` gives. Rejects with the loss where that comes first: then some implementations leave promises pending. */
  orEnd<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waits.add(reject);
      promise.then(resolve, reject).finally(() => this.#waits.delete(reject));
      if (this.#error) reject(this.#error);
    });
  }

  /** The loss where it is behind `error`: it is told a little later than what it breaks. */
  async behind(error: DeviceError): Promise<DeviceError> {
    await new Promise((resolve) => setTimeout(resolve));
    return this.#error ?? error;
  }
}
