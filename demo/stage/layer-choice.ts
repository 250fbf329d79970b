/** In the corners of the picture: what is seen there, and what else could be. */
import type { App } from "../app.ts";
import type { LayerId } from "../protocol.ts";
import type { Store } from "../store.ts";
import { h } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";
import { layerName, layersOf } from "./compare-state.ts";

export interface LayerChoice {
  readonly left: HTMLSelectElement;
  readonly right: HTMLSelectElement;
}

export function createLayerChoice(app: App, compare: Store<CompareState>): LayerChoice {
  return {
    left: createSelect(app, compare, "left", "Left picture"),
    right: createSelect(app, compare, "right", "Right picture"),
  };
}

function createSelect(
  app: App,
  compare: Store<CompareState>,
  side: "left" | "right",
  label: string,
): HTMLSelectElement {
  const element = h("select", { class: `layer-choice is-${side}`, "aria-label": label });
  element.addEventListener("change", () => {
    const layer: LayerId = element.value === "bicubic" ? "bicubic" : Number(element.value);
    compare.set({ [side]: layer });
  });
  app.store.subscribe((state, before) => {
    const { results, partial } = state;
    const isSame = results === before.results && partial === before.partial;
    if (isSame && element.options.length > 0) return;
    const layers = layersOf(state);
    element.replaceChildren(
      ...layers.map((layer) => h("option", { value: String(layer) }, layerName(layer, results))),
    );
    element.value = String(compare.get()[side]);
  });
  compare.subscribe((state) => {
    element.value = String(state[side]);
  });
  return element;
}
