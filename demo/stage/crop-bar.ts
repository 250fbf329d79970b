/** While a part is chosen: how large it is, what it takes, and what to do with it. */
import type { App } from "../app.ts";
import type { Answer } from "../estimate.ts";
import { expectedTime, timeWords } from "../estimate.ts";
import { resultSize } from "../request.ts";
import { button, h } from "../ui/dom.ts";
import { pixels } from "../ui/format.ts";
import type { Rectangle } from "./crop-geometry.ts";
import type { Crop } from "./crop.ts";

export function createCropBar(app: App, crop: Crop): HTMLElement {
  const facts = h("p", { class: "crop-facts", id: "crop-facts", role: "status" });
  const element = h(
    "div",
    { class: "crop-bar", role: "group", "aria-label": "Crop", hidden: true },
    facts,
    button({ class: "button is-quiet", id: "crop-cancel" }, () => void crop.leave(), "Cancel"),
    button({ class: "button is-quiet is-primary", id: "crop-apply" }, () => crop.apply(), "Crop"),
  );
  crop.store.subscribe(({ frame, answer }) => {
    element.hidden = frame === null;
    if (frame) facts.textContent = factsOf(app, frame, answer);
  });
  return element;
}

function factsOf(app: App, frame: Rectangle, answer: Answer): string {
  const { settings, model, device } = app.store.get();
  const { width, height } = frame;
  const size = resultSize({ settings, model, image: { width, height } });
  const sizes = `${pixels(width, height)} → ${pixels(...(size ?? [0, 0]))}`;
  if (typeof answer === "string") return `${sizes}: too large to be computed`;
  const time = expectedTime(answer, device);
  return time ? `${sizes}, ${timeWords(time)}` : sizes;
}
