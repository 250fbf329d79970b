/** A GPU that is missing, lost, out of memory, or that refuses a shader. */
export class DeviceError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name: string = "DeviceError";
}

/** The device was lost (driver reset, tab in the background, `destroy()`); everything on it is gone. */
export class DeviceLostError extends DeviceError {
  /** The class, for code that sees several copies of it. */
  override readonly name = "DeviceLostError";
  /** `"destroyed"` when somebody called `destroy()`, else `"unknown"`. */
  readonly reason: string;
  /**
   * Where a call had finished regions of its picture: what it needs to go on, for the option `resume` of the same call on a newly
   * loaded model.
   */
  readonly resume?: object;
  readonly #said: string;

  constructor(reason: string, message: string, resume?: object) {
    super(
      `device: lost (${reason}): ${message || "no message"}. Create a new device and load again`,
    );
    this.reason = reason;
    this.#said = message;
    if (resume) this.resume = resume;
  }

  /** The same loss for a call that can go on. */
  withResume(resume: object): DeviceLostError {
    return new DeviceLostError(this.reason, this.#said, resume);
  }
}

/** The message of a caught value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
