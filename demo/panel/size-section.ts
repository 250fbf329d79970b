/** How large the result becomes, and what to do where that is more than the browser can save. */
import type { App } from "../app.ts";
import { canBeSaved } from "../canvas-limits.ts";
import { resultSize, savableScale, scaleOf } from "../request.ts";
import { SCALES } from "../settings.ts";
import { h } from "../ui/dom.ts";
import { pixels } from "../ui/format.ts";

export function createSizeSection(app: App): HTMLElement {
  const size = h("span", { class: "value" });
  const note = h("p", { class: "hint", role: "note", id: "size-note" });
  const choices = SCALES.map((scale) => {
    const input = h("input", { type: "radio", name: "scale", value: scale });
    input.addEventListener("change", () => app.change({ scale }));
    const label = h("label", { class: "segment" }, input, h("span", {}, `×${scale}`));
    return { scale, input, label };
  });
  app.store.subscribe((state) => {
    const { image, model } = state;
    const chosen = scaleOf(state);
    for (const { scale, input, label } of choices) {
      input.checked = scale === chosen;
      label.hidden = model !== null && scale > model.upscale;
      label.title = image ? `${pixels(image.width * scale, image.height * scale)} pixels` : "";
    }
    const result = resultSize(state);
    size.textContent = result ? pixels(...result) : "";
    const isTooLarge = result !== null && !canBeSaved(...result);
    note.hidden = !isTooLarge && chosen !== 1;
    note.textContent =
      image && isTooLarge
        ? tooLargeNote(result, savableScale(image))
        : "Restores the picture at its own size.";
  });
  return h(
    "section",
    { class: "panel-section" },
    h("div", { class: "section-head" }, h("h2", {}, "Size"), size),
    h(
      "fieldset",
      { class: "segments is-even" },
      h("legend", { class: "visually-hidden" }, "Size of the result"),
      ...choices.map(({ label }) => label),
    ),
    note,
  );
}

function tooLargeNote(result: readonly [number, number], scale: number | undefined): string {
  const remedy = scale === undefined ? "Crop the picture" : `Choose ×${scale}, or crop the picture`;
  return (
    `${pixels(...result)} pixels are more than this browser can save as one picture. ` +
    `${remedy}, or use the command line.`
  );
}
