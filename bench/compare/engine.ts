/** What the comparison needs of an engine. */
export interface Engine {
  /** Starts one run on data that is already on the device. */
  readonly run: () => Promise<void> | void;
  /** Resolves when everything that was started is done. */
  readonly settle: () => Promise<void>;
  /** The last result, channels last. */
  readonly read: () => Promise<Float32Array>;
  readonly dispose: () => Promise<void> | void;
}
