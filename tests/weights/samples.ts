/** Bytes and sources for the tests of this folder. */
import { expect } from "vitest";
import { WeightsError } from "../../src/weights/errors.ts";
import { bytesSource } from "../../src/weights/sources/source.ts";
import type { ByteSource } from "../../src/weights/sources/source.ts";

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** A safetensors file of the given header text and `dataLength` data bytes counting 0, 1, 2, …. */
export function fileOf(
  header: string | Uint8Array,
  dataLength: number,
  headerLength?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? utf8(header) : header;
  const file = new Uint8Array(8 + text.byteLength + dataLength);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, headerLength ?? BigInt(text.byteLength), true);
  file.set(text, 8);
  for (let i = 0; i < dataLength; i++) file[8 + text.byteLength + i] = i;
  return file;
}

/** Header text of tensors given as `[name, dtype, shape, begin, end]`. */
export function headerOf(
  ...tensors: readonly (readonly [string, string, readonly number[], number, number])[]
): string {
  const fields = tensors.map(
    ([name, dtype, shape, begin, end]) =>
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`,
  );
  return `{${fields.join(",")}}`;
}

/** A source that records what is read from it. */
export interface RecordingSource extends ByteSource {
  readonly reads: { readonly offset: number; readonly length: number }[];
  isClosed(): boolean;
}

/** `bytes` as a source that records; `byteLength` may claim more than there is. */
export function recordingSource(bytes: Uint8Array, byteLength = bytes.byteLength): RecordingSource {
  const inner = bytesSource("sample.safetensors", bytes);
  const reads: { offset: number; length: number }[] = [];
  let closed = false;
  return {
    name: inner.name,
    byteLength,
    reads,
    isClosed: () => closed,
    read(offset, length, signal) {
      reads.push({ offset, length });
      return inner.read(offset, length, signal);
    },
    async close() {
      closed = true;
    },
  };
}

/** The message of the WeightsError that a call must end with; any other outcome fails the test. */
export async function failureOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(WeightsError);
    return (error as WeightsError).message;
  }
  return expect.fail("expected a WeightsError, but the call succeeded");
}
