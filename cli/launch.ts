/**
 * Makes sure that a command runs in a process where WebGPU has an adapter.
 *
 * A GPU is used where one answers. Elsewhere the command is started once more with the environment of the
 * software adapter, because the dynamic linker reads it only at process start. Deno and browsers bring
 * their own `navigator.gpu`: nothing to do.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../src/gpu/errors.ts";
import { nodeGpuProvider } from "../src/node/gpu.ts";
import {
  SOFTWARE_MARKER,
  SOFTWARE_NOTICE,
  softwareAdapterEnv,
} from "../src/node/software-adapter.ts";
import { driverAdvice } from "./advice.ts";
import { processTerminal } from "./terminal.ts";

/** A driver that takes longer than this to answer a request for an adapter counts as absent. */
const PROBE_TIMEOUT_MS = 20_000;

/** Signals that end the child as well as us. */
const FORWARDED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Returns null when this process can ask for an adapter, or the exit code of the child process that has
 * done the whole command in its place. Throws `DeviceError` where neither is possible.
 */
export async function launch(): Promise<number | null> {
  if ((globalThis.navigator as Navigator | undefined)?.gpu !== undefined) return null;
  if (process.env[SOFTWARE_MARKER]) return null;
  // Elsewhere Dawn has Metal or Direct3D and there is no software adapter: asking twice gains nothing.
  if (process.platform !== "linux") return null;
  if (await probeAdapter()) return null;
  const env = await softwareAdapterEnv();
  if (env === null) {
    await nodeGpuProvider(); // says so where the package "webgpu" is what is missing
    throw new DeviceError(
      `device: no GPU answered and no software adapter is installed. ${driverAdvice().join(". ")}. ` +
        `Or install the software adapter (Linux x64): npm install @sparticuz/chromium tar-fs`,
    );
  }
  processTerminal.note(SOFTWARE_NOTICE);
  return runAgain(env);
}

/** Asks for an adapter in a short-lived process, so that a driver that talks or crashes does no harm. */
async function probeAdapter(): Promise<boolean> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const script = fileURLToPath(new URL(`./probe.${extension}`, import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script], {
    stdio: "ignore",
    timeout: PROBE_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  return (await exitCodeOf(child)) === 0;
}

async function runAgain(env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  // Ctrl-C in a terminal reaches the child by itself as well; it takes signals in quick succession as one.
  const forward = (signal: NodeJS.Signals) => void child.kill(signal);
  for (const signal of FORWARDED_SIGNALS) process.on(signal, forward);
  try {
    return await exitCodeOf(child);
  } finally {
    for (const signal of FORWARDED_SIGNALS) process.off(signal, forward);
  }
}

/** Exit code, or 128 + the number of the signal that ended the process. */
async function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
