/** Values of the host as activations of the device, and back. */
import type { DType } from "../gpu/dtype.ts";
import { F16_MAX, floatToHalfBits, storedFloats } from "../gpu/dtype.ts";
import { paddedChannels } from "../gpu/shape.ts";
import type { Value } from "./ir/ir.ts";
import { channelsOf } from "./ir/ir.ts";

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
  return cutChannels(storedFloats(bytes, dtype), paddedChannels(channels), 0, channels);
}

/** Channels `offset` … `offset + count − 1` of rows of `channels`. */
export function cutChannels(
  data: Float32Array,
  channels: number,
  offset: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const rows = data.length / channels;
  const out = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    const start = row * channels + offset;
    out.set(data.subarray(start, start + count), row * count);
  }
  return out;
}
