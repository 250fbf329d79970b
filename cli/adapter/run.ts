/** `rcod adapter`: what there is to compute on, and a faster software adapter in the user's cache folder. */
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline/promises";
import type { FoundAdapter } from "../../src/node/gpu.ts";
import { mesaFolder, unpackedMesa } from "../../src/node/software-adapter.ts";
import { swiftShader } from "../../src/node/swiftshader.ts";
import { writeFolderAtomically } from "../atomic-write.ts";
import { CliError, EXIT, systemCode, systemReason, usageError } from "../errors.ts";
import { formatTable } from "../format.ts";
import { interruptible } from "../interrupt.ts";
import { askAdapter, chooseAdapter } from "../launch.ts";
import { RUNTIME } from "../package-root.ts";
import { createProgress } from "../progress.ts";
import { forgetTemporary, removeLeftovers, temporaryBeside } from "../temporary.ts";
import type { Terminal } from "../terminal.ts";
import type { AdapterOptions } from "./command.ts";
import { checkMesa, fetchMesa } from "./mesa.ts";

/** What the command takes from elsewhere; tests put their own here. */
export interface AdapterDependencies {
  readonly fetch: typeof fetchMesa;
  readonly check: typeof checkMesa;
  readonly ask: typeof askAdapter;
  /** The user's answer to a question; null where nobody can be asked. */
  readonly confirm: ((question: string, signal: AbortSignal) => Promise<boolean>) | null;
}

const REAL: AdapterDependencies = {
  fetch: fetchMesa,
  check: checkMesa,
  ask: askAdapter,
  confirm: process.stdin.isTTY && process.stderr.isTTY ? askUser : null,
};

/** What apt loads, and what is kept of it. */
const SIZE = "about 63 MB, and 195 MB on disk";

/** Runs the command. Exit code 0; throws `CliError` where something cannot be done, and then nothing has changed. */
export async function runAdapter(
  options: AdapterOptions,
  terminal: Terminal,
  dependencies: AdapterDependencies = REAL,
): Promise<number> {
  const { action } = options;
  if (action === "remove") return remove(terminal);
  if (action === "status") return status(options, terminal);
  return interruptible((signal) => install(options, terminal, dependencies, signal));
}

async function install(
  { yes = false }: AdapterOptions,
  terminal: Terminal,
  { fetch, check, ask, confirm }: AdapterDependencies,
  signal: AbortSignal,
): Promise<number> {
  const folder = mesaFolder();
  const isPossible = process.platform === "linux" && process.arch === "x64";
  if (!isPossible || process.versions["deno"] !== undefined) {
    throw new CliError(
      `adapter install: needs Node on Linux x64 (llvmpipe is fetched as Debian packages), got ${RUNTIME}. ` +
        "Elsewhere WebGPU uses the graphics driver: see rcod doctor",
    );
  }
  const present = unpackedMesa();
  const answer = present && (await ask(present));
  if (answer !== null) {
    terminal.note(
      `${answer.name} is there already, in ${folder}. For a newer one: rcod adapter remove, then install`,
    );
    return EXIT.ok;
  }
  terminal.note(
    `apt fetches llvmpipe, the CPU driver of Mesa, with the libraries that it needs, from Debian's archive (trixie-backports): ` +
      `${SIZE}, in ${folder}. Nothing is installed in the system`,
  );
  if (!yes) {
    if (confirm === null)
      throw usageError(
        "adapter install: nobody can be asked here, for there is no terminal. Say --yes",
      );
    if (!(await confirm("Fetch it? [y/N] ", signal)))
      throw new CliError("adapter install: not wanted");
  }
  await removeLeftovers(dirname(folder));
  const progress = await createProgress(terminal, false);
  try {
    await writeFolderAtomically(
      folder,
      async (temporary) => {
        const show = (fraction: number) =>
          progress.update({ stage: "load", stageFraction: fraction, fraction });
        progress.start("Mesa", "fetching");
        show(0);
        await fetch(temporary, signal, show);
        progress.start("Mesa", "checking");
        show(0);
        await check(temporary, signal);
      },
      { replace: true, signal }, // of what is there nothing answers
    );
  } finally {
    progress.stop();
  }
  const installed = unpackedMesa();
  const found = installed && (await ask(installed));
  terminal.out(`${found?.name ?? "Mesa"} is in ${folder}. Commands use it where no GPU answers`);
  return EXIT.ok;
}

async function askUser(question: string, signal: AbortSignal): Promise<boolean> {
  // Not as a terminal: Ctrl-C stays a signal.
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  const ended = new Promise<string>((resolve) => void lines.once("close", () => resolve("")));
  try {
    const answer = await Promise.race([lines.question(question, { signal }), ended]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}

async function remove(terminal: Terminal): Promise<number> {
  const folder = mesaFolder();
  await removeLeftovers(dirname(folder));
  // Out of the way first: what is half removed must not be taken for a driver.
  const away = temporaryBeside(folder);
  try {
    await rename(folder, away);
  } catch (error) {
    if (systemCode(error) === "ENOENT") {
      terminal.note(`there is none in ${folder}`);
      return EXIT.ok;
    }
    throw new CliError(`adapter remove: cannot remove ${folder}: ${systemReason(error)}`);
  }
  await rm(away, { recursive: true, force: true });
  forgetTemporary(away);
  terminal.out(`removed ${folder}`);
  return EXIT.ok;
}

async function status({ json = false }: AdapterOptions, terminal: Terminal): Promise<number> {
  const [mesa, shader] = [unpackedMesa(), await swiftShader()];
  const [{ here, fetched, elsewhere }, bundled] = await Promise.all([
    chooseAdapter(),
    shader && askAdapter(shader),
  ]);
  const used =
    elsewhere === null ? "system" : elsewhere.name === mesa?.name ? "mesa" : "swiftshader";
  const report = {
    used: here === null && elsewhere === null ? null : used,
    system: here,
    mesa: { folder: mesaFolder(), adapter: fetched },
    swiftshader: bundled,
  };
  if (json) {
    terminal.out(JSON.stringify(report));
    return EXIT.ok;
  }
  const name = (adapter: FoundAdapter | null, otherwise: string) => adapter?.name ?? otherwise;
  const rows = [
    ["system", "system's driver", name(here, "none that Dawn takes")],
    [
      "mesa",
      "fetched Mesa",
      name(fetched, mesa ? "does not answer" : "none: rcod adapter install fetches it"),
    ],
    ["swiftshader", "SwiftShader", name(bundled, "none: npm install @sparticuz/chromium tar-fs")],
  ];
  terminal.out(
    formatTable(rows.map(([key = "", ...row]) => [...row, key === report.used ? "← used" : ""])),
  );
  if (mesa !== null && fetched !== null) {
    terminal.out(
      `\nYour own scripts on the fetched Mesa:\n  VK_DRIVER_FILES=${mesa.env["VK_DRIVER_FILES"]} ${mesa.node} script.mjs`,
    );
  }
  return EXIT.ok;
}
