import type { UpscaleCliOptions } from "../../../cli/upscale/command.ts";
import type { UpscaleDependencies } from "../../../cli/upscale/run.ts";
import { runUpscale } from "../../../cli/upscale/run.ts";
/** `rcod upscale` in this process, with the fake engine, on files of a test's folder. */
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import type { FakeEngine } from "./fake-engine.ts";
import { fakeEngine } from "./fake-engine.ts";
import type { RecordingTerminal } from "./terminal.ts";
import { recordingTerminal } from "./terminal.ts";

/** What a run did. */
export interface Ran extends RecordingTerminal {
  readonly exitCode: number;
  readonly engine: FakeEngine;
  /** Lines on stderr that are no progress: errors and notes. */
  readonly told: readonly string[];
}

/** Runs the command on paths as they are. */
export async function runOn(
  input: readonly string[],
  options: Partial<UpscaleCliOptions> & { readonly model: string },
  engine: FakeEngine = fakeEngine(),
  others: Pick<UpscaleDependencies, "streams" | "mostHeld"> = {},
): Promise<Ran> {
  const terminal = recordingTerminal();
  const exitCode = await runUpscale(
    { input, precision: "auto", dawnToggles: [], ...options },
    terminal,
    {
      launch: async () => null,
      openGpu: engine.openGpu,
      loadModel: engine.loadModel,
      ...others,
    },
  );
  const told = terminal.stderr.filter((line) => line.startsWith("rcod: "));
  return { ...terminal, exitCode, engine, told };
}

/** An engine that remembers the images that it was given. */
export function seeingEngine(): { readonly engine: FakeEngine; readonly seen: RawImage[] } {
  const seen: RawImage[] = [];
  return { engine: fakeEngine({ onUpscale: (image) => void seen.push(image) }), seen };
}
