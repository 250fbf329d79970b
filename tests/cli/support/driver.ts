/**
 * A process that runs `rcod upscale` with the fake engine, slowly. Arguments: `launch` or `here` (through the
 * launcher, or not), `polite`, `stubborn` (an engine that ignores its abort signal) or `deaf` (one that never lets go of
 * the thread once it is denoising), then those of the command.
 */
import { Command } from "commander";
import type { LoadModel, Model } from "../../../cli/engine.ts";
import { launch } from "../../../cli/launch.ts";
import { processTerminal, reportError } from "../../../cli/terminal.ts";
import { upscaleCommand } from "../../../cli/upscale/command.ts";
import { runUpscale } from "../../../cli/upscale/run.ts";
import type { Progress, RawImage, UpscaleOptions } from "../../../src/rcod/settings/options.ts";
import { fakeEngine } from "./fake-engine.ts";

const [launching, manners, ...args] = process.argv.slice(2);
const engine = fakeEngine({ stageMs: 150 });

/** Tells nothing behind "denoising": a process that writes to nobody would end by that. */
const loadModel: LoadModel = async (paths, options) => {
  const model = await engine.loadModel(paths, options);
  const told = ({ signal, onProgress, ...rest }: UpscaleOptions): UpscaleOptions => {
    let isTold = false;
    return {
      ...rest,
      ...(manners !== "stubborn" && signal && { signal }),
      onProgress: (progress: Progress) => {
        if (!isTold) onProgress?.(progress);
        isTold ||= progress.stage === "unet";
        if (isTold && manners === "deaf") for (;;);
      },
    };
  };
  return {
    ...model,
    upscale: (async (image: RawImage, asked: UpscaleOptions) => {
      if (manners !== "stubborn") return model.upscale(image, told(asked));
      for (;;) await model.upscale(image, told(asked));
    }) as Model["upscale"],
  };
};

const register = upscaleCommand(
  async () => (options, terminal) =>
    runUpscale({ ...options, model: import.meta.dirname, dawnToggles: [] }, terminal, {
      launch: async () => (launching === "launch" ? launch() : null),
      openGpu: engine.openGpu,
      loadModel,
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
