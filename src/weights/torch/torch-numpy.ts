/** Numbers that numpy wrote: `scalar(dtype, bytes)`. */
import { isKind } from "./torch-value.ts";
import type { Call } from "./torch-value.ts";

const READERS: Readonly<Record<string, (view: DataView) => number | bigint | boolean>> = {
  b1: (view) => view.getUint8(0) !== 0,
  i1: (view) => view.getInt8(0),
  u1: (view) => view.getUint8(0),
  i2: (view) => view.getInt16(0, true),
  u2: (view) => view.getUint16(0, true),
  i4: (view) => view.getInt32(0, true),
  u4: (view) => view.getUint32(0, true),
  i8: (view) => view.getBigInt64(0, true),
  u8: (view) => view.getBigUint64(0, true),
  f4: (view) => view.getFloat32(0, true),
  f8: (view) => view.getFloat64(0, true),
};

/** The number; of other element types, and of what a big-endian machine wrote, only the class. */
export const numpyScalar: Call = ([type, data]) => {
  if (!isKind(type, "opaque") || !isKind(data, "opaque")) return null;
  const size = /^numpy\.dtype [biuf]([1248])$/.exec(type.text)?.[1];
  const isBig = isKind(type.state, "tuple") && type.state.items[1] === ">";
  const text = data.bytes ?? "";
  const read = READERS[type.text.slice("numpy.dtype ".length)];
  if (isBig || read === undefined || text.length !== Number(size)) {
    return { kind: "opaque", text: "<numpy.scalar>" };
  }
  const value = read(new DataView(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer));
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
};
