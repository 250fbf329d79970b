/** In the corners of the picture: what is seen there, and what else could be. */
import type { App } from "../app.ts";
import type { Drawn, LayerId } from "../protocol.ts";
import type { Store } from "../store.ts";
import { h } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";
import { layerHint, layerName, layersOf } from "./compare-state.ts";
import { hasResult } from "./geometry.ts";

type Side = "left" | "right";

export function createLayerChoice(
  app: App,
  compare: Store<CompareState>,
  drawn: Store<Drawn>,
): readonly HTMLSelectElement[] {
  return [
    createSelect(app, compare, drawn, "left", "Left picture"),
    createSelect(app, compare, drawn, "right", "Right picture"),
  ];
}

function createSelect(
  app: App,
  compare: Store<CompareState>,
  drawn: Store<Drawn>,
  side: Side,
  label: string,
): HTMLSelectElement {
  const element = h("select", { class: `layer-choice is-${side}`, "aria-label": label });
  element.addEventListener("change", () => {
    const { value } = element;
    const layer: LayerId = value === "bicubic" || value === "blend" ? value : Number(value);
    compare.set({ [side]: layer });
  });
  let named: readonly unknown[] = [];
  const follow = (): void => {
    const state = app.store.get();
    const { blend, [side]: chosen } = compare.get();
    const next = [state.results, state.partial, blend];
    if (next.some((part, i) => part !== named[i]) || element.options.length === 0) {
      named = next;
      const layers = [...layersOf(state), ...(blend ? (["blend"] as const) : [])];
      const option = (layer: LayerId): HTMLElement =>
        h("option", { value: String(layer) }, layerName(layer, state.results, blend));
      element.replaceChildren(...layers.map(option));
    }
    const seen = drawn.get();
    // Flicker shows one after the other: both places keep their names, and that of the one is marked.
    const isFlicker = seen.mode === "flicker";
    const layer = isFlicker ? chosen : seen[side];
    element.value = String(layer);
    element.title = layerHint(layer);
    element.classList.toggle("is-seen", isFlicker && layer === seen.right);
    const isSeen = seen.source === "pixels" && seen.serial === state.image?.serial;
    const hasPlace = side === "right" || seen.mode !== "single";
    element.hidden = !isSeen || !hasPlace || !hasResult(state) || element.value === "";
  };
  app.store.subscribe(follow);
  // Not what else is chosen: the choice stands in the list at once, and is drawn a little later.
  compare.subscribe((state, before) => {
    if (state.blend !== before.blend) follow();
  });
  drawn.subscribe(follow);
  return element;
}
