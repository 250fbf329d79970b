/** Options of the commands whose work is elsewhere. */
import { Command } from "commander";
import { describe, expect, it, vi } from "vitest";
import { benchCommand } from "../../cli/bench/command.ts";
import type { RegisterCommand, Run } from "../../cli/command.ts";
import { groupCommand } from "../../cli/group/command.ts";
import { infoCommand } from "../../cli/info/command.ts";
import { BUNDLED_MODEL } from "../../cli/package-root.ts";
import type { Terminal } from "../../cli/terminal.ts";
import { upscaleCommand } from "../../cli/upscale/command.ts";
import { verifyCommand } from "../../cli/verify/command.ts";
import { checkUpscaleOptions } from "../../src/rcod/settings/upscale-rules.ts";
import { recordingTerminal } from "./support/terminal.ts";

vi.mock("../../cli/launch.ts", () => ({ launch: async () => null }));

const terminal = recordingTerminal();

/** Runs one command line and returns the exit code and the options that the work was called with. */
async function parse(register: (work: Run<object>) => RegisterCommand, args: readonly string[]) {
  let exitCode = -1;
  let received: object = {};
  const program = new Command("rcod").option("--dawn-toggles <a,b>", "", (text) => [text], []);
  const work = async (options: object, given: Terminal) => {
    received = options;
    expect(given).toBe(terminal);
    return 5;
  };
  register(work)(program.exitOverride(), { terminal, finish: (code) => (exitCode = code) });
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr() {} });
  await program.parseAsync(args, { from: "user" });
  return { exitCode, received };
}

describe("upscale", () => {
  it("takes a tile of 64 output pixels, the engine's least", async () => {
    const upscale = (tile: string) =>
      parse((work) => upscaleCommand(async () => work), ["upscale", "a.png", "--tile", tile]);
    expect((await upscale("64")).received).toMatchObject({ input: ["a.png"], tile: 64 });
    await expect(upscale("63")).rejects.toThrow("It must be an integer ≥ 64.");
    checkUpscaleOptions({ tile: 64 });
    expect(() => checkUpscaleOptions({ tile: 63 })).toThrow(
      "tile must be an integer ≥ 64 output pixels, got 63",
    );
  });
});

describe("verify", () => {
  const verify = (...args: string[]) =>
    parse((work) => verifyCommand(async () => work), ["verify", ...args]);

  it("hands on no option that the user does not give", async () => {
    expect(await verify("goldens")).toEqual({
      exitCode: 5,
      received: { path: ["goldens"], dawnToggles: [] },
    });
  });

  it("hands every option on", async () => {
    const { received } = await verify(
      "a",
      "b",
      "--precision",
      "f16",
      "--filter",
      "conv",
      "--full",
      "--json",
      "--dawn-toggles",
      "x",
    );
    expect(received).toEqual({
      path: ["a", "b"],
      precision: "f16",
      filter: "conv",
      full: true,
      json: true,
      dawnToggles: ["x"],
    });
  });

  it("takes the package's files where none are named, and refuses other precisions", async () => {
    expect((await verify()).received).toEqual({ path: [], dawnToggles: [] });
    await expect(verify("a", "--precision", "f64")).rejects.toThrow(/^error: /);
  });
});

describe("info", () => {
  const info = (...args: string[]) =>
    parse((work) => infoCommand(async () => work), ["info", ...args]);

  it("plans the bundled model at 512 × 512", async () => {
    expect(await info()).toEqual({
      exitCode: 5,
      received: {
        model: BUNDLED_MODEL,
        size: [512, 512],
        dawnToggles: [],
      },
    });
  });

  it("takes the pieces of a model", async () => {
    const pieces = ["--clip", "clip-l", "--checkpoint", "rcod_s.pkl"];
    const { received } = await info("sd", ...pieces, "--de-net", "de_net.pth", "--mem", "mem.pkl");
    expect(received).toMatchObject({
      model: "sd",
      clip: "clip-l",
      checkpoint: "rcod_s.pkl",
      deNet: "de_net.pth",
      mem: "mem.pkl",
    });
  });

  it.each([
    ["1024", [1024, 1024]],
    ["640x480", [640, 480]],
  ])("reads the size %s", async (text, size) => {
    expect((await info("folder", "--size", text)).received).toMatchObject({
      model: "folder",
      size,
    });
  });

  it.each(["0", "12x", "big", "-5", "10x0"])("refuses the size %s", async (size) => {
    await expect(info("--size", size)).rejects.toThrow(/It must be a size such as 512 or 640x480/);
  });
});

describe("bench", () => {
  const bench = (...args: string[]) =>
    parse((work) => benchCommand(async () => work), ["bench", ...args]);

  it("times kernels unless told", async () => {
    expect((await bench()).received).toEqual({
      suite: "kernels",
      dawnToggles: [],
    });
    const variants = ["--variant", "conv2d=tiled", "linear=all"];
    expect((await bench(...variants)).received).toMatchObject({
      variant: { conv2d: "tiled", linear: "all" },
    });
    await expect(bench("--variant", "conv2d")).rejects.toThrow("--variant must be kernel=name");
    expect((await bench("--suite", "model", "--filter", "conv", "--json")).received).toMatchObject({
      suite: "model",
      filter: "conv",
      json: true,
    });
  });
});

describe("group", () => {
  const group = (...args: string[]) =>
    parse((work) => groupCommand(async () => work), ["group", ...args]);

  it("uses the bundled model and prints text unless told", async () => {
    expect(await group("lq", "hq")).toEqual({
      exitCode: 5,
      received: {
        lq: "lq",
        hq: "hq",
        model: BUNDLED_MODEL,
        precision: "auto",
        dawnToggles: [],
      },
    });
    const { received } = await group("a", "b", "--json", "-o", "x.svg", "--model", "m");
    expect(received).toMatchObject({ json: true, out: "x.svg", model: "m" });
  });

  it("needs two paths", async () => {
    await expect(group("lq")).rejects.toThrow("missing required argument 'hq'");
  });
});
