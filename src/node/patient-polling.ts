/**
 * Dawn in Node asks its queue after every turn of the event loop whether work is done, by `setImmediate` for as long as anything is
 * awaited. That takes a whole core, which a software adapter computes with, and litters: of rcod-tiny's photo on two cores it was
 * a third of the user time on SwiftShader (bench/NOTES.md).
 *
 * So its questions wait for a millisecond each once they have come in a row for a while. They are told from other calls of
 * `setImmediate` by being functions of an addon, without arguments. All others stay as they are.
 */
import { promisify } from "node:util";

/** Questions in a row that are asked at once: most answers come within them, as those of a compiled shader. */
const AT_ONCE = 64;
/** A row ends where nothing is asked for so long. */
const ROW_ENDS_MS = 5;
const PAUSE_MS = 1;

let isInstalled = false;

/** Makes Dawn's polling in this process patient. Idempotent. */
export function pollPatiently(): void {
  if (isInstalled) return;
  isInstalled = true;
  const immediate = globalThis.setImmediate;
  let inRow = 0;
  let lastMs = 0;
  const patient = (callback: (...given: unknown[]) => void, ...given: unknown[]) => {
    if (given.length > 0 || !isNative(callback)) return immediate(callback, ...given);
    const now = performance.now();
    inRow = now - lastMs > ROW_ENDS_MS ? 0 : inRow + 1;
    lastMs = now;
    return inRow < AT_ONCE ? immediate(callback) : setTimeout(callback, PAUSE_MS);
  };
  // Its promisified form is a property.
  Object.defineProperties(patient, {
    [promisify.custom]: Object.getOwnPropertyDescriptor(immediate, promisify.custom) ?? {},
  });
  globalThis.setImmediate = patient as typeof setImmediate;
}

/** A function of an addon: neither written in a script nor bound by one. */
const isNative = (callback: unknown): boolean =>
  typeof callback === "function" &&
  !callback.name.startsWith("bound ") &&
  Function.prototype.toString.call(callback).endsWith("{ [native code] }");
