/** Writes protocol buffers: the three wire types that ONNX files use. */

/** A field of a message, by its number in the `.proto` file. A number is an integer, a float an array of one. */
export type Field = readonly [number: number, value: number | string | Uint8Array | Float32Array];

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** The bytes of a message. Repeated fields are given one by one, messages within it as their bytes. */
export function message(fields: Iterable<Field>): Uint8Array<ArrayBuffer> {
  const encoded: Uint8Array[] = [];
  for (const [number, value] of fields) {
    if (value instanceof Float32Array) {
      encoded.push(varint((number << 3) | FIXED32), new Uint8Array(value.slice().buffer));
    } else if (typeof value === "number") {
      encoded.push(varint((number << 3) | VARINT), varint(value));
    } else {
      const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
      encoded.push(varint((number << 3) | LENGTH_DELIMITED), varint(bytes.byteLength), bytes);
    }
  }
  const out = new Uint8Array(encoded.reduce((sum, field) => sum + field.byteLength, 0));
  let at = 0;
  for (const field of encoded) {
    out.set(field, at);
    at += field.byteLength;
  }
  return out;
}

/** Seven bits a byte, least significant first; negative numbers as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}
