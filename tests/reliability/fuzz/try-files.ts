/** Reads mutated files of a target one after another and measures each: `configs.test.ts` a few, the script all. */
import { uniformSource } from "../../support/random.ts";
import type { FuzzTarget } from "./configs.ts";

/** What became of the files of one target. */
export interface Report {
  readonly name: string;
  readonly files: number;
  /** Answers in words, with numbers and names left out, and how many files had each. */
  readonly answers: ReadonlyMap<string, number>;
  /** What must not be: errors that are no answers, and what was too slow or too large, with the number of its file. */
  readonly failures: readonly string[];
  readonly slowestMs: number;
  /** Largest growth of the heap during one file, in bytes. */
  readonly largestBytes: number;
}

const MAX_MS = 2000;
/** The heap may grow by four times the file; and by what a compiler or a collector takes meanwhile. */
const MAX_FACTOR = 4;
const SLACK_BYTES = 32 * 2 ** 20;

/** Tries the files numbered `from` to `to − 1`; the same number is the same file everywhere. */
export async function tryFiles(target: FuzzTarget, from: number, to: number): Promise<Report> {
  const answers = new Map<string, number>();
  const failures: string[] = [];
  let slowestMs = 0;
  let largestBytes = 0;
  for (let i = from; i < to; i++) {
    const random = uniformSource(i * 7919 + 13);
    const seed = target.seeds[Math.floor(random() * target.seeds.length)] as Uint8Array;
    const bytes = target.mutate(seed, random);
    const heap = usedBytes();
    const start = process.cpuUsage();
    let answer: string;
    try {
      answer = await target.read(bytes);
    } catch (error) {
      answer = "FAILURE";
      failures.push(`${i}: ${error instanceof Error ? error.stack : String(error)}`);
    }
    const { user, system } = process.cpuUsage(start);
    const ms = (user + system) / 1000;
    const grown = usedBytes() - heap;
    if (ms > MAX_MS) failures.push(`${i}: took ${ms} ms`);
    if (grown > MAX_FACTOR * bytes.length + SLACK_BYTES) failures.push(`${i}: ${grown} bytes`);
    slowestMs = Math.max(slowestMs, ms);
    largestBytes = Math.max(largestBytes, grown);
    const words = answer
      .replaceAll(/"(?:[^"\\]|\\.)*"/g, '"…"')
      .replaceAll(/\d+/g, "N")
      .slice(0, 80);
    answers.set(words, (answers.get(words) ?? 0) + 1);
  }
  return { name: target.name, files: to - from, answers, failures, slowestMs, largestBytes };
}

function usedBytes(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}
