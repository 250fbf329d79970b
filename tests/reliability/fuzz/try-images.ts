/** Reads damaged image files one after the other and holds each to its limits. */
import { readFileSync, writeFileSync } from "node:fs";
import { uniformSource } from "../../support/random.ts";
import type { ImageTarget } from "./images.ts";

/** Of the processor and not of the clock: other work on the machine is nobody's fault. */
const MAX_CPU_MS = 2000;
/** Memory may grow by as many times the file, or its picture where that is larger and within the limit of pixels. */
const MAX_GROWTH = 4;
/** What heaps and threads of the decoders take once, whatever the file. */
const FREE_BYTES = 64 * 2 ** 20;

/** What became of the files. */
export interface ImageTrial {
  readonly files: number;
  /** Read as pictures; the others were refused. */
  readonly pictures: number;
  readonly slowestMs: number;
  readonly grownBytes: number;
  /** The number of a file, and what it broke. */
  readonly failures: readonly string[];
}

/** The damaged file of that number: the same on every machine. */
export function damagedFile(target: ImageTarget, number: number): Buffer {
  const random = uniformSource(number * 7919 + 13);
  const { seeds } = target;
  return target.mutate(seeds[Math.floor(random() * seeds.length)] as Buffer, random);
}

/** Reads the files numbered `from` … `to` − 1. `onFile` hears of each before it is read. */
export async function tryImages(
  target: ImageTarget,
  from: number,
  to: number,
  onFile: (number: number) => void = () => {},
): Promise<ImageTrial> {
  for (const seed of target.seeds) {
    const { error } = await target.read(seed);
    if (error !== undefined) throw new Error(`a good ${target.name} is refused: ${error}`);
  }
  const failures: string[] = [];
  let pictures = 0;
  let slowestMs = 0;
  let grownBytes = 0;
  for (let number = from; number < to; number++) {
    const bytes = damagedFile(target, number);
    onFile(number);
    const memory = watchMemory();
    const startedAt = process.cpuUsage();
    try {
      const { declaredBytes, error } = await target.read(bytes);
      if (error === undefined) pictures++;
      const grown = memory.grown();
      grownBytes = Math.max(grownBytes, grown);
      if (grown > MAX_GROWTH * Math.max(bytes.length, declaredBytes) + FREE_BYTES) {
        failures.push(`${number}: ${grown} bytes for ${bytes.length}, declared ${declaredBytes}`);
      }
    } catch (error) {
      failures.push(`${number}: ${error instanceof Error ? error.stack : String(error)}`);
    }
    const { user, system } = process.cpuUsage(startedAt);
    const ms = (user + system) / 1000;
    slowestMs = Math.max(slowestMs, ms);
    if (ms > MAX_CPU_MS) failures.push(`${number}: ${ms.toFixed(0)} ms`);
  }
  return { files: to - from, pictures, slowestMs, grownBytes, failures };
}

/** The peak of the process's memory from now on, native decoders included. Linux; elsewhere 0. */
function watchMemory(): { readonly grown: () => number } {
  const bytesOf = (line: string): number =>
    1024 *
    Number(new RegExp(`${line}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  if (process.platform !== "linux") return { grown: () => 0 };
  writeFileSync("/proc/self/clear_refs", "5"); // forgets the last peak
  const before = bytesOf("VmRSS");
  return { grown: () => Math.max(0, bytesOf("VmHWM") - before) };
}
