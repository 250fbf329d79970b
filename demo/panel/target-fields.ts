/** A result's size as it is typed: width or height, the other follows the picture's shape. */
import type { App } from "../app.ts";
import { factorOf, mostScale, resultSize, sizeAt } from "../request.ts";
import { MAX_TARGET } from "../settings.ts";
import { h } from "../ui/dom.ts";
import { pixels } from "../ui/format.ts";

export function createTargetFields(app: App): HTMLElement {
  const sides = (["width", "height"] as const).map((side) => {
    const label = side === "width" ? "Width" : "Height";
    const input = h("input", {
      class: "input",
      inputmode: "numeric",
      maxlength: 6,
      autocomplete: "off",
      "aria-describedby": "target-note",
      id: `target-${side}`,
    });
    input.addEventListener("change", () => {
      const value = /^\s*\d+\s*$/.test(input.value) ? Number(input.value) : 0;
      shown = "";
      if (value >= 1) app.change({ target: { side, pixels: Math.min(value, MAX_TARGET) } });
      else show();
    });
    const field = h("label", { class: "field" }, h("span", { class: "field-label" }, label), input);
    return { side, input, field };
  });
  let shown = "";
  const note = h("p", { class: "hint", id: "target-note" });
  const element = h(
    "div",
    { class: "target", hidden: true },
    h("div", { class: "row" }, ...sides.map(({ field }) => field)),
    note,
  );
  const show = (): void => {
    const state = app.store.get();
    const { image, settings, model } = state;
    const { target } = settings;
    element.hidden = target === null || image === null;
    const size = resultSize(state);
    if (!target || !image || !size) return;
    const [width, height] = size;
    // Not at every step of a run: somebody may be typing.
    if (String(size) !== shown) {
      shown = String(size);
      for (const { side, input } of sides) input.value = String(side === "width" ? width : height);
    }
    const most = mostScale(model);
    const [mostWidth, mostHeight] = sizeAt(image, most);
    const isCapped = factorOf(state) === most && target.pixels > most * image[target.side];
    note.textContent = isCapped
      ? `More than ×${most} is not computed: ${pixels(mostWidth, mostHeight)} at most.`
      : "In pixels; the other side follows.";
  };
  app.store.subscribe(show);
  return element;
}
