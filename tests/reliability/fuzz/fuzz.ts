/** Spoils files and reads them: a typed error or values, in bounded time and memory. */
import type { FuzzTarget } from "./target.ts";
import { seededRandom } from "./target.ts";

/** Longest that one file may take. */
const MAX_MS = 2000;
/** Most bytes that reading one file may allocate at once or in all, per byte of the file. */
const MAX_GROWTH = 4;
/** What a reader may need beside the file: windows, names, an error with its stack. */
const FREE_BYTES = 64 * 1024;

export interface FuzzResult {
  readonly name: string;
  readonly files: number;
  /** Read; the others were refused. */
  readonly opened: number;
  readonly slowestMs: number;
  /** Most bytes of array buffers that were allocated for one file, per byte of it. */
  readonly growth: number;
  /** What went wrong: the number of the file, and how. */
  readonly failures: readonly string[];
}

/** Reads `count` spoiled files, the same ones for the same `seed`. */
export async function fuzz(target: FuzzTarget, count: number, seed = 1): Promise<FuzzResult> {
  const failures: string[] = [];
  for (const good of target.seeds) await target.read(good);
  let opened = 0;
  let slowestMs = 0;
  let growth = 0;
  for (let i = 0; i < count; i++) {
    const random = seededRandom(seed * 1_000_003 + i);
    const good = target.seeds[random(target.seeds.length)] as Uint8Array<ArrayBuffer>;
    const bytes = target.mutate(good, random);
    const startedAt = performance.now();
    const probe = countAllocations();
    let first: string | null = null;
    try {
      first = await target.read(bytes);
      opened++;
    } catch (error) {
      if (!target.isTyped(error)) failures.push(`file ${i}: ${String(error)}`);
    } finally {
      probe.stop();
    }
    const allocated = probe.bytes() / Math.max(1, bytes.byteLength);
    if (probe.bytes() > MAX_GROWTH * bytes.byteLength + FREE_BYTES)
      failures.push(`file ${i}: ${probe.bytes()} bytes for a file of ${bytes.byteLength}`);
    const ms = performance.now() - startedAt;
    if (ms > MAX_MS) failures.push(`file ${i}: ${ms.toFixed(0)} ms`);
    if (first !== null && first !== (await target.read(bytes)))
      failures.push(`file ${i}: other values the second time`);
    slowestMs = Math.max(slowestMs, ms);
    growth = Math.max(growth, allocated);
  }
  return { name: target.name, files: count, opened, slowestMs, growth, failures };
}

/** Counts the bytes of array buffers that are made, by standing in for their constructor. */
function countAllocations(): { readonly bytes: () => number; readonly stop: () => void } {
  let bytes = 0;
  const originals = new Map<string, unknown>();
  for (const name of ["ArrayBuffer", "Uint8Array", "Float32Array", "Uint16Array"]) {
    const original = (globalThis as Record<string, unknown>)[name] as new (
      ...args: unknown[]
    ) => object;
    originals.set(name, original);
    (globalThis as Record<string, unknown>)[name] = new Proxy(original, {
      construct(target, args, newTarget) {
        const made = Reflect.construct(target, args, newTarget === target ? target : newTarget) as {
          readonly byteLength: number;
        };
        // Views of a buffer that is there already cost nothing.
        if (typeof args[0] !== "object" || !("byteLength" in (args[0] ?? {})))
          bytes += made.byteLength;
        return made;
      },
    });
  }
  return {
    bytes: () => bytes,
    stop: () => {
      for (const [name, original] of originals) {
        (globalThis as Record<string, unknown>)[name] = original;
      }
    },
  };
}
