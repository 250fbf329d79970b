/** The button that starts, and while something runs: what, how far, how long still, and a way out. */
import type { Stage } from "rcod-webgpu";
import type { App, AppState, Activity } from "../app.ts";
import { expectedTime, timeWords } from "../estimate.ts";
import { resultOfWishes } from "../library/match.ts";
import { isForbidden } from "../obstacle.ts";
import { factorOf, resultSize } from "../request.ts";
import type { CompareState } from "../stage/compare-state.ts";
import type { Store } from "../store.ts";
import { button, disable, h } from "../ui/dom.ts";
import { bytes, timeLeft } from "../ui/format.ts";
import { presentObstacle } from "./size-note.ts";

export const STAGE_NAMES: Readonly<Record<Stage, string>> = {
  load: "Loading the model",
  preprocess: "Enlarging by bicubic",
  tokens: "Looking at the picture",
  encode: "Encoding",
  unet: "Restoring",
  decode: "Decoding",
  color: "Matching colours",
};

const SHOWN = "This result is shown already.";

export interface RunSection {
  readonly element: HTMLElement;
  readonly start: HTMLButtonElement;
  readonly cancel: HTMLButtonElement;
}

export function createRunSection(app: App, compare: Store<CompareState>): RunSection {
  const start = button({ class: "button is-primary is-wide", id: "upscale" }, () => {
    if (start.ariaDisabled !== "true") void app.upscale();
  });
  const expected = h("p", { class: "hint", id: "expected" });
  const stageName = h("span", { class: "run-stage" });
  const left = h("span", { class: "run-left" });
  const bar = h("progress", { class: "progress", max: 1, "aria-label": "Progress" });
  const cancel = button(
    { class: "button is-wide", id: "cancel", "aria-keyshortcuts": "Escape", title: "Escape" },
    () => app.cancel(),
    "Cancel",
  );
  const idle = h("div", { class: "run-idle" }, start, expected);
  const busy = h(
    "div",
    { class: "run-busy" },
    h("div", { class: "run-line" }, stageName, left),
    bar,
    cancel,
  );

  const update = (state: AppState): void => {
    const { activity, image } = state;
    idle.hidden = activity !== null;
    busy.hidden = activity === null;
    // Nothing is computed twice: the press shows what is there.
    const made = image ? resultOfWishes(state) : undefined;
    const isMade = made !== undefined;
    const isShown = isMade && compare.get().right === made.id;
    const reason = reasonAgainst(state);
    disable(start, reason ?? (isShown ? SHOWN : null), { keepsFocus: reason === null });
    start.textContent = isMade ? "Show this result" : `Upscale ${factorText(state)}`;
    start.classList.toggle("is-primary", !isMade);
    expected.textContent = isMade
      ? `It is ${isShown ? "shown" : "there"} already. Another setting makes another one.`
      : expectation(state);
    if (activity) showActivity(activity, state);
  };
  app.store.subscribe(update);
  compare.subscribe(({ right }, before) => {
    if (right !== before.right) update(app.store.get());
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
  const element = h("section", { class: "panel-section run" }, idle, busy);
  return { element, start, cancel };
}

/** Why no run can be made; null where one can. */
function reasonAgainst(state: AppState): string | null {
  if (!state.image) return "Open a picture first.";
  if (state.isDeviceLost) return "The GPU went away: start it again first.";
  const obstacle = presentObstacle(state);
  if (!isForbidden(obstacle)) return null;
  return "This size is too large here: choose a smaller one, or crop the picture.";
}

/** "×4", or the width or height that is aimed at. */
function factorText(state: AppState): string {
  const { target } = state.settings;
  const [width, height] = resultSize(state) ?? [];
  if (!target || width === undefined || height === undefined) return `×${factorOf(state)}`;
  return `to ${width} × ${height}`;
}

/** Time, memory and parts of the next run, as far as they are known. */
function expectation(state: AppState): string {
  const { image, estimate, device } = state;
  if (!image || !estimate || presentObstacle(state)) return "";
  const time = expectedTime(estimate, device);
  const facts = [
    time ? `Takes ${timeWords(time)} on this device` : "How long is known after the first run here",
    `${bytes(estimate.peakBytes)} of memory`,
    estimate.regions > 1 && `in ${estimate.regions} parts`,
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
