/** Equal typed arrays are found equal by their bytes: element by element, two megabytes take `toEqual` six seconds. */
import { expect } from "vitest";

expect.addEqualityTesters([
  (a: unknown, b: unknown): true | undefined => {
    if (!isArray(a) || !isArray(b) || a.constructor !== b.constructor) return undefined;
    return bytesOf(a).equals(bytesOf(b)) ? true : undefined; // others are told apart as ever
  },
]);

const isArray = (value: unknown): value is ArrayBufferView => ArrayBuffer.isView(value);

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
