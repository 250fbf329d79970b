/** A frame around the part of the picture that is being computed, while the result that it becomes a part of is looked at. */
import type { App } from "../app.ts";
import type { Store } from "../store.ts";
import { h } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";
import type { View } from "./geometry.ts";
import { boxOnStage } from "./geometry.ts";

export interface PartFrame {
  readonly element: HTMLElement;
  /** Puts the frame where its part is drawn. `ratio`: device pixels per CSS pixel; `isBeside`: the result has the right half. */
  readonly place: (view: View, ratio: number, isBeside: boolean) => void;
}

export function createPartFrame(app: App, compare: Store<CompareState>): PartFrame {
  // What is told of a run in words is enough for those who do not see it.
  const frame = h("div", { class: "part-frame" });
  const element = h("div", { class: "part", "aria-hidden": "true", hidden: true }, frame);
  return {
    element,
    place({ viewport }, ratio, isBeside) {
      const { activity, image, partial } = app.store.get();
      const { right, isFlipped } = compare.get();
      const region = activity?.progress?.region;
      const isOpen = image !== null && activity?.picture === image.id;
      const isSeen = partial !== null && right === partial.id && !isFlipped;
      element.hidden = !region || !isOpen || !isSeen;
      if (!region || element.hidden) return;
      element.classList.toggle("is-beside", isBeside);
      const { x, y, width, height } = boxOnStage(region, viewport, ratio);
      frame.style.left = `${x}px`;
      frame.style.top = `${y}px`;
      frame.style.width = `${width}px`;
      frame.style.height = `${height}px`;
    },
  };
}
