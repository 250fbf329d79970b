/**
 * `npm run mutants`: applies each change of the list to a copy of the working tree, runs its tests until one fails, and
 * writes who caught it to results.json and docs/mutants.md. `npm run mutants -- TEXT…` takes only changes of files whose path
 * contains a text, `-- --new` those that nobody has caught yet. One after another, at a low priority; about ten seconds each. Fails when a change survives that is
 * not known to be equivalent.
 */
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { setPriority, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./list.ts";
import { MUTANTS } from "./list.ts";
import type { Results } from "./results.ts";
import { PAGE, RESULTS, keyOf, page, readResults } from "./results.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TIME_LIMIT_MS = 240_000;

/** The parts of vitest's report that are read. */
interface Report {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

let running: ChildProcess | undefined;

export async function main(args: readonly string[]): Promise<number> {
  setPriority(5);
  const texts = args.filter((text) => text !== "--new");
  const known = readResults();
  const chosen = MUTANTS.filter(
    (mutant) =>
      (texts.length === 0 || texts.some((text) => mutant.file.includes(text))) &&
      !(args.includes("--new") && isSettled(mutant, known)),
  );
  const copy = mkdtempSync(join(tmpdir(), "rcod-mutants-"));
  const clean = (): void => {
    if (running?.pid !== undefined) stop(running.pid);
    rmSync(copy, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      clean();
      process.exit(130);
    });
  }
  try {
    await copyTree(copy);
    const results = { ...known };
    const sound = new Set<string>();
    let survived = 0;
    for (const mutant of chosen) {
      for (const tests of mutant.tests.filter((name) => !sound.has(name))) {
        const failure = await firstFailure(copy, tests);
        if (failure !== null) throw new Error(`mutants: "${tests}" fails unchanged: ${failure}`);
        sound.add(tests);
      }
      const caughtBy = await outcome(copy, mutant);
      results[keyOf(mutant)] = caughtBy;
      if (caughtBy === null && mutant.equivalent === undefined) survived++;
      process.stdout.write(`${caughtBy === null ? "SURVIVED" : "caught"} ${keyOf(mutant)}\n`);
      if (caughtBy !== null) process.stdout.write(`    ${caughtBy}\n`);
      await write(results); // at once, so that a run may be interrupted
    }
    process.stdout.write(`${chosen.length - survived} of ${chosen.length} caught or equivalent\n`);
    return survived > 0 ? 1 : 0;
  } finally {
    clean();
  }
}

/** Whether a change has been caught, or has been tried and is known to make no difference. */
function isSettled(mutant: Mutant, known: Results): boolean {
  const key = keyOf(mutant);
  return Boolean(known[key]) || (key in known && mutant.equivalent !== undefined);
}

/** Results of the list as it is, in its order. */
async function write(all: Results): Promise<void> {
  const results = Object.fromEntries(
    MUTANTS.map(keyOf).flatMap((key) => (key in all ? [[key, all[key] ?? null]] : [])),
  );
  writeFileSync(RESULTS, `${JSON.stringify(results, null, 2)}\n`);
  await mkdir(dirname(fileURLToPath(PAGE)), { recursive: true });
  writeFileSync(PAGE, page(results));
}

/** All that git knows or would add, and the installed packages by a link. */
async function copyTree(copy: string): Promise<void> {
  const listed = execFileSync(
    "git",
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    { cwd: ROOT, encoding: "utf8" },
  );
  for (const path of listed.split("\0").filter((name) => name !== "")) {
    await mkdir(dirname(join(copy, path)), { recursive: true });
    cpSync(join(ROOT, path), join(copy, path));
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
}

/** Which test fails with the change; null: none. */
async function outcome(
  copy: string,
  { file, before, after, tests }: Mutant,
): Promise<string | null> {
  const path = join(copy, "src", file);
  const original = readFileSync(path, "utf8");
  if (original.split(before).length !== 2)
    throw new Error(`mutants: ${file} has not once: ${before}`);
  // A function, as a string may contain the patterns of `replace`.
  writeFileSync(
    path,
    original.replace(before, () => after),
  );
  try {
    for (const name of tests) {
      const failure = await firstFailure(copy, name);
      if (failure !== null) return `${name.split(" > ")[0] ?? name}: ${failure}`;
    }
    return null;
  } finally {
    writeFileSync(path, original);
  }
}

/** Runs `<file> > <pattern>` until a test fails. Its name; null when all pass. */
async function firstFailure(copy: string, tests: string): Promise<string | null> {
  const [file = "", pattern] = tests.split(" > ");
  const report = join(copy, "mutant-report.json");
  rmSync(report, { force: true });
  const args = ["node_modules/vitest/vitest.mjs", "run", `tests/${file}`, "--bail=1"];
  args.push("--reporter=json", `--outputFile=${report}`, ...(pattern ? ["-t", pattern] : []));
  const child = spawn(process.execPath, args, { cwd: copy, stdio: "ignore", detached: true });
  running = child;
  const { pid = 0 } = child;
  const isLate = await new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => {
      stop(pid);
      resolve(true);
    }, TIME_LIMIT_MS);
    child.once("error", reject);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
  running = undefined;
  if (isLate) return `no end within ${TIME_LIMIT_MS / 1000} s`;
  const { success, numPassedTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  ) as Report;
  const failed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find(({ status }) => status === "failed");
  if (failed) return failed.fullName;
  if (!success)
    return testResults
      .map(({ message }) => message)
      .join(" ")
      .slice(0, 120);
  if (numPassedTests === 0) throw new Error(`mutants: no test of "${tests}"`);
  return null;
}

/** Ends a child with all that it has started. */
function stop(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
