/**
 * A process that runs `rcod upscale` with the fake engine, slowly. Arguments: `launch` or `here` (through the
 * launcher, or not), `polite` or `stubborn` (an engine that ignores its abort signal), then those of the command.
 */
import { Command } from "commander";
import type { LoadModel } from "../../../cli/engine.ts";
import { launch } from "../../../cli/launch.ts";
import { processTerminal, reportError } from "../../../cli/terminal.ts";
import { upscaleCommand } from "../../../cli/upscale/command.ts";
import { runUpscale } from "../../../cli/upscale/run.ts";
import { fakeEngine } from "./fake-engine.ts";

const [launching, manners, ...args] = process.argv.slice(2);
const engine = fakeEngine({ stageMs: 150 });

const stubborn: LoadModel = async (paths, options) => {
  const model = await engine.loadModel(paths, options);
  return {
    ...model,
    async upscale(image, upscaleOptions = {}) {
      const { signal: _ignored, ...rest } = upscaleOptions;
      for (;;) await model.upscale(image, rest);
    },
  };
};

const register = upscaleCommand(
  async () => (options, terminal) =>
    runUpscale({ ...options, model: import.meta.dirname, dawnToggles: [] }, terminal, {
      launch: async () => (launching === "launch" ? launch() : null),
      openGpu: engine.openGpu,
      loadModel: manners === "stubborn" ? stubborn : engine.loadModel,
    }),
);

try {
  const program = new Command("driver");
  register(program, {
    terminal: processTerminal,
    finish: (exitCode) => (process.exitCode = exitCode),
  });
  await program.parseAsync(["upscale", ...args], { from: "user" });
} catch (error) {
  process.exitCode = reportError(processTerminal, error);
}
