/** Fetching Mesa as Debian packages, and checking that what came computes right. */
import { spawn } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { unpackedMesa } from "../../src/node/software-adapter.ts";
import { CliError } from "../errors.ts";
import { BUNDLED_GOLDENS, FETCH_SCRIPT, PROGRAM } from "../package-root.ts";

/** Convolutions, norms and attention in both precisions, in a few seconds. */
const CHECKED = join(BUNDLED_GOLDENS, "blocks_vae_mid.safetensors");

/** Descriptor of the script on which apt reports its progress. */
const STATUS_FD = 3;

/**
 * Fills `folder` by `fetch-packages.sh`. `onProgress` gets 0 … 1, for the lists first and then for the packages. Throws
 * `CliError` with the script's own reason, or the signal's.
 */
export async function fetchMesa(
  folder: string,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<void> {
  const fault = await run("sh", [FETCH_SCRIPT, folder], {
    signal,
    env: { RCOD_STATUS_FD: String(STATUS_FD) },
    onStatus: (line) => {
      const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
      if (percent !== undefined) onProgress(Number(percent) / 100);
    },
  });
  if (fault !== null) throw new CliError(`adapter install: ${fault}`);
  await removeOtherDrivers(folder);
}

/** Mesa's drivers come as one package, a third of its size on disk; only llvmpipe is used here. */
async function removeOtherDrivers(folder: string): Promise<void> {
  const libraries = join(folder, "root", "usr", "lib", "x86_64-linux-gnu");
  for (const name of await readdir(libraries)) {
    if (/^libvulkan_(?!lvp)|^libVkLayer_/.test(name)) await rm(join(libraries, name));
  }
  for (const name of await readdir(join(folder, "icd"))) {
    if (name !== "lvp_icd.json") await rm(join(folder, "icd", name));
  }
}

/** Has the program itself compute on the Mesa in `folder`. Throws `CliError` where it finds no adapter or wrong results. */
export async function checkMesa(folder: string, signal: AbortSignal): Promise<void> {
  const mesa = unpackedMesa(folder);
  if (mesa === null) throw new CliError("adapter install: the packages hold no llvmpipe");
  for (const args of [["doctor"], ["verify", CHECKED]]) {
    const fault = await run(mesa.node, [PROGRAM, ...args], { signal, env: mesa.env });
    if (fault !== null) {
      throw new CliError(
        `adapter install: what was fetched does not work here and is removed again (rcod ${args[0]}: ${fault})`,
      );
    }
  }
}

interface RunOptions {
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string>>;
  readonly onStatus?: (line: string) => void;
}

/** Runs a program. Null where it ends well, else the last line of its output. Throws the signal's reason. */
async function run(
  command: string,
  args: readonly string[],
  { signal, env, onStatus }: RunOptions,
): Promise<string | null> {
  signal.throwIfAborted();
  // A group of its own, so that an abort ends what it has started too.
  const child = spawn(command, args, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const stop = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
  };
  signal.addEventListener("abort", stop);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2000)));
  (child.stdio[STATUS_FD] as Readable).on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().split("\n")) onStatus?.(line);
  });
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    signal.throwIfAborted();
    return exitCode === 0 ? null : output.trim().split("\n").at(-1) || `exit code ${exitCode}`;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
