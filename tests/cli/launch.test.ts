import { EventEmitter } from "node:events";
import type { MockInstance } from "vitest";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { launch } from "../../cli/launch.ts";
import type { SoftwareAdapter } from "../../src/node/software-adapter.ts";

const fake = vi.hoisted(() => ({
  spawn:
    vi.fn<
      (command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv }) => unknown
    >(),
  unpackedMesa: vi.fn<() => SoftwareAdapter | null>(),
  swiftShader: vi.fn<() => Promise<SoftwareAdapter | null>>(),
}));

vi.mock("node:child_process", async (original) => ({
  ...(await original<object>()),
  spawn: fake.spawn,
}));
vi.mock("../../src/node/software-adapter.ts", async (original) => ({
  ...(await original<object>()),
  unpackedMesa: fake.unpackedMesa,
}));
vi.mock("../../src/node/swiftshader.ts", () => ({ swiftShader: fake.swiftShader }));

/** How a child ends: what a probe prints, what a command tells, an exit code, a signal, or that it cannot be started. */
type End =
  | { readonly says: string }
  | { readonly tells: readonly string[] }
  | number
  | NodeJS.Signals
  | Error;

const GPU: End = { says: '{"name":"A GPU","isSoftware":false}' };
const LLVMPIPE: End = { says: 'chatter\n{"name":"llvmpipe: Mesa 26","isSoftware":true}' };
const NONE: End = 3;

/** Every `spawn` in turn ends like this. */
function childrenEnd(...ends: readonly End[]): void {
  for (const end of ends) {
    fake.spawn.mockImplementationOnce(() => {
      const stdout = new EventEmitter();
      const stderr = new EventEmitter();
      const kill = vi.fn<() => boolean>();
      const child = Object.assign(new EventEmitter(), { kill, stdout, stderr });
      setImmediate(() => {
        if (end instanceof Error) child.emit("error", end);
        else if (typeof end === "string") child.emit("close", null, end);
        else if (typeof end === "number") child.emit("close", end, null);
        else {
          if ("says" in end) stdout.emit("data", Buffer.from(`${end.says}\n`));
          else for (const text of end.tells) stderr.emit("data", Buffer.from(text));
          child.emit("close", 0, null);
        }
      });
      return child;
    });
  }
}

const MARKER = { RCOD_SOFTWARE_ADAPTER: "1" };
const mesa: SoftwareAdapter = { name: "llvmpipe", node: "/mesa/node", env: { ...MARKER, A: "m" } };
const shader: SoftwareAdapter = {
  name: "SwiftShader",
  node: process.execPath,
  env: { ...MARKER, LD_LIBRARY_PATH: "/x" },
};
const NOTICE = "no GPU found: using the software adapter";

let platform: PropertyDescriptor;
let stderr: MockInstance;
beforeEach(() => {
  platform = Object.getOwnPropertyDescriptor(process, "platform") as PropertyDescriptor;
  setPlatform("linux");
  for (const name of ["RCOD_SOFTWARE_ADAPTER", "VK_DRIVER_FILES", "VK_ICD_FILENAMES"])
    vi.stubEnv(name, "");
  stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  fake.unpackedMesa.mockReturnValue(null);
  fake.swiftShader.mockResolvedValue(shader);
});
afterEach(() => {
  Object.defineProperty(process, "platform", platform);
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  for (const mock of Object.values(fake)) mock.mockReset();
});

function setPlatform(value: string): void {
  Object.defineProperty(process, "platform", { ...platform, value });
}

/** What was started, and what was said. */
const commands = () => fake.spawn.mock.calls.map(([command]) => command);
const said = () => stderr.mock.calls.map(([text]) => String(text)).join("");

