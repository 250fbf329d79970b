import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AdapterOptions } from "../../../cli/adapter/command.ts";
import { fetchMesa } from "../../../cli/adapter/mesa.ts";
import type { AdapterDependencies } from "../../../cli/adapter/run.ts";
import { runAdapter } from "../../../cli/adapter/run.ts";
import { CliError } from "../../../cli/errors.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const folder = useFolder();
const cache = () => folder.file("rcod-webgpu");
const mesa = () => join(cache(), "mesa");
const platform = Object.getOwnPropertyDescriptor(process, "platform") as PropertyDescriptor;

beforeEach(() => void vi.stubEnv("XDG_CACHE_HOME", folder.path));
afterEach(() => {
  vi.unstubAllEnvs();
  Object.defineProperty(process, "platform", platform);
});

/** What looks like an unpacked Mesa. */
async function fill(path: string, content = "new"): Promise<void> {
  await mkdir(join(path, "icd"), { recursive: true });
  for (const name of ["icd/lvp_icd.json", "node", "complete"])
    await writeFile(join(path, name), content);
}

function adapter(action: AdapterOptions["action"], changed: Partial<AdapterDependencies> = {}) {
  const terminal = recordingTerminal();
  const dependencies = {
    fetch: vi.fn<AdapterDependencies["fetch"]>((path) => fill(path)),
    check: vi.fn<AdapterDependencies["check"]>(async () => {}),
    ask: async () => ({ name: "llvmpipe: Mesa 26", isSoftware: true }),
    confirm: vi.fn(async () => true),
    ...changed,
  };
  const done = runAdapter({ action, dawnToggles: [] }, terminal, dependencies);
  return { done, terminal, dependencies };
}

/** Exit code and message of a run that ends badly. */
async function failure(run: ReturnType<typeof adapter>): Promise<readonly [number, string]> {
  const error = await run.done.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CliError);
  return [(error as CliError).exitCode, (error as CliError).message];
}

const isSupported = process.platform === "linux" && process.arch === "x64";

describe.skipIf(!isSupported)("adapter install (Linux x64 only)", () => {
  it("says what it fetches, asks, fetches, checks, and is there at once", async () => {
    const check = vi.fn(async (path: string) => {
      expect(existsSync(join(path, "complete"))).toBe(true);
      expect(existsSync(mesa())).toBe(false);
    });
    const { done, terminal, dependencies } = adapter("install", { check });
    expect(await done).toBe(0);
    expect(terminal.stderr[0]).toMatch(/about 63 MB.*rcod-webgpu\/mesa\. Nothing is installed/);
    expect(dependencies.confirm).toHaveBeenCalledTimes(1);
    expect(check).toHaveBeenCalledTimes(1);
    expect(terminal.stdout).toEqual([
      `llvmpipe: Mesa 26 is in ${mesa()}. Commands use it where no GPU answers`,
    ]);
    expect(await readdir(cache())).toEqual(["mesa"]);
  });

  it("refuses where nobody can be asked, with the reason", async () => {
    const run = adapter("install", { confirm: null });
    expect(await failure(run)).toEqual([2, expect.stringContaining("no terminal. Say --yes")]);
    expect(run.dependencies.fetch).not.toHaveBeenCalled();
  });

  it("does nothing at a no", async () => {
    const run = adapter("install", { confirm: async () => false });
    expect(await failure(run)).toEqual([1, "adapter install: not wanted"]);
    expect(run.dependencies.fetch).not.toHaveBeenCalled();
    expect(await readdir(folder.path)).toEqual([]);
  });

  it("fetches nothing where one answers, and anew where one does not", async () => {
    await fill(mesa(), "old");
    const first = adapter("install");
    expect(await first.done).toBe(0);
    expect(first.terminal.stderr[0]).toMatch(/is there already/);
    expect(first.dependencies.fetch).not.toHaveBeenCalled();
    expect(await adapter("install", { ask: async () => null }).done).toBe(0);
    expect(await readFile(join(mesa(), "node"), "utf8")).toBe("new");
    expect(await readdir(cache())).toEqual(["mesa"]);
  });

  it.each(["fetch", "check"] as const)("leaves nothing where %s fails", async (step) => {
    const broken = async (path: string): Promise<void> => {
      await fill(path);
      throw new CliError(`adapter install: ${step} is broken`);
    };
    const message = `adapter install: ${step} is broken`;
    expect(await failure(adapter("install", { [step]: broken }))).toEqual([1, message]);
    expect(await readdir(folder.path)).toEqual([]);
  });

  it.each(["fetch", "check"] as const)("leaves nothing when interrupted at %s", async (step) => {
    const slow: AdapterDependencies["check"] = async (path, signal) => {
      await fill(path);
      process.emit("SIGINT", "SIGINT");
      signal.throwIfAborted();
    };
    const run = adapter("install", { [step]: slow });
    expect(await failure(run)).toEqual([130, "interrupted"]);
    expect(await readdir(folder.path)).toEqual([]);
  });

  it("removes what a killed process has left, and nothing of one that lives", async () => {
    const dead = 2 ** 22 + 1; // above Linux's highest process number
    await fill(join(cache(), `.rcod-${dead}-abc.tmp`));
    await fill(join(cache(), `.rcod-${process.ppid}-abc.tmp`));
    expect(await adapter("install").done).toBe(0);
    expect(await readdir(cache())).toEqual([`.rcod-${process.ppid}-abc.tmp`, "mesa"]);
  });

  it("says where it cannot be done, and what there is instead", async () => {
    Object.defineProperty(process, "platform", { ...platform, value: "darwin" });
    expect(await failure(adapter("install"))).toEqual([
      1,
      expect.stringMatching(/^adapter install: needs Node on Linux x64 .* got .* see rcod doctor$/),
    ]);
  });
});

