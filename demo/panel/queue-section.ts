/** One press for all pictures that wait, and how far they are. */
import type { App, AppState } from "../app.ts";
import { resultOfWishes } from "../library/match.ts";
import { picturesToRun } from "../library/runs.ts";
import { button, disable, h } from "../ui/dom.ts";

export function createQueueSection(app: App): HTMLElement {
  const all = button({ class: "button is-wide", id: "upscale-all" }, () => void app.upscaleAll());
  const next = button(
    { class: "button is-wide", id: "upscale-next" },
    () => void app.upscale(),
    "Upscale this one next",
  );
  const hint = h("p", { class: "hint" });
  const element = h("section", { class: "panel-section queue" }, all, next, hint);
  app.store.subscribe((state) => {
    const waiting = picturesToRun(state).length;
    const others = picturesToRun(state).filter(({ id }) => id !== state.image?.id).length;
    all.hidden = state.isQueueRunning || state.activity !== null || others === 0;
    disable(all, state.isDeviceLost ? "The GPU went away: start it again first." : null);
    all.textContent = waiting > 1 ? `Upscale all ${waiting}` : "Upscale the one that waits";
    next.hidden = !canBeNext(state);
    hint.textContent = hintFor(state);
    element.hidden = all.hidden && next.hidden && hint.textContent === "";
  });
  return element;
}

/** Another picture is computed alone, and the open one has no result yet. */
function canBeNext(state: AppState): boolean {
  const { activity, image, isQueueRunning } = state;
  const isOther = activity?.kind === "upscale" && activity.picture !== image?.id;
  return isOther && image !== null && !isQueueRunning && !resultOfWishes(state);
}

function hintFor(state: AppState): string {
  const { isQueueRunning, pictures } = state;
  if (!isQueueRunning) return "";
  const left = picturesToRun(state).length;
  const count = pictures.filter(({ status }) => status !== "failed").length;
  return left > 1
    ? `${count - left} of ${count} done. Cancel pauses the others.`
    : `The last of ${count}.`;
}
