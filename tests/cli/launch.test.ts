import { EventEmitter } from "node:events";
import type { MockInstance } from "vitest";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { launch } from "../../cli/launch.ts";

const fake = vi.hoisted(() => ({
  spawn:
    vi.fn<
      (command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv }) => unknown
    >(),
  softwareAdapterEnv: vi.fn<() => Promise<Record<string, string> | null>>(),
}));

vi.mock("node:child_process", async (original) => ({
  ...(await original<object>()),
  spawn: fake.spawn,
}));
vi.mock("../../src/node/software-adapter.ts", async (original) => ({
  ...(await original<object>()),
  softwareAdapterEnv: fake.softwareAdapterEnv,
}));

/** Every `spawn` in turn ends like this: an exit code, or a signal. */
function childrenEnd(...ends: readonly (number | NodeJS.Signals)[]): void {
  for (const end of ends) {
    fake.spawn.mockImplementationOnce(() => {
      const child = Object.assign(new EventEmitter(), { kill: vi.fn<() => boolean>() });
      setImmediate(() =>
        typeof end === "number" ? child.emit("exit", end, null) : child.emit("exit", null, end),
      );
      return child;
    });
  }
}

let platform: PropertyDescriptor;
let stderr: MockInstance;
beforeEach(() => {
  platform = Object.getOwnPropertyDescriptor(process, "platform") as PropertyDescriptor;
  setPlatform("linux");
  vi.stubEnv("RCOD_SOFTWARE_ADAPTER", "");
  stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
});
afterEach(() => {
  Object.defineProperty(process, "platform", platform);
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  fake.spawn.mockReset();
  fake.softwareAdapterEnv.mockReset();
});

function setPlatform(value: string): void {
  Object.defineProperty(process, "platform", { ...platform, value });
}

describe("launch", () => {
  it("stays where a GPU answers, and says nothing", async () => {
    childrenEnd(0);
    expect(await launch()).toBeNull();
    expect(fake.spawn).toHaveBeenCalledTimes(1);
    expect(fake.spawn.mock.calls[0]?.[1].at(-1)).toMatch(/probe\.ts$/);
    expect(stderr).not.toHaveBeenCalled();
  });

  it("runs the same command again with the software adapter, says so once, and passes its exit code on", async () => {
    childrenEnd(3, 7);
    fake.softwareAdapterEnv.mockResolvedValue({
      RCOD_SOFTWARE_ADAPTER: "1",
      LD_LIBRARY_PATH: "/x",
    });
    expect(await launch()).toBe(7);
    const [command, args, options] = fake.spawn.mock.calls[1] ?? [];
    expect(command).toBe(process.execPath);
    expect(args).toEqual([...process.execArgv, ...process.argv.slice(1)]);
    expect(options?.env).toMatchObject({
      PATH: process.env["PATH"],
      RCOD_SOFTWARE_ADAPTER: "1",
      LD_LIBRARY_PATH: "/x",
    });
    expect(stderr.mock.calls).toEqual([
      ["no GPU found: using the software adapter (SwiftShader), about 1000 times slower\n"],
    ]);
    expect(process.listenerCount("SIGHUP")).toBe(0);
  });

  it("takes a probe that crashes for no adapter, and tells a crash of the command by its signal", async () => {
    childrenEnd("SIGSEGV", "SIGKILL");
    fake.softwareAdapterEnv.mockResolvedValue({ RCOD_SOFTWARE_ADAPTER: "1" });
    expect(await launch()).toBe(137);
  });

  it("says what to do where there is neither", async () => {
    childrenEnd(3);
    fake.softwareAdapterEnv.mockResolvedValue(null);
    await expect(launch()).rejects.toThrow(
      /^device: no GPU answered and no software adapter is installed\. .+ npm install @sparticuz\/chromium tar-fs$/,
    );
  });

  it.each([
    ["the software adapter is on already", () => vi.stubEnv("RCOD_SOFTWARE_ADAPTER", "1")],
    ["navigator.gpu exists", () => vi.stubGlobal("navigator", { gpu: {} })],
    ["the platform has no software adapter", () => setPlatform("darwin")],
  ])("starts nothing when %s", async (_name, arrange) => {
    arrange();
    expect(await launch()).toBeNull();
    expect(fake.spawn).not.toHaveBeenCalled();
  });
});