describe("adapter remove", () => {
  it("removes it, and leaves the rest of the cache", async () => {
    await fill(mesa());
    await writeFile(join(cache(), "tuning.json"), "{}");
    const { done, terminal } = adapter("remove");
    expect(await done).toBe(0);
    expect(terminal.stdout).toEqual([`removed ${mesa()}`]);
    expect(await readdir(cache())).toEqual(["tuning.json"]);
  });

  it("says so where there is none", async () => {
    const { done, terminal } = adapter("remove");
    expect(await done).toBe(0);
    expect(terminal.stderr).toEqual([`there is none in ${mesa()}`]);
  });
});

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

describe.skipIf(!isSupported || !existsSync(KEYRING))("fetchMesa (Debian only)", () => {
  /** Puts a program of that name before the real one. */
  async function standIn(name: string, script: string): Promise<void> {
    const path = folder.file("bin", name);
    await mkdir(folder.file("bin"), { recursive: true });
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    vi.stubEnv("PATH", `${folder.file("bin")}:${process.env["PATH"]}`);
  }
  const fetch = (
    signal = new AbortController().signal,
    onProgress: (fraction: number) => void = () => {},
  ) => fetchMesa(folder.file("new"), signal, onProgress);

  beforeEach(() => vi.stubEnv("RCOD_DEBIAN_MIRROR", "http://mirror.invalid"));

  it("tells the script's reason, and the script leaves nothing", async () => {
    await standIn("apt-get", "exit 100");
    await expect(fetch()).rejects.toThrow(
      "adapter install: apt cannot read the package lists of http://mirror.invalid",
    );
    expect(await readdir(folder.file("new"))).toEqual([]);
  });

  it("reports apt's progress", async () => {
    await standIn(
      "apt-get",
      'printf "dlstatus:1:12.5:Retrieving\\ndlstatus:2:50:x\\n" >&3; exit 1',
    );
    const seen: number[] = [];
    await expect(fetch(undefined, (fraction) => seen.push(fraction))).rejects.toThrow("apt");
    expect(seen).toEqual([0.125, 0.5]);
  });

  it("ends apt and leaves nothing when aborted", async () => {
    const started = folder.file("started");
    await standIn("apt-get", `echo $$ >${started}; exec sleep 60`);
    const controller = new AbortController();
    const fetching = fetch(controller.signal);
    const pid = await vi.waitFor(
      async () => {
        const text = await readFile(started, "utf8");
        expect(text).toMatch(/^\d+\n/);
        return Number(text);
      },
      { timeout: 30_000 },
    );
    controller.abort(new Error("enough"));
    await expect(fetching).rejects.toThrow("enough");
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(await readdir(folder.file("new"))).toEqual([]);
  });
});
