import type { DType } from "../gpu/dtype.ts";
import { F16_MAX, floatToHalfBits, storedFloats } from "../gpu/dtype.ts";
import { paddedChannels } from "../gpu/shape.ts";
import type { Value } from "./ir/ir.ts";
import { channelsOf, rowsOf } from "./ir/ir.ts";

/**
 * Values [rows, channels] (row-major, channels innermost) as the device stores them: channels padded with
 * zeros to quads, f16 rounded to nearest and clamped to ±65504.
 */
export function packActivation(
  values: ArrayLike<number>,
  channels: number,
  dtype: DType,
): Uint8Array<ArrayBuffer> {
  const stride = paddedChannels(channels);
  const rows = values.length / channels;
  if (!Number.isInteger(rows)) {
    throw new Error(`internal: ${values.length} values are no rows of ${channels} channels`);
  }
  const out = dtype === "f32" ? new Float32Array(rows * stride) : new Uint16Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c++) {
      const value = values[row * channels + c] as number;
      out[row * stride + c] =
        dtype === "f32" ? value : floatToHalfBits(Math.min(Math.max(value, -F16_MAX), F16_MAX));
    }
  }
  return new Uint8Array(out.buffer);
}

/** Stored bytes of an activation as floats without channel padding. */
export function unpackActivation(
  bytes: Uint8Array<ArrayBuffer>,
  value: Value,
  dtype: DType,
): Float32Array<ArrayBuffer> {
  const channels = channelsOf(value);
  const stride = paddedChannels(channels);
  const rows = rowsOf(value);
  const stored = storedFloats(bytes, dtype);
  const out = new Float32Array(rows * channels);
  for (let row = 0; row < rows; row++) {
    const start = row * stride;
    out.set(stored.subarray(start, start + channels), row * channels);
  }
  return out;
}
