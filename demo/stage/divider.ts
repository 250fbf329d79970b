/** The line between two pictures: dragged, or moved with the arrow keys. */
import type { Store } from "../store.ts";
import { h } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";

const STEP = 0.02;

export function createDivider(compare: Store<CompareState>): HTMLElement {
  const element = h(
    "div",
    {
      class: "divider",
      role: "slider",
      tabindex: 0,
      "aria-label": "Divider between the two pictures",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    h("span", { class: "divider-grip", "aria-hidden": "true" }),
  );
  const moveTo = (divider: number): void =>
    compare.set({ divider: Math.min(1, Math.max(0, divider)) });

  element.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    event.stopPropagation(); // the stage would pan
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    if (!element.hasPointerCapture(event.pointerId)) return;
    const frame = element.parentElement?.getBoundingClientRect();
    if (frame) moveTo((event.clientX - frame.left) / frame.width);
  });
  element.addEventListener("keydown", (event) => {
    const { divider } = compare.get();
    const step = event.shiftKey ? STEP * 5 : STEP;
    const places: Readonly<Record<string, number>> = {
      ArrowLeft: divider - step,
      ArrowRight: divider + step,
      Home: 0,
      End: 1,
    };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    moveTo(place);
  });
  compare.subscribe(({ divider }) => {
    element.style.left = `${divider * 100}%`;
    element.setAttribute("aria-valuenow", String(Math.round(divider * 100)));
  });
  return element;
}
