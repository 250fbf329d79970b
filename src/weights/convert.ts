/** Stored elements as floats. */
import { brainFloatsToFloats, halvesToFloats } from "../gpu/dtype.ts";
import { quoted, WeightsError } from "./errors.ts";
import { elementByteLength } from "./tensor-info.ts";
import type { TensorDtype, TensorInfo } from "./tensor-info.ts";

/** The element types that `toFloat32` reads. */
export const FLOAT_DTYPES: ReadonlySet<TensorDtype> = new Set<TensorDtype>([
  "F64",
  "F32",
  "F16",
  "BF16",
]);

/**
 * Little-endian elements as 32-bit floats: exact for F32, F16 and BF16, rounded to nearest for F64.
 * `bytes` is a whole tensor or a range of whole elements, with any alignment. An aligned F32 result
 * shares its memory with `bytes`.
 * @throws WeightsError for other element types, and when bytes are left over
 */
export function toFloat32(
  info: Pick<TensorInfo, "name" | "dtype">,
  bytes: Uint8Array,
): Float32Array {
  const { name, dtype } = info;
  if (!FLOAT_DTYPES.has(dtype)) {
    throw new WeightsError(
      `weights: dtype must be one of ${[...FLOAT_DTYPES].join(", ")}, got ${dtype} ` +
        `(tensor ${quoted(name)})`,
    );
  }
  const elementLength = elementByteLength(dtype);
  if (bytes.byteLength % elementLength !== 0) {
    throw new WeightsError(
      `weights: ${dtype} takes multiples of ${elementLength} bytes, got ${bytes.byteLength} ` +
        `(tensor ${quoted(name)})`,
    );
  }
  const count = bytes.byteLength / elementLength;
  // Typed arrays need aligned starts; slice() copies to a fresh buffer.
  const { buffer, byteOffset } = bytes.byteOffset % elementLength === 0 ? bytes : bytes.slice();
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer, byteOffset, count);
    case "F64":
      return new Float32Array(new Float64Array(buffer, byteOffset, count));
    case "BF16":
      return brainFloatsToFloats(new Uint16Array(buffer, byteOffset, count));
    default:
      return halvesToFloats(new Uint16Array(buffer, byteOffset, count));
  }
}
