/** The command that the page shows where it cannot compute is one that the command line takes. */
import { Command } from "commander";
import { expect, it } from "vitest";
import { upscaleCommand } from "../../cli/upscale/command.ts";
import type { Settings } from "../../demo/settings.ts";
import { DEFAULT_SETTINGS } from "../../demo/settings.ts";
import { commandFor } from "../../demo/start/command-line.ts";
import packageJson from "../../package.json" with { type: "json" };
import { recordingTerminal } from "../cli/support/terminal.ts";

/** What the command line makes of it. */
async function read(settings: Partial<Settings>): Promise<object> {
  const [npx, name, ...args] = commandFor({ ...DEFAULT_SETTINGS, ...settings }).split(" ");
  expect([npx, name]).toEqual(["npx", packageJson.name]);
  // npx takes the one binary of a package, whatever that is called.
  expect(Object.keys(packageJson.bin)).toHaveLength(1);
  let options: object = {};
  const program = new Command("rcod").exitOverride();
  upscaleCommand(async () => async (given) => {
    options = given;
    return 0;
  })(program, { terminal: recordingTerminal(), finish() {} });
  for (const command of program.commands) command.exitOverride();
  await program.parseAsync(args, { from: "user" });
  return options;
}

it("asks for the factor alone where all else is the default", async () => {
  expect(commandFor(DEFAULT_SETTINGS)).toBe("npx rcod-webgpu upscale photo.jpg --scale 4");
  expect(await read({})).toMatchObject({ input: ["photo.jpg"], scale: 4 });
});

it("asks for what was chosen on the page", async () => {
  expect(await read({ realism: "auto", scale: 2 })).toMatchObject({ realism: "auto", scale: 2 });
  const rest = { realism: 0, seed: 4_294_967_295, precision: "f16" } as const;
  expect(await read({ ...rest, colorFix: "wavelet" })).toMatchObject({ ...rest, color: "wavelet" });
  expect(await read({ colorFix: "none" })).toMatchObject({ color: "none" });
});
