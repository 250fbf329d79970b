/** The golden files of `tests/fixtures/goldens`, whole or with changes. */
import { readFileSync, readdirSync } from "node:fs";
import type { CaseResult, VerifySource } from "../../src/verify/verify.ts";
import { bytesSource } from "../../src/weights/sources/source.ts";

const folder = new URL("../fixtures/goldens/", import.meta.url);

export const GOLDEN_FILES: readonly string[] = readdirSync(folder).filter((name) =>
  name.endsWith(".safetensors"),
);

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
export function withChangedValue(
  bytes: Uint8Array<ArrayBuffer>,
  tensor: string,
  delta: number,
): Uint8Array {
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

type Json = Record<string, unknown>;
const METADATA = "__metadata__";

/** A copy of a file whose metadata `change` may rewrite; `cases` is given as an object. */
export function withChangedMetadata(
  bytes: Uint8Array<ArrayBuffer>,
  change: (metadata: Record<string, string>, cases: Record<string, Json>) => void,
): Uint8Array {
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes))) as {
    [METADATA]: Record<string, string>;
  };
  const metadata = header[METADATA];
  const cases = JSON.parse(metadata["cases"] ?? "{}") as Record<string, Json>;
  metadata["cases"] = "";
  change(metadata, cases);
  if (metadata["cases"] === "") metadata["cases"] = JSON.stringify(cases);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const data = bytes.subarray(8 + headerBytes);
  const start = 8 + Math.ceil(text.length / 8) * 8;
  const out = new Uint8Array(start + data.length).fill(0x20, 8, start);
  new DataView(out.buffer).setBigUint64(0, BigInt(start - 8), true);
  out.set(text, 8);
  out.set(data, start);
  return out;
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
        .map(
          (o) =>
            `${o.output}: max abs ${o.maxAbs}, rel rms ${o.relRms}, limit ${o.limit.on} ${o.limit.value}`,
        );
      return `${file} ${name}: ${[...failing, note ?? ""].join("; ")}`;
    });
}
