/** The sizes to choose from: side by side, or for a large picture one below the other with what each takes. */
import type { App, AppState } from "../app.ts";
import { canBeSaved } from "../canvas-limits.ts";
import type { Answer } from "../estimate.ts";
import { expectedTime, timeWords } from "../estimate.ts";
import { mostScale, resultSize, scaleOf, sizeAt } from "../request.ts";
import { SCALES } from "../settings.ts";
import type { Store } from "../store.ts";
import { h } from "../ui/dom.ts";
import { pixels } from "../ui/format.ts";
import type { Offers } from "./offers.ts";

export function createSizeChoices(app: App, offers: Store<Offers>): HTMLElement {
  const choices = SCALES.map((scale) => {
    const input = h("input", { type: "radio", name: "scale", value: scale });
    input.addEventListener("change", () => app.change({ scale, target: null }));
    const facts = h("span", { class: "choice-facts" });
    const label = h("label", { class: "segment" }, input, h("span", {}, `×${scale}`), facts);
    return { scale, input, label, facts };
  });
  const own = h("input", { type: "radio", name: "scale", value: "target" });
  own.addEventListener("change", () => {
    const [width = 1] = resultSize(app.store.get()) ?? [];
    app.change({ target: { side: "width", pixels: width } });
  });
  const element = h(
    "fieldset",
    { class: "segments is-even sizes" },
    h("legend", { class: "visually-hidden" }, "Size of the result"),
    ...choices.map(({ label }) => label),
    h(
      "label",
      { class: "segment", title: "A width or a height in pixels" },
      own,
      h("span", {}, "Other"),
    ),
  );

  const show = (): void => {
    const state = app.store.get();
    const { image, model, settings } = state;
    const { isLarge, byScale } = offers.get();
    element.classList.toggle("is-listed", isLarge);
    own.checked = settings.target !== null;
    for (const { scale, input, label, facts } of choices) {
      input.checked = settings.target === null && scale === scaleOf(state);
      label.hidden = scale > mostScale(model);
      const size = image && sizeAt(image, scale);
      label.title = size ? `${pixels(...size)} pixels` : "";
      facts.textContent =
        size && isLarge ? factsOf(size, byScale.get(scale) ?? null, state.device) : "";
    }
  };
  app.store.subscribe(show);
  offers.subscribe(show);
  return element;
}

function factsOf(
  size: readonly [number, number],
  answer: Answer,
  device: AppState["device"],
): string {
  const sizes = pixels(...size);
  if (typeof answer === "string") return `${sizes} · too large to be computed`;
  if (!canBeSaved(...size)) return `${sizes} · too large to be saved`;
  const time = expectedTime(answer, device);
  const parts = answer && answer.regions > 1 ? ` · ${answer.regions} parts` : "";
  return `${sizes}${parts}${time ? ` · ${timeWords(time)}` : ""}`;
}
