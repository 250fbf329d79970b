/** What went wrong, why, and the one click that helps. */
import type { App } from "../app.ts";
import { EMBEDDED_MODEL } from "../app.ts";
import type { Problem } from "../problems.ts";
import { button, h } from "../ui/dom.ts";
import { focusIfUsable } from "./focus.ts";

/** `home` takes the focus where there is nowhere to go back to. */
export function createProblemCard(app: App, home: () => HTMLElement | null): HTMLElement {
  const element = h("div", { class: "problem", role: "alert", hidden: true });
  let shown: Problem | null = null;
  /** Where the visitor came from. */
  let origin: Element | null = null;
  element.addEventListener("focusin", ({ relatedTarget }) => {
    if (relatedTarget instanceof Element && !element.contains(relatedTarget)) {
      origin = relatedTarget;
    }
  });
  app.store.subscribe(({ problem }) => {
    if (problem === shown) return;
    if (problem && !shown) origin = document.activeElement;
    const hadFocus = element.contains(document.activeElement);
    shown = problem;
    element.hidden = problem === null;
    element.replaceChildren(...(problem ? contents(app, problem) : []));
    if (problem || !hadFocus) return;
    if (!focusIfUsable(origin)) focusIfUsable(home());
  });
  return element;
}

function contents(app: App, { title, detail, remedy, raw }: Problem): HTMLElement[] {
  const remedies = {
    recover: ["Start it again", () => void app.recover()],
    "reload-page": ["Reload the page", () => location.reload()],
    "reload-model": ["Use rcod-tiny", () => void app.chooseModel(EMBEDDED_MODEL)],
  } as const;
  const dismiss = button(
    { class: "button is-quiet" },
    () => app.store.set({ problem: null }),
    "Dismiss",
  );
  const actions = [dismiss];
  if (remedy !== null) {
    const [label, action] = remedies[remedy];
    actions.unshift(button({ class: "button is-primary", id: "remedy" }, action, label));
  }
  const details =
    raw &&
    h(
      "details",
      { class: "problem-raw" },
      h("summary", {}, "Details"),
      h("p", { class: "detail" }, raw),
    );
  return [
    h("h2", {}, title),
    h("p", {}, detail),
    ...(details ? [details] : []),
    h("div", { class: "row" }, ...actions),
  ];
}
