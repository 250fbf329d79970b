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
    const { value } = element;
    const layer: LayerId = value === "bicubic" || value === "blend" ? value : Number(value);
    compare.set({ [side]: layer });
  });
  let named: readonly unknown[] = [];
  const update = (): void => {
    const state = app.store.get();
    const { blend, [side]: shown } = compare.get();
    const next = [state.results, state.partial, blend];
    if (next.some((part, i) => part !== named[i]) || element.options.length === 0) {
      named = next;
      const layers = [...layersOf(state), ...(blend ? (["blend"] as const) : [])];
      const option = (layer: LayerId): HTMLElement =>
        h("option", { value: String(layer) }, layerName(layer, state.results, blend));
      element.replaceChildren(...layers.map(option));
    }
    element.value = String(shown);
  };
  app.store.subscribe(update);
  compare.subscribe(update);
  return element;
}
