/** What went wrong, and the one click that helps. */
import type { App } from "../app.ts";
import { EMBEDDED_MODEL } from "../app.ts";
import type { Problem } from "../problems.ts";
import { button, h } from "../ui/dom.ts";

export function createProblemCard(app: App): HTMLElement {
  const element = h("div", { class: "problem", role: "alert", hidden: true });
  let shown: Problem | null = null;
  app.store.subscribe(({ problem }) => {
    if (problem === shown) return;
    shown = problem;
    element.hidden = problem === null;
    element.replaceChildren(...(problem ? contents(app, problem) : []));
  });
  return element;
}

function contents(app: App, { title, detail, remedy }: Problem): HTMLElement[] {
  const remedies = {
    recover: ["Start it again", () => void app.recover()],
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
  return [
    h("h2", {}, title),
    h("p", { class: "detail" }, detail),
    h("div", { class: "row" }, ...actions),
  ];
}
