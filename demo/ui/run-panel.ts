/** A button that starts something long, its progress, and the button that ends it. */
import type { App } from "../app.ts";
import type { Problem } from "../problems.ts";
import { problemOf, sentenceOf } from "../problems.ts";
import { button, h } from "./dom.ts";

export interface Run {
  readonly signal: AbortSignal;
  /** `fraction` from 0 to 1. */
  readonly progress: (fraction: number, text: string) => void;
}

export interface RunPanel {
  readonly element: HTMLElement;
  /** As if the button had been pressed; does nothing while a run is under way. */
  readonly start: (work?: (run: Run) => Promise<string>) => void;
  /** Puts a sentence where runs tell how they ended. */
  readonly say: (text: string) => void;
}

/** One sentence a view is enough: buttons beside the main one only have it as their title. */
const BLOCKED = "Your picture is being worked on: wait for it, or cancel it on the Upscale tab.";

/** `work` gives the sentence that remains at the end. Only one run at a time, and none beside an upscale. */
export function runPanel(
  app: App,
  label: string,
  work: (run: Run) => Promise<string>,
  { isMain = true }: { readonly isMain?: boolean } = {},
): RunPanel {
  let controller: AbortController | null = null;
  const bar = h("progress", {
    class: "progress",
    max: 1,
    "aria-label": label,
    hidden: true,
  });
  const status = h("p", { class: "run-status", role: "status" });
  /** What was said of it word for word, for those who want to tell it on. */
  const raw = h("p", { class: "detail" });
  const details = h(
    "details",
    { class: "problem-raw", hidden: true },
    h("summary", {}, "Details"),
    raw,
  );
  const obstacle = h("p", { class: "hint", hidden: true }, BLOCKED);
  const start = button(
    { class: isMain ? "button is-primary" : "button" },
    () => panel.start(),
    label,
  );
  const cancel = button({ class: "button", hidden: true }, () => controller?.abort(), "Cancel");

  const panel: RunPanel = {
    element: h(
      "div",
      { class: "run-panel" },
      h("div", { class: "button-row" }, start, cancel, bar),
      obstacle,
      status,
      details,
    ),
    start(what = work) {
      if (controller === null && app.store.get().activity === null) void run(what);
    },
    say(text) {
      status.textContent = text;
      details.hidden = true;
    },
  };

  const run = async (what: (run: Run) => Promise<string>): Promise<void> => {
    const own = new AbortController();
    controller = own;
    showRunning(true);
    let end = "";
    let failure: Problem | null = null;
    try {
      end = await what({
        signal: own.signal,
        progress(fraction, text) {
          // Too many to be read out, one after another.
          status.setAttribute("aria-live", "off");
          bar.value = fraction;
          status.textContent = text;
        },
      });
    } catch (error) {
      if (own.signal.aborted) end = "Cancelled";
      else {
        failure = problemOf(error, "run");
        end = sentenceOf(failure);
      }
    } finally {
      controller = null;
      showRunning(false);
      status.setAttribute("aria-live", "polite");
      panel.say(end);
      details.hidden = !failure?.raw;
      raw.textContent = failure?.raw ?? "";
    }
  };

  const showRunning = (isRunning: boolean): void => {
    const hadFocus = [start, cancel].includes(document.activeElement as HTMLButtonElement);
    start.hidden = isRunning;
    cancel.hidden = !isRunning;
    bar.hidden = !isRunning;
    bar.removeAttribute("value"); // moves without an end until the first progress
    if (isRunning) panel.say("Starting");
    // What was pressed may go with the results of the run before.
    if (isRunning) cancel.focus();
    else if (hadFocus) start.focus();
  };

  app.store.subscribe(({ activity }) => {
    const isBlocked = activity !== null && controller === null;
    start.disabled = isBlocked;
    start.title = isBlocked ? BLOCKED : "";
    obstacle.hidden = !isBlocked || !isMain;
  });
  return panel;
}
