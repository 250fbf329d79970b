/** The golden files of `tests/fixtures/goldens`, whole or with changes. */
import { readFileSync, readdirSync } from "node:fs";
import type { CaseResult, VerifySource } from "../../src/verify/verify.ts";
import { bytesSource } from "../../src/weights/source.ts";

const folder = new URL("../fixtures/goldens/", import.meta.url);

export const GOLDEN_FILES: readonly string[] = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));

export function goldenBytes(name: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(readFileSync(new URL(name, folder)));
}

export function goldenSource(name: string, bytes: Uint8Array = goldenBytes(name)): VerifySource {
  return { name, source: async () => bytesSource(name, bytes) };
}

interface Header {
  [name: string]: { readonly dtype: string; readonly data_offsets: readonly [number, number] };
}

/** A copy of a file in which the first value of an F32 tensor has `delta` added. */
export function withChangedValue(bytes: Uint8Array<ArrayBuffer>, tensor: string, delta: number): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const headerBytes = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(copy.subarray(8, 8 + headerBytes))) as Header;
  const entry = header[tensor];
  if (entry?.dtype !== "F32") throw new Error(`no F32 tensor ${tensor}`);
  const at = 8 + headerBytes + entry.data_offsets[0];
  view.setFloat32(at, view.getFloat32(at, true) + delta, true);
  return copy;
}

/** A copy of a file with a text of the header replaced by one of the same length. */
export function withChangedHeader(bytes: Uint8Array<ArrayBuffer>, from: string, to: string): Uint8Array {
  if (from.length !== to.length) throw new Error("lengths differ");
  const copy = bytes.slice();
  const headerBytes = Number(new DataView(copy.buffer).getBigUint64(0, true));
  const text = new TextDecoder("latin1").decode(copy.subarray(8, 8 + headerBytes));
  if (!text.includes(from)) throw new Error(`header has no ${from}`);
  const changed = text.replaceAll(from, to);
  for (let i = 0; i < changed.length; i++) copy[8 + i] = changed.charCodeAt(i);
  return copy;
}

export async function collect(results: AsyncIterable<CaseResult>): Promise<CaseResult[]> {
  const all: CaseResult[] = [];
  for await (const result of results) all.push(result);
  return all;
}

/** Failing cases in words, for a message. */
export function describeFailures(results: readonly CaseResult[]): string[] {
  return results
    .filter(({ status }) => status === "fail")
    .map(({ file, case: name, outputs, note }) => {
      const failing = outputs
        .filter(({ pass }) => !pass)
        .map((o) => `${o.output}: max abs ${o.maxAbs}, rel rms ${o.relRms}, limit ${o.limit.on} ${o.limit.value}`);
      return `${file} ${name}: ${[...failing, note ?? ""].join("; ")}`;
    });
}
