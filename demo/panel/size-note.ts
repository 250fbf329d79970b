/** What stands against a size, or makes it long, and what can be done about it by one click. */
import type { App, AppState, OpenImage } from "../app.ts";
import { expectedTime, timeWords } from "../estimate.ts";
import type { Obstacle } from "../obstacle.ts";
import { obstacleOf } from "../obstacle.ts";
import { resultSize, savableScale } from "../request.ts";
import type { Store } from "../store.ts";
import { button, h } from "../ui/dom.ts";
import { bytes, pixels } from "../ui/format.ts";
import type { Copy, Offers } from "./offers.ts";
import { copyCut } from "./offers.ts";

/** What stands against the next run; null where nothing does, or no picture is open. */
export function presentObstacle(state: AppState): Obstacle | null {
  const { image, estimate, refusal, device } = state;
  const result = resultSize(state);
  return image && result && obstacleOf({ picture: image, result, estimate, refusal, device });
}

export function createSizeNote(app: App, offers: Store<Offers>): HTMLElement {
  const text = h("p", {});
  const copies = h("div", { class: "advice-actions" });
  const attributes = { role: "note", id: "size-note", hidden: true };
  const element = h("div", attributes, text, copies);
  let shown: Offers["copies"] | null = null;
  const show = (): void => {
    const state = app.store.get();
    const { image } = state;
    if (!image) return;
    const said = noteOf(state, offers.get());
    element.hidden = said === null;
    element.className = isAdvice(state, offers.get()) ? "advice" : "hint";
    if (text.textContent !== said) text.textContent = said;
    // Not at every step of a run: the buttons would lose their focus.
    if (offers.get().copies === shown) return;
    shown = offers.get().copies;
    copies.replaceChildren(...shown.map((copy) => copyButton(app, image, copy)));
  };
  app.store.subscribe(show);
  offers.subscribe(show);
  return element;
}

/** Something to be decided, and not a remark. */
const isAdvice = (state: AppState, { isLarge, copies }: Offers): boolean =>
  presentObstacle(state) !== null || (isLarge && copies.length > 0);

function noteOf(state: AppState, offers: Offers): string | null {
  const { image, settings, estimate, device } = state;
  const result = resultSize(state);
  if (!image || !result) return null;
  const obstacle = presentObstacle(state);
  if (obstacle) return obstacleNote(obstacle, result, savableScale(image));
  if (!isAdvice(state, offers)) {
    return settings.scale === 1 && !settings.target
      ? "Restores the picture at its own size."
      : null;
  }
  const time = expectedTime(estimate, device);
  const parts = estimate && estimate.regions > 1 ? ` in ${estimate.regions} parts` : "";
  const lead = `The whole picture is computed${parts}${time ? `, which takes ${timeWords(time)}` : ""}.`;
  return `${lead} A part of it, or a smaller copy, takes less:`;
}

function obstacleNote(
  obstacle: Obstacle,
  result: readonly [number, number],
  scale: number | undefined,
): string {
  switch (obstacle.kind) {
    case "unsavable": {
      const remedy =
        scale === undefined ? "Crop the picture" : `Choose ×${scale}, or crop the picture`;
      return (
        `${pixels(...result)} pixels are more than this browser can save as one picture. ` +
        `${remedy}, or use the command line.`
      );
    }
    case "refused":
      return `${pixels(...result)} pixels are more than can be computed. Choose a smaller size, or crop the picture.`;
    case "memory":
      return (
        `This takes about ${bytes(obstacle.bytes)} of memory, more than this device seems to have. ` +
        "Choose a smaller size, crop the picture, or use the command line."
      );
    case "slow":
      return (
        `Too long here: ${timeWords(obstacle.time)} on this device. Crop the picture, take a smaller copy, ` +
        "or use the command line on a faster computer."
      );
    default:
      return obstacle satisfies never;
  }
}

function copyButton(app: App, { blob, name, frame }: OpenImage, copy: Copy): HTMLElement {
  const { maxSide, width, height, estimate } = copy;
  const time = expectedTime(estimate, app.store.get().device);
  return button(
    { class: "button is-quiet", title: `A copy of ${pixels(width, height)} pixels` },
    () => void app.openImage(blob, name, copyCut(frame, maxSide)),
    `Copy of ${maxSide} px${time ? ` · ${timeWords(time)}` : ""}`,
  );
}
