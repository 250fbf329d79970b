/** A fleet on this machine: pictures, a small model, processes of the compiled program. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { minimalFiles } from "../rcod/support.ts";

/** Sides of pictures in turn, in pixels: each a small one, which takes a CPU less than a tenth of a second. */
const SIDES = [24, 24, 20, 16] as const;

/** Writes `count` pictures of noise, each different. */
export async function makePictures(
  folder: string,
  count: number,
  sides: readonly number[] = SIDES,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (let i = 0; i < count; i++) {
    const side = sides[i % sides.length] ?? 24;
    const data = Buffer.alloc(side * side * 3).map((_, k) => (k * (2 * i + 3) + i * 17) % 251);
    const raw = { width: side, height: side, channels: 3 as const };
    await sharp(data, { raw })
      .png()
      .toFile(join(folder, `p${String(i).padStart(4, "0")}.png`));
  }
}

/** Writes the smallest model there is. */
export async function makeModel(folder: string): Promise<void> {
  const files = await minimalFiles({ vaeWidths: [8, 8, 8, 8], midAttention: false });
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
}

export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of `rcod`, on the adapter that the tests run on. */
export interface Process {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What it has said so far, on both streams. */
  said(): string;
}

/** `within` puts words in front, such as those that enter a network namespace. */
export function rcod(
  program: string,
  args: readonly string[],
  variables: NodeJS.ProcessEnv = {},
  within = (words: readonly string[]): readonly string[] => words,
): Process {
  const [first = "", ...words] = within([process.execPath, program, ...args]);
  const child = spawn(first, words, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...variables },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve) =>
    child.once("close", (exitCode) => resolve({ exitCode, stdout, stderr })),
  );
  return { child, ended, said: () => stdout + stderr };
}

/** Bytes of a folder's files by name. */
export async function filesIn(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const names = (await readdir(folder)).toSorted();
  const files = await Promise.all(names.map((name) => readFile(join(folder, name))));
  return new Map(names.map((name, i) => [name, files[i] as Buffer]));
}

/** Names of files that differ, or that only one of the folders has. */
export async function differences(one: string, other: string): Promise<readonly string[]> {
  const [a, b] = [await filesIn(one), await filesIn(other)];
  return [...new Set([...a.keys(), ...b.keys()])].filter(
    (name) => !(a.get(name) ?? Buffer.of(0)).equals(b.get(name) ?? Buffer.of(1)),
  );
}
