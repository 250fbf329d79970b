/**
 * `npm run reliability:images [-- FILES [NAME]]`: 10,000 damaged files of every image format, or as many as asked, of the
 * format NAME. Each format has a process of its own, so that a decoder's crash is seen; it goes on behind the file
 * that it died of. Prints a row of a table each; exit code 1 when a file broke a rule.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { imageTargets } from "./images.ts";
import type { ImageTrial } from "./try-images.ts";
import { tryImages } from "./try-images.ts";

/** A file that takes this long by the clock hangs. */
const HANG_MS = 30_000;

export async function main([files = "10000", only = "", from]: readonly string[]): Promise<number> {
  const targets = (await imageTargets()).filter(({ name }) => name.startsWith(only));
  if (from !== undefined)
    return child(targets[0] as (typeof targets)[0], Number(from), Number(files));
  console.log("| format | files | read | refused | slowest | memory grew at most by |");
  console.log("|---|---|---|---|---|---|");
  let failed = 0;
  for (const { name } of targets) failed += await row(name, Number(files));
  return failed === 0 ? 0 : 1;
}

/** Prints the row of a format and what went wrong; gives the number of failures. */
async function row(name: string, files: number): Promise<number> {
  const failures: string[] = [];
  let [pictures, slowestMs, grownBytes] = [0, 0, 0];
  for (let from = 0; from < files;) {
    const { trial, last, end } = await trialOf(name, from, files);
    if (trial === null) failures.push(`${last}: the process ended with ${end}`);
    else {
      failures.push(...trial.failures);
      pictures += trial.pictures;
      slowestMs = Math.max(slowestMs, trial.slowestMs);
      grownBytes = Math.max(grownBytes, trial.grownBytes);
    }
    from = trial === null ? last + 1 : files;
  }
  const grown = (grownBytes / 2 ** 20).toFixed(0);
  const counts = `${files} | ${pictures} | ${files - pictures}`;
  console.log(`| ${name} | ${counts} | ${slowestMs.toFixed(0)} ms | ${grown} MiB |`);
  for (const failure of failures.slice(0, 10)) console.log(`${name}, file ${failure}`);
  return failures.length;
}

interface Ended {
  /** Null where the process did not come to the end. */
  readonly trial: ImageTrial | null;
  /** The file that it read last. */
  readonly last: number;
  readonly end: string;
}

async function trialOf(name: string, from: number, files: number): Promise<Ended> {
  const runner = fileURLToPath(new URL("../../../bench/run.mjs", import.meta.url));
  const args = [runner, "../tests/reliability/fuzz/run-images", String(files), name, String(from)];
  // What libraries print of broken files is no result.
  const running = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  let last = from;
  let trial: ImageTrial | null = null;
  let timer = setTimeout(() => running.kill("SIGKILL"), 2 * HANG_MS); // it has to start
  for await (const line of createInterface({ input: running.stdout })) {
    clearTimeout(timer);
    timer = setTimeout(() => running.kill("SIGKILL"), HANG_MS);
    if (line.startsWith("{")) trial = JSON.parse(line) as ImageTrial;
    else last = Number(line);
  }
  clearTimeout(timer);
  return { trial, last, end: String(running.signalCode ?? running.exitCode) };
}

async function child(
  target: Awaited<ReturnType<typeof imageTargets>>[0],
  from: number,
  to: number,
): Promise<number> {
  const trial = await tryImages(
    target,
    from,
    to,
    (number) => void process.stdout.write(`${number}\n`),
  );
  process.stdout.write(`${JSON.stringify(trial)}\n`);
  return 0;
}
