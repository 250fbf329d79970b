/** Other tabs see a run: in the label of the tab that it belongs to, and in the title of the page. */
import type { App } from "./app.ts";
import { h } from "./ui/dom.ts";

export function showProgressOn(tab: HTMLElement, { store }: App): void {
  const label = tab.textContent ?? "";
  const title = document.title;
  const figure = h("span", { class: "tab-figure", "aria-hidden": "true", hidden: true });
  const bar = h("span", { class: "tab-progress", "aria-hidden": "true", hidden: true });
  tab.append(figure, bar);
  let shown: number | "done" | null = null;

  const show = (next: typeof shown): void => {
    if (next === shown) return;
    shown = next;
    figure.hidden = next === null;
    bar.hidden = typeof next !== "number";
    if (typeof next === "number") {
      figure.textContent = `${next} %`;
      bar.style.setProperty("--at", String(next / 100));
      tab.setAttribute("aria-label", `${label}, ${next} percent done`);
      document.title = `${next} % · rcod`;
    } else if (next === "done") {
      figure.textContent = "done";
      tab.setAttribute("aria-label", `${label}, done`);
      document.title = "Done · rcod";
    } else {
      tab.removeAttribute("aria-label");
      document.title = title;
    }
  };
  const isSeen = (): boolean =>
    tab.getAttribute("aria-selected") === "true" && document.visibilityState === "visible";
  const settle = (): void => {
    if (shown === "done" && isSeen()) show(null);
  };

  let begun = store.get();
  store.subscribe((state, before) => {
    const { activity } = state;
    if (activity?.kind === "upscale") {
      if (before.activity?.kind !== "upscale") begun = before;
      show(percentOf(activity.progress));
    } else if (before.activity?.kind === "upscale") {
      show(countResults(state) > countResults(begun) ? "done" : null);
      settle();
    }
  });
  new MutationObserver(settle).observe(tab, { attributeFilter: ["aria-selected"] });
  document.addEventListener("visibilitychange", settle);
}

const countResults = ({ pictures }: ReturnType<App["store"]["get"]>): number =>
  pictures.reduce((sum, { results }) => sum + results.length, 0);

type Progress = NonNullable<ReturnType<App["store"]["get"]>["activity"]>["progress"];

/** Loading is not yet the run. */
function percentOf(progress: Progress): number {
  return !progress || progress.stage === "load" ? 0 : Math.round(progress.fraction * 100);
}
