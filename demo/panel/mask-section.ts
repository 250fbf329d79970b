/** Where realism acts: a brush for places that take another setting than the slider's. */
import type { App } from "../app.ts";
import type { MaskPainter, Tool } from "../stage/mask-painter.ts";
import { ICONS, button, disable, h, icon } from "../ui/dom.ts";
import { realismName } from "../ui/format.ts";

export function createMaskSection(app: App, painter: MaskPainter): HTMLElement {
  let realism = 1;
  const store = (): void => {
    const [data, canvas] = [painter.weights(), painter.canvas];
    const mask = data && canvas && { width: canvas.width, height: canvas.height, data, realism };
    app.store.set({ mask });
  };
  painter.onStroke(store);

  const toggle = h("input", { type: "checkbox", class: "switch", id: "paint" });
  toggle.addEventListener("change", () => {
    // The painted places start at the other end of the slider.
    const { settings, mask } = app.store.get();
    if (!mask) setRealism(settings.realism === "auto" || settings.realism <= 0.5 ? 1 : 0);
    painter.isActive = toggle.checked;
  });
  const slider = h("input", { type: "range", class: "slider", min: 0, max: 1, step: 0.01 });
  const value = h("output", { class: "value" });
  const setRealism = (next: number): void => {
    realism = next;
    slider.value = String(next);
    slider.style.setProperty("--at", `${next * 100}%`);
    slider.setAttribute("aria-valuetext", realismName(next));
    value.textContent = realismName(next);
  };
  slider.addEventListener("input", () => setRealism(Number(slider.value)));
  slider.addEventListener("change", store);
  setRealism(realism);

  const body = h(
    "div",
    { class: "mask-body" },
    h("p", { class: "hint" }, "Paint where the picture should take another setting."),
    createTools(painter),
    h(
      "label",
      { class: "field" },
      h("span", { class: "section-head" }, h("span", { class: "field-label" }, "There"), value),
      slider,
    ),
  );
  app.store.subscribe(({ image }, before) => {
    if (image && (image !== before.image || painter.canvas === null)) {
      painter.reset(image.width, image.height);
    }
  });
  painter.onChange(() => {
    toggle.checked = painter.isActive;
    body.hidden = !painter.isActive;
  });
  body.hidden = true;
  document.addEventListener("keydown", (event) => {
    if (!painter.isActive || event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    painter.undo();
  });
  return h(
    "section",
    { class: "panel-section" },
    h("label", { class: "section-head switch-row" }, h("h2", {}, "Where realism acts"), toggle),
    body,
  );
}

function createTools(painter: MaskPainter): HTMLElement {
  const tool = (name: Tool, label: string, path: string): HTMLElement => {
    const input = h("input", { type: "radio", name: "mask-tool", value: name });
    input.checked = painter.tool === name;
    input.addEventListener("change", () => {
      painter.tool = name;
    });
    return h("label", { class: "segment", title: label }, input, icon(path), h("span", {}, label));
  };
  const size = h("input", {
    type: "range",
    class: "slider",
    min: 8,
    max: 160,
    value: painter.size,
    "aria-label": "Brush size",
  });
  const showSize = (): void => {
    painter.size = Number(size.value);
    size.style.setProperty("--at", `${((painter.size - 8) / 152) * 100}%`);
  };
  size.addEventListener("input", showSize);
  showSize();
  const action = (label: string, word: string, path: string, run: () => void): HTMLButtonElement =>
    button(
      { class: "icon-button", "aria-label": label, title: label },
      run,
      icon(path),
      h("span", { class: "tool-word" }, word),
    );
  const undo = action("Undo the last stroke", "Undo", ICONS.undo, () => painter.undo());
  const judge = (): void =>
    disable(undo, painter.canUndo ? null : "There is no stroke to take back.");
  painter.onChange(judge);
  judge();
  return h(
    "div",
    { class: "tools" },
    h(
      "fieldset",
      { class: "segments" },
      h("legend", { class: "visually-hidden" }, "Tool"),
      tool("brush", "Brush", ICONS.brush),
      tool("eraser", "Eraser", ICONS.eraser),
    ),
    h(
      "span",
      { class: "tool-actions" },
      undo,
      action("Clear all", "Clear", ICONS.trash, () => painter.clear()),
    ),
    h("label", { class: "field" }, h("span", { class: "field-label" }, "Size"), size),
  );
}