describe("launch", () => {
  it("stays where a GPU answers, and says nothing", async () => {
    childrenEnd(GPU);
    expect(await launch()).toBeNull();
    expect(fake.spawn).toHaveBeenCalledTimes(1);
    expect(fake.spawn.mock.calls[0]?.[1].at(-1)).toMatch(/probe\.ts$/);
    expect(said()).toBe("");
    expect(fake.swiftShader).not.toHaveBeenCalled();
  });

  it("runs the same command again on SwiftShader, says so once, and passes its exit code on", async () => {
    childrenEnd(NONE, 7);
    expect(await launch()).toBe(7);
    const [command, args, options] = fake.spawn.mock.calls[1] ?? [];
    expect(command).toBe(process.execPath);
    expect(args).toEqual([...process.execArgv, ...process.argv.slice(1)]);
    expect(options?.env).toMatchObject({ PATH: process.env["PATH"], ...shader.env });
    expect(said()).toBe(
      `${NOTICE} (SwiftShader), about 1000 times slower. rcod adapter install fetches a software adapter that is more than twice as fast\n`,
    );
    expect(process.listenerCount("SIGHUP")).toBe(0);
  });

  it("takes a probe that crashes for no adapter, and tells a crash of the command by its signal", async () => {
    childrenEnd("SIGSEGV", "SIGKILL");
    expect(await launch()).toBe(137);
  });

  it("runs on the fetched Mesa where no GPU answers", async () => {
    fake.unpackedMesa.mockReturnValue(mesa);
    childrenEnd(NONE, LLVMPIPE, 0);
    expect(await launch()).toBe(0);
    expect(commands()).toEqual([process.execPath, mesa.node, mesa.node]);
    const [, args, options] = fake.spawn.mock.calls[2] ?? [];
    expect(args).toEqual([...process.execArgv, ...process.argv.slice(1)]);
    expect(options?.env).toMatchObject(mesa.env);
    expect(said()).toBe(`${NOTICE} (llvmpipe), some hundred times slower\n`);
  });

  it("hands on at once what the command tells, without what Dawn says of llvmpipe's limits", async () => {
    const limit = "Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced\n";
    const tells = ["W", "arning: maxDyn", `${limit.slice(15)}${limit}a bar ██`, "▒\n", "Wait\n"];
    childrenEnd(NONE, { tells: [...tells, "Warning: a real one\n", "no end"] });
    expect(await launch()).toBe(0);
    const [, ...handed] = stderr.mock.calls.map(([text, encoding]) =>
      Buffer.from(String(text), encoding as BufferEncoding).toString(),
    );
    expect(handed).toEqual(["a bar ██", "▒\n", "Wait\n", "Warning: a real one\n", "no end"]);
  });

  it("prefers a GPU to the fetched Mesa, and that to the system's software adapter", async () => {
    fake.unpackedMesa.mockReturnValue(mesa);
    childrenEnd(GPU, LLVMPIPE);
    expect(await launch()).toBeNull();
    childrenEnd(LLVMPIPE, LLVMPIPE, 0);
    expect(await launch()).toBe(0);
    expect(commands().at(-1)).toBe(mesa.node);
  });

  it.each([
    ["finds nothing", NONE],
    ["crashes", "SIGILL"],
    ["cannot be started", new Error("spawn EACCES")],
    ["says something else", { says: "Segmentation fault" }],
  ] as const)("goes on to SwiftShader where the fetched Mesa %s", async (_name, end) => {
    fake.unpackedMesa.mockReturnValue(mesa);
    childrenEnd(NONE, end, 0);
    expect(await launch()).toBe(0);
    expect(commands().at(-1)).toBe(shader.node);
  });

  it("stays where the system's own software adapter answers, and says which", async () => {
    childrenEnd(LLVMPIPE);
    expect(await launch()).toBeNull();
    expect(said()).toBe(`${NOTICE} (llvmpipe), some hundred times slower\n`);
  });

  it("takes the drivers that the user names before all others, without a word", async () => {
    vi.stubEnv("VK_DRIVER_FILES", "/mine.json");
    fake.unpackedMesa.mockReturnValue(mesa);
    childrenEnd(LLVMPIPE, LLVMPIPE);
    expect(await launch()).toBeNull();
    expect(said()).toBe("");
  });

  it("says that the drivers that the user names do not answer before it takes others", async () => {
    vi.stubEnv("VK_ICD_FILENAMES", "/mine.json");
    childrenEnd(NONE, 0);
    expect(await launch()).toBe(0);
    expect(said()).toMatch(
      /^rcod: VK_ICD_FILENAMES=\/mine\.json gives no adapter here, .+\nno GPU/,
    );
  });

  it("says what to do where there is neither", async () => {
    childrenEnd(NONE);
    fake.swiftShader.mockResolvedValue(null);
    await expect(launch()).rejects.toThrow(
      /^device: no GPU answered and no software adapter is installed\. .+ rcod adapter install, or npm install @sparticuz\/chromium tar-fs$/,
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
