/**
 * Storage dtypes of tensors on the GPU and the half-precision conversions that go with them.
 *
 * `f32` is four bytes an element. `f16` is two bytes and means IEEE binary16 *storage*: arithmetic is always f32.
 * `gpu/wgsl.ts` decides how a shader reads a half (native `f16` or `unpack2x16float`); the bytes are the same.
 */
export type DType = "f32" | "f16";

/** Bytes of one element. */
export function dtypeByteLength(dtype: DType): number {
  return dtype === "f32" ? 4 : 2;
}

const scratchFloat = new Float32Array(1);
const scratchBits = new Uint32Array(scratchFloat.buffer);

/** Largest finite half. Stores clamp to it: out-of-range `pack2x16float` is indeterminate in WGSL. */
export const F16_MAX = 65504;

/** Bits of the half nearest to `value` (ties to even; overflow gives infinity; NaN stays NaN). */
export function floatToHalfBits(value: number): number {
  scratchFloat[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) {
    // 65536 and above, infinity, NaN
    return magnitude > 0x7f800000 ? sign | 0x7e00 : sign | 0x7c00;
  }
  if (magnitude < 0x38800000) {
    // Below 2^-14: the half is subnormal. Adding 0.5 aligns the mantissa so that the FPU rounds it.
    scratchBits[0] = magnitude;
    const aligned = scratchFloat[0] + 0.5;
    scratchFloat[0] = aligned;
    return sign | (scratchBits[0] - 0x3f000000);
  }
  const roundedUp = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((roundedUp - 0x38000000) >>> 13);
}

/** Value of a half given by its 16 bits. */
export function halfBitsToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

let halfTable: Float32Array | undefined;

/** All 65 536 halves as floats, 256 KiB. Built once: weights are decoded with it. */
export function halfToFloatTable(): Float32Array {
  if (halfTable === undefined) {
    halfTable = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) halfTable[bits] = halfBitsToFloat(bits);
  }
  return halfTable;
}

/** Values of halves given by their bits. */
export function halvesToFloats(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const table = halfToFloatTable();
  const floats = new Float32Array(halves.length);
  halves.forEach((bits, i) => (floats[i] = table[bits] as number)); // `from` would first make a list of all
  return floats;
}

/** `value` rounded to the storage dtype and back, as the GPU would hold it (f16 clamps to ±65504). */
export function roundToDtype(value: number, dtype: DType): number {
  if (dtype === "f32") return Math.fround(value);
  const clamped = Math.min(Math.max(value, -F16_MAX), F16_MAX);
  return halfBitsToFloat(floatToHalfBits(clamped));
}
