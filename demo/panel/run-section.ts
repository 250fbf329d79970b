/** The button that starts, and while something runs: what, how far, how long still, and a way out. */
import type { Stage } from "rcod-webgpu";
import type { App, AppState, Activity } from "../app.ts";
import { expectedMs } from "../estimate.ts";
import { resultOfWishes } from "../library/match.ts";
import { isSavable, scaleOf } from "../request.ts";
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
    const { activity, image, isDeviceLost } = state;
    idle.hidden = activity !== null;
    busy.hidden = activity === null;
    start.disabled = image === null || isDeviceLost || !isSavable(state);
    // Nothing is computed twice: the press shows what is there.
    const isMade = image !== null && resultOfWishes(state) !== undefined;
    start.textContent = isMade ? "Show this result" : `Upscale ×${scaleOf(state)}`;
    start.classList.toggle("is-primary", !isMade);
    expected.textContent = isMade
      ? "It is there already. Another setting makes another one."
      : expectation(state);
    if (activity) showActivity(activity, state);
  });

  function showActivity(
    { kind, progress, picture }: Activity,
    { image, pictures }: AppState,
  ): void {
    const stage = progress?.stage;
    const what = kind === "image" ? "Opening the picture" : stage ? STAGE_NAMES[stage] : "Starting";
    const other = pictures.find(({ id }) => id === picture && id !== image?.id);
    stageName.textContent = other && kind === "upscale" ? `${other.name}: ${what}` : what;
    if (!progress) {
      bar.removeAttribute("value");
      left.textContent = "";
      return;
    }
    bar.value = progress.fraction;
    left.textContent = progressText(progress);
  }
  return h("section", { class: "panel-section run" }, idle, busy);
}

/** Time, memory and parts of the next run, as far as they are known. */
function expectation(state: AppState): string {
  const { image, estimate } = state;
  if (!image) return "";
  const ms = expectedMs(state);
  const facts = [
    ms !== null && `About ${duration(ms)} on this device`,
    estimate && `${bytes(estimate.peakBytes)} of its memory`,
    estimate && estimate.regions > 1 && `in ${estimate.regions} parts`,
  ];
  return facts.filter((fact) => fact).join(", ");
}

function progressText(progress: NonNullable<Activity["progress"]>): string {
  const { fraction, leftMs, bytesLoaded, bytesTotal } = progress;
  if (bytesLoaded !== undefined && bytesTotal !== undefined) {
    return `${bytes(bytesLoaded)} of ${bytes(bytesTotal)}`;
  }
  const percent = `${Math.round(fraction * 100)} %`;
  return leftMs === undefined ? percent : `${percent} · ${timeLeft(leftMs)} left`;
}
