/** At the foot of the picture: what is seen where that is not plain, the picture of a flicker or what a difference means. */
import type { App } from "../app.ts";
import type { Drawn } from "../protocol.ts";
import type { Store } from "../store.ts";
import { h } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";
import { layerName } from "./compare-state.ts";

export function createStageNote(
  app: App,
  compare: Store<CompareState>,
  drawn: Store<Drawn>,
): HTMLElement {
  const element = h("p", { class: "stage-note" });
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  drawn.subscribe(({ mode, right }) => {
    element.hidden = mode !== "difference" && mode !== "flicker";
    element.textContent =
      mode === "difference"
        ? "Difference, brightness × 4"
        : layerName(right, app.store.get().results, compare.get().blend);
    // A fast flicker is not read out: the words would come late, and without end.
    element.setAttribute("aria-live", mode === "flicker" && !isCalm.matches ? "off" : "polite");
  });
  return element;
}
