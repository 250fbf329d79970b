/** The button that starts, and while something runs: what, how far, how long still, and a way out. */
import type { Stage } from "rcod-webgpu";
import type { App, Activity } from "../app.ts";
import { estimateMs } from "../estimate.ts";
import { button, h } from "../ui/dom.ts";
import { bytes, duration, timeLeft } from "../ui/format.ts";

export const STAGE_NAMES: Readonly<Record<Stage, string>> = {
  load: "Loading the model",
  preprocess: "Enlarging by bicubic",
  tokens: "Looking at the picture",
  encode: "Encoding",
  unet: "Restoring",
  decode: "Decoding",
  color: "Matching colours",
};

/** A first guess of the time left jumps about. */
const SETTLED_MS = 1500;

export function createRunSection(app: App): HTMLElement {
  const start = button({ class: "button is-primary is-wide", id: "upscale" }, () => {
    void app.upscale();
  });
  const expected = h("p", { class: "hint" });
  const stageName = h("span", { class: "run-stage" });
  const left = h("span", { class: "run-left" });
  const bar = h("progress", { class: "progress", max: 1, "aria-label": "Progress" });
  const cancel = button({ class: "button is-wide", id: "cancel" }, () => app.cancel(), "Cancel");
  const idle = h("div", { class: "run-idle" }, start, expected);
  const busy = h(
    "div",
    { class: "run-busy" },
    h("div", { class: "run-line" }, stageName, left),
    bar,
    cancel,
  );

  app.store.subscribe((state) => {
    const { activity, image, results, model, device, isDeviceLost } = state;
    idle.hidden = activity !== null;
    busy.hidden = activity === null;
    start.disabled = image === null || isDeviceLost;
    start.textContent = results.length > 0 ? "Upscale again" : `Upscale ×${model?.upscale ?? 4}`;
    start.classList.toggle("is-primary", results.length === 0);
    const ms = image && results.length === 0 && estimateMs(image.width * image.height, device);
    expected.textContent = ms ? `About ${duration(ms)} on this device` : "";
    if (activity) showActivity(activity);
  });

  function showActivity({ kind, progress, startedAt }: Activity): void {
    const stage = progress?.stage;
    stageName.textContent =
      kind === "image" ? "Opening the picture" : stage ? STAGE_NAMES[stage] : "Starting";
    if (!progress) {
      bar.removeAttribute("value");
      left.textContent = "";
      return;
    }
    bar.value = progress.fraction;
    left.textContent = progressText(progress, performance.now() - startedAt);
  }
  return h("section", { class: "panel-section run" }, idle, busy);
}

function progressText(progress: NonNullable<Activity["progress"]>, elapsedMs: number): string {
  const { fraction, bytesLoaded, bytesTotal } = progress;
  if (bytesLoaded !== undefined && bytesTotal !== undefined) {
    return `${bytes(bytesLoaded)} of ${bytes(bytesTotal)}`;
  }
  const percent = `${Math.round(fraction * 100)} %`;
  if (elapsedMs < SETTLED_MS || fraction < 0.05) return percent;
  return `${percent} · ${timeLeft((elapsedMs * (1 - fraction)) / fraction)} left`;
}
