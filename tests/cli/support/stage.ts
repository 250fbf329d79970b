/** The package as it is installed (`bin/`, compiled code), in a folder of its own, and processes of it. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { access, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";
import { PLAIN_NODE } from "../../support/plain-node.ts";

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

export interface Stage {
  /** `bin/rcod.js`. */
  readonly rcod: string;
  /** `driver.ts`, compiled. */
  readonly driver: string;
}

/** Registers the compilation for a test file; its paths are valid inside tests. */
export function useStage(): Stage {
  let folder = "";
  beforeAll(async () => {
    // Below node_modules, so that imports of packages resolve.
    const parent = join(REPOSITORY, "node_modules", ".cache");
    await mkdir(parent, { recursive: true });
    folder = await mkdtemp(join(parent, "rcod-stage-"));
    await writeFile(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: join(REPOSITORY, "tsconfig.json"),
        compilerOptions: {
          noEmit: false,
          rootDir: REPOSITORY,
          outDir: folder,
          typeRoots: [join(REPOSITORY, "node_modules/@types")],
        },
        files: [
          join(REPOSITORY, "cli/main.ts"),
          join(REPOSITORY, "cli/probe.ts"),
          join(REPOSITORY, "fleet/inference/thread.ts"),
          join(REPOSITORY, "tests/cli/support/driver.ts"),
        ],
      }),
    );
    const compiler = spawn(
      process.execPath,
      [join(REPOSITORY, "node_modules/typescript/bin/tsc"), "-p", folder],
      { stdio: "ignore" }, // types are checked elsewhere; the compiler writes its output regardless
    );
    await new Promise((resolve) => compiler.once("exit", resolve));
    await access(join(folder, "cli/main.js"));
    await symlink(".", join(folder, "dist"));
    await mkdir(join(folder, "bin"));
    await copyFile(join(REPOSITORY, "bin/rcod.js"), join(folder, "bin/rcod.js"));
    await copyFile(join(REPOSITORY, "package.json"), join(folder, "package.json"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return {
    get rcod() {
      return join(folder, "bin", "rcod.js");
    },
    get driver() {
      return join(folder, "tests", "cli", "support", "driver.js");
    },
  };
}

/**
 * The environment of a user's shell: without what the test run has set up for its own software adapter, and with a cache
 * folder that holds `cache`, nothing by default.
 */
export function bareEnvironment(cache = "/nonexistent"): NodeJS.ProcessEnv {
  const isOurs = (name: string) =>
    /^(VK_(ICD_FILENAMES|DRIVER_FILES)|LD_LIBRARY_PATH|RCOD_\w+)$/.test(name);
  const kept = Object.entries(process.env).filter(([name]) => !isOurs(name));
  return { ...Object.fromEntries(kept), XDG_CACHE_HOME: cache };
}

export interface Finished {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves when stderr contains `text`; rejects when the process ends before that. */
  seen(text: string): Promise<void>;
}

/** Starts a script in Node. */
export function start(script: string, args: readonly string[], env = process.env): Running {
  const child = spawn(PLAIN_NODE, [script, ...args], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const listeners = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    for (const listener of listeners) listener();
  });
  const finished = new Promise<Finished>((resolve) =>
    child.once("close", (exitCode) => resolve({ exitCode, stdout, stderr })),
  );
  return {
    child,
    finished,
    seen: (text) =>
      new Promise((resolve, reject) => {
        const look = () => stderr.includes(text) && resolve();
        listeners.add(look);
        look();
        void finished.then(() => reject(new Error(`ended without "${text}": ${stderr}`)));
      }),
  };
}

/** Runs a script to its end. */
export function run(script: string, args: readonly string[], env = process.env): Promise<Finished> {
  return start(script, args, env).finished;
}
