/** Writes safetensors, whole or piece by piece. */
import { quoted, WeightsError } from "./errors.ts";
import { LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY } from "./safetensors.ts";
import { allocateBytes } from "./sources/source.ts";
import { checkTensorData, checkedByteLength, dtypeRank } from "./tensor-info.ts";
import type { TensorData } from "./tensor-info.ts";

/** A tensor to write. */
export interface NamedTensorData extends TensorData {
  /** Name of the tensor. */
  readonly name: string;
}

/** The header is padded so that the data buffer, and with it every tensor, is aligned. */
const HEADER_ALIGNMENT = 8;

/** A tensor whose data comes later. */
export type TensorPlace = Pick<NamedTensorData, "name" | "dtype" | "shape">;

/** What comes first in a safetensors file, and the tensors in the order in which their data follows. */
export interface SafetensorsLayout<T extends TensorPlace> {
  /** Length and header, padded: the data begins behind it. */
  readonly start: Uint8Array<ArrayBuffer>;
  /** Where each tensor lies, in the order given. */
  readonly tensors: readonly T[];
  /** Of the whole file. */
  readonly byteLength: number;
}

/**
 * Lays a file out as other writers do it: tensors by descending dtype rank, then by name; header padded with
 * spaces to a multiple of 8 bytes. So the same tensors always give the same bytes, and each tensor is aligned
 * to its element size.
 *
 * `metadata` holds pairs of texts (a `Map`, or `Object.entries`).
 * @throws WeightsError for impossible sizes, equal names, or texts that are not well-formed Unicode
 */
export function layoutSafetensors<T extends TensorPlace>(
  tensors: Iterable<T>,
  metadata: Iterable<readonly [key: string, value: string]> = [],
): SafetensorsLayout<T> {
  const sorted = [...tensors].toSorted(
    (a, b) => dtypeRank(b.dtype) - dtypeRank(a.dtype) || compareCodePoints(a.name, b.name),
  );
  const fields: string[] = [];
  const metadataText = metadataObject(metadata);
  if (metadataText !== null) fields.push(`${JSON.stringify(METADATA_KEY)}:${metadataText}`);
  const names = new Set<string>([METADATA_KEY]);
  let dataLength = 0;
  for (const { name, dtype, shape } of sorted) {
    checkText(name);
    if (names.has(name)) {
      throw new WeightsError(
        `weights: tensor names must be unique and not ${METADATA_KEY}, got ${quoted(name)}`,
      );
    }
    names.add(name);
    const end = dataLength + checkedByteLength(name, dtype, shape);
    const data_offsets = [dataLength, end];
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets })}`);
    dataLength = end;
  }
  const header = new TextEncoder().encode(`{${fields.join(",")}}`);
  const headerLength = Math.ceil(header.byteLength / HEADER_ALIGNMENT) * HEADER_ALIGNMENT;
  if (headerLength > MAX_HEADER_BYTES) {
    throw new WeightsError(
      `weights: safetensors header may have ${MAX_HEADER_BYTES} bytes, got ${headerLength}. ` +
        `Write fewer tensors or less metadata`,
    );
  }
  const start = new Uint8Array(LENGTH_BYTES + headerLength).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(headerLength), true);
  start.set(header, LENGTH_BYTES);
  return { start, tensors: sorted, byteLength: start.byteLength + dataLength };
}

/**
 * A safetensors file in memory; see `layoutSafetensors`.
 * @throws WeightsError for wrong sizes, equal names, or texts that are not well-formed Unicode
 */
export function writeSafetensors(
  tensors: Iterable<NamedTensorData>,
  metadata: Iterable<readonly [key: string, value: string]> = [],
): Uint8Array<ArrayBuffer> {
  const all = [...tensors];
  for (const tensor of all) checkTensorData(tensor.name, tensor);
  const layout = layoutSafetensors(all, metadata);
  const file = allocateBytes(layout.byteLength, "new safetensors file");
  file.set(layout.start);
  let position = layout.start.byteLength;
  for (const { data } of layout.tensors) {
    file.set(data, position);
    position += data.byteLength;
  }
  return file;
}

/** JSON of the metadata, or null when there is none. Written by hand: keys may be `__proto__`. */
function metadataObject(metadata: Iterable<readonly [string, string]>): string | null {
  const texts = new Map<string, string>();
  for (const [key, value] of metadata) {
    checkText(key);
    checkText(value);
    if (texts.has(key)) throw new WeightsError(`weights: metadata key ${quoted(key)} given twice`);
    texts.set(key, value);
  }
  if (texts.size === 0) return null;
  const fields = Array.from(texts, (pair) => pair.map((text) => JSON.stringify(text)).join(":"));
  return `{${fields.join(",")}}`;
}

function checkText(text: string): void {
  const given: unknown = text; // callers without type checks pass anything
  if (typeof given === "string" && given.isWellFormed()) return;
  throw new WeightsError(
    `weights: names and metadata must be well-formed text, got ${quoted(String(given))}`,
  );
}

/** Order of the UTF-8 bytes, which other writers sort by; `<` would order UTF-16 units. */
function compareCodePoints(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  const rank = (text: string): number => {
    const unit = at < text.length ? text.charCodeAt(at) : -1;
    // Surrogates stand for code points above all single units.
    return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
  };
  return rank(a) - rank(b);
}
