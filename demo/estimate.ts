/** What a run will take: the model's own estimate, which learns from its runs on this device. */
import type { App } from "./app.ts";
import type { DeviceInfo, Estimate, EstimateArgs, Size } from "./protocol.ts";
import { upscaleSettings } from "./request.ts";
import { duration } from "./ui/format.ts";

/** Longer is too long to wait for in a page. */
export const TOO_LONG_MS = 30 * 60_000;

/** SwiftShader on two cores (AMD Zen 5, 24 November 2026): 14 s for 128×128, once shaders are compiled. */
const SOFTWARE_WORK_PER_MS = 3.7e6;
/** Compiling them on such a machine, which a first run does. */
const SOFTWARE_COMPILE_MS = 15_000;

export interface ExpectedTime {
  readonly ms: number;
  /** By the kind of device alone: good for a class, not for a figure. */
  readonly isRough: boolean;
}

/** Null before the model is there, and on a GPU before its first run: one is a hundred times another. */
export function expectedTime(
  estimate: Estimate | null,
  device: DeviceInfo | null,
): ExpectedTime | null {
  if (!estimate || !device) return null;
  if (estimate.timeMs !== null) return { ms: estimate.timeMs, isRough: false };
  if (!device.isSoftware) return null;
  return { ms: SOFTWARE_COMPILE_MS + estimate.work / SOFTWARE_WORK_PER_MS, isRough: true };
}

const ROUGH_CLASSES: readonly (readonly [belowMs: number, words: string])[] = [
  [10_000, "a few seconds"],
  [45_000, "less than a minute"],
  [150_000, "a minute or two"],
  [480_000, "some minutes"],
  [1_200_000, "a quarter of an hour"],
  [TOO_LONG_MS, "half an hour"],
  [5_400_000, "an hour"],
];

/** "about 12 s", or where that is not known "a minute or two". */
export function timeWords({ ms, isRough }: ExpectedTime): string {
  if (!isRough) return `about ${duration(ms)}`;
  return ROUGH_CLASSES.find(([below]) => ms < below)?.[1] ?? "hours";
}

/** Says whether a run can be made, and what it takes; the text is the engine's reason against it. */
export type Answer = Estimate | string | null;

export async function askEstimate(app: App, args: EstimateArgs): Promise<Answer> {
  try {
    return await app.call("estimate", args);
  } catch (error) {
    const isOfSize = error instanceof Error && ["ShapeError", "RangeError"].includes(error.name);
    return isOfSize ? error.message : null; // the run will say what else is wrong
  }
}

/** What a picture of another size would take with the present settings. */
export function askForSize(app: App, picture: Size): Promise<Answer> {
  const state = { ...app.store.get(), image: picture, mask: null };
  return askEstimate(app, { ...upscaleSettings(state), picture });
}

/** Asks the model again whenever something has changed that counts. */
export function followEstimates(app: App): void {
  let asked: readonly unknown[] = [];
  app.store.subscribe((state) => {
    const { image, model, settings, mask, results } = state;
    const { realism, colorFix, seed, scale, target } = settings;
    const next = [image, model, mask, results, realism, colorFix, seed, scale, target];
    if (next.every((part, i) => part === asked[i])) return;
    asked = next;
    if (!image || !model) {
      if (state.estimate || state.refusal) app.store.set({ estimate: null, refusal: null });
      return;
    }
    const ask = async (): Promise<void> => {
      const { width, height } = image;
      const args = { ...upscaleSettings(state), picture: { width, height } };
      const answer = await askEstimate(app, args);
      if (asked !== next) return;
      const isRefused = typeof answer === "string";
      app.store.set({
        estimate: isRefused ? null : answer,
        refusal: isRefused ? answer : null,
      });
    };
    void ask();
  });
}
