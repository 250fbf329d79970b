/**
 * Makes sure that a command runs in a process where WebGPU has an adapter.
 *
 * A GPU is used where one answers. Elsewhere the command is started once more on a software adapter: Mesa's that
 * `rcod adapter install` has fetched, else the system's own if Dawn takes it, else SwiftShader. Deno and browsers bring
 * their own `navigator.gpu`: nothing to do.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../src/gpu/errors.ts";
import type { FoundAdapter } from "../src/node/gpu.ts";
import { nodeGpuProvider } from "../src/node/gpu.ts";
import type { SoftwareAdapter } from "../src/node/software-adapter.ts";
import {
  SOFTWARE_MARKER,
  correctExecPath,
  softwareNotice,
  unpackedMesa,
} from "../src/node/software-adapter.ts";
import { swiftShader } from "../src/node/swiftshader.ts";
import { driverAdvice } from "./advice.ts";
import { REPEAT_MS } from "./interrupt.ts";
import { PARENT_MARKER, endWithParent } from "./parent.ts";
import { TTY_MARKER, processTerminal } from "./terminal.ts";

/** A driver that takes longer than this to answer a request for an adapter counts as absent. */
const PROBE_TIMEOUT_MS = 20_000;

/** What a child gets to end at a second signal. */
const LAST_WORDS_MS = 500;

/** Signals that end the child as well as us. */
const FORWARDED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a command finds: an adapter in this process, or one that it has to be started on. */
export interface Choice {
  readonly here: FoundAdapter | null;
  /** What Mesa answers that was fetched. */
  readonly fetched: FoundAdapter | null;
  readonly elsewhere: SoftwareAdapter | null;
}

/**
 * Returns null when this process can ask for an adapter, or the exit code of the child process that has
 * done the whole command in its place. `isQuiet` leaves out the lines that say which adapter it is. Throws `DeviceError`
 * where neither is possible.
 */
export async function launch(isQuiet = false): Promise<number | null> {
  if ((globalThis.navigator as Navigator | undefined)?.gpu !== undefined) return null;
  if (process.env[SOFTWARE_MARKER]) {
    correctExecPath();
    endWithParent();
    return null;
  }
  // Elsewhere Dawn has Metal or Direct3D and there is no software adapter: asking twice gains nothing.
  if (process.platform !== "linux") return null;
  const { here, elsewhere } = await chooseAdapter();
  const user = userDrivers();
  const note = (line: string) => void (isQuiet || processTerminal.note(line));
  if (here === null && user !== null) {
    note(`rcod: ${user} gives no adapter here, so another one is looked for`);
  }
  if (elsewhere !== null) {
    note(softwareNotice(elsewhere.name));
    return runAgain(elsewhere);
  }
  if (here === null) {
    await nodeGpuProvider(); // says so where the package "webgpu" is what is missing
    throw new DeviceError(
      `device: no GPU answered and no software adapter is installed. ${driverAdvice().join(". ")}. ` +
        `Or install a software adapter (Linux x64): rcod adapter install, or npm install @sparticuz/chromium tar-fs`,
    );
  }
  if (here.isSoftware && user === null) {
    note(softwareNotice(here.name.replace(/:.*/, "")));
  }
  return null;
}

/** What `launch` takes. Drivers that the user names in the environment come first, if one answers. */
export async function chooseAdapter(): Promise<Choice> {
  // Both at once: only who has fetched Mesa pays for its answer.
  const mesa = unpackedMesa();
  const [here, fetched] = await Promise.all([askAdapter(), mesa && askAdapter(mesa)]);
  const isWanted = here !== null && (userDrivers() !== null || !here.isSoftware);
  if (isWanted) return { here, fetched, elsewhere: null };
  if (fetched !== null) return { here, fetched, elsewhere: mesa };
  return { here, fetched, elsewhere: here === null ? await swiftShader() : null };
}

/** The user's own choice of drivers, as it stands in the environment; null without one. */
function userDrivers(): string | null {
  const name = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].find((key) => process.env[key]);
  return name === undefined ? null : `${name}=${process.env[name]}`;
}

/** Asks for an adapter, the system's without a driver. */
export async function askAdapter(driver?: SoftwareAdapter): Promise<FoundAdapter | null> {
  return probed<FoundAdapter>([], driver);
}

/** Names of all adapters that this process could use, as `NodeGpuOptions` takes them. */
export async function askAdapters(): Promise<readonly string[]> {
  return (await probed<readonly string[]>(["all"])) ?? [];
}

/** What `probe.ts` answers: in a short-lived process a driver that talks, crashes or hangs does no harm. */
async function probed<T>(args: readonly string[], driver?: SoftwareAdapter): Promise<T | null> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const script = fileURLToPath(new URL(`./probe.${extension}`, import.meta.url));
  const child = spawn(driver?.node ?? process.execPath, [...process.execArgv, script, ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...driver?.env },
    timeout: PROBE_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let answer = "";
  child.stdout?.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  try {
    if ((await exitCodeOf(child)) !== 0) return null;
    return JSON.parse(answer.trim().split("\n").at(-1) ?? "") as T;
  } catch {
    return null; // it cannot be started, or is none that speaks
  }
}

async function runAgain({ node, env }: SoftwareAdapter): Promise<number> {
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "pipe"],
    env: {
      ...process.env,
      ...env,
      ...(process.stderr.isTTY && { [TTY_MARKER]: "1" }),
      [PARENT_MARKER]: String(process.pid),
    },
  });
  const hand = withoutChatter((text) => void process.stderr.write(text, "latin1"));
  child.stderr?.on("data", (chunk: Buffer) => hand(chunk.toString("latin1"))); // a chunk may end within a letter
  let asked: { readonly signal: NodeJS.Signals; readonly at: number } | undefined;
  let isKilled = false;
  // Ctrl-C in a terminal reaches the child by itself as well; it takes signals in quick succession as one.
  const forward = (signal: NodeJS.Signals) => {
    child.kill(signal);
    asked ??= { signal, at: performance.now() };
    if (performance.now() - asked.at < REPEAT_MS) return;
    // Who asks again does not want to wait, and the child may be deaf while it compiles.
    setTimeout(() => (isKilled = child.kill("SIGKILL")), LAST_WORDS_MS).unref();
  };
  for (const signal of FORWARDED_SIGNALS) process.on(signal, forward);
  try {
    const exitCode = await exitCodeOf(child);
    return isKilled && asked ? 128 + constants.signals[asked.signal] : exitCode;
  } finally {
    for (const signal of FORWARDED_SIGNALS) process.off(signal, forward);
  }
}

/** How Dawn's lines begin about limits of llvmpipe that are higher than it can use. */
const CHATTER = "Warning: maxDynamic";

/** Passes text on without Dawn's chatter. A line's beginning waits only as long as it may become some: bars have no end. */
function withoutChatter(write: (text: string) => void): (text: string) => void {
  let held = "";
  return (text) => {
    const lines = (held + text).split(/(?<=\n)/);
    const last = lines.at(-1) ?? "";
    const mayBeChatter = last.startsWith(CHATTER) || CHATTER.startsWith(last);
    held = mayBeChatter && !last.endsWith("\n") ? (lines.pop() as string) : "";
    const kept = lines.filter((line) => !line.startsWith(CHATTER)).join("");
    if (kept !== "") write(kept);
  };
}

/** Exit code, or 128 + the number of the signal that ended the process; its output has been read. */
async function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
