/** Where realism acts: a brush for places that take another setting than the slider's. */
import type { App } from "../app.ts";
import { cutKey } from "../library/picture.ts";
import type { MaskPainter, Tool } from "../stage/mask-painter.ts";
import { BRUSH_SIZES } from "../stage/mask-painter.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import { realismName } from "../ui/format.ts";

const WHAT_FOR = "Paint the places that should take another setting; the rest follows the slider.";
const KEPT = "Switched off: the whole picture follows the slider. What you painted is kept.";

/** A mask whose picture is not open. */
interface Painting {
  /** Of the `Picture`. */
  readonly picture: string;
  readonly weights: Uint8Array<ArrayBuffer>;
  readonly realism: number;
  readonly isOn: boolean;
}

export function createMaskSection(app: App, painter: MaskPainter): HTMLElement {
  let realism = 1;
  /** What is painted on the open picture. */
  let weights: Painting["weights"] | null = null;
  /** The part of a picture that is painted on, and what was left on others. */
  let place = { key: "", picture: "" };
  const left = new Map<string, Painting>();
  const hint = h("p", { class: "hint", id: "mask-hint" });
  const toggle = h("input", {
    type: "checkbox",
    role: "switch",
    class: "switch",
    id: "paint",
    "aria-describedby": "mask-hint",
  });
  const slider = h("input", { type: "range", class: "slider", min: 0, max: 1, step: 0.01 });
  const value = h("output", { class: "value" });
  const body = h(
    "div",
    { class: "mask-body" },
    createTools(painter),
    h(
      "label",
      { class: "field" },
      h(
        "span",
        { class: "section-head" },
        h("span", { class: "field-label" }, "Realism there"),
        value,
      ),
      slider,
    ),
  );

  const follow = (): void => {
    toggle.checked = painter.isOn;
    body.hidden = !painter.isOn;
    hint.textContent = weights && !painter.isOn ? KEPT : WHAT_FOR;
  };
  /** What is painted counts for the next run while it is switched on. */
  const store = (): void => {
    const { canvas } = painter;
    weights = painter.weights();
    const size = canvas && { width: canvas.width, height: canvas.height };
    const mask = weights && size && { ...size, data: weights, realism };
    app.store.set({ mask: painter.isOn ? mask : null });
    follow();
  };
  const setRealism = (next: number): void => {
    realism = next;
    slider.value = String(next);
    slider.style.setProperty("--at", `${next * 100}%`);
    slider.setAttribute("aria-valuetext", realismName(next));
    value.textContent = realismName(next);
  };
  toggle.addEventListener("change", () => {
    // The painted places start at the other end of the slider.
    const { settings } = app.store.get();
    if (!weights) setRealism(settings.realism === "auto" || settings.realism <= 0.5 ? 1 : 0);
    painter.isOn = toggle.checked;
    store();
  });
  slider.addEventListener("input", () => setRealism(Number(slider.value)));
  slider.addEventListener("change", store);
  setRealism(realism);
  painter.onStroke(store);
  painter.onChange(follow);
  app.store.subscribe(({ image, pictures }, before) => {
    if (pictures !== before.pictures) {
      const ids = pictures.map(({ id }) => id);
      for (const [key, { picture }] of left) if (!ids.includes(picture)) left.delete(key);
    }
    if (!image) return;
    const key = `${image.id} ${cutKey(image.cut)} ${image.width}×${image.height}`;
    if (key === place.key) return; // the same part, opened again
    const { picture } = place;
    if (weights) left.set(place.key, { picture, weights, realism, isOn: painter.isOn });
    place = { key, picture: image.id };
    const painting = left.get(key);
    left.delete(key);
    weights = painting?.weights ?? null;
    painter.reset(image.width, image.height, painting?.weights);
    if (!painting) return;
    setRealism(painting.realism);
    painter.isOn = painting.isOn;
    painter.isActive = false; // it is looked at first
    store();
  });
  return h(
    "section",
    { class: "panel-section" },
    h("label", { class: "section-head switch-row" }, h("h2", {}, "Where realism acts"), toggle),
    hint,
    body,
  );
}

function createTools(painter: MaskPainter): HTMLElement {
  const tools = (
    [
      ["brush", "Brush", ICONS.brush],
      ["eraser", "Eraser", ICONS.eraser],
    ] as const
  ).map(([name, label, path]) => createTool(painter, name, label, path));
  const [least, most] = BRUSH_SIZES;
  const size = h("input", { type: "range", class: "slider", min: least, max: most });
  size.addEventListener("input", () => {
    painter.size = Number(size.value);
  });
  // Not `disabled` where there is nothing to do: a button that loses its focus loses the keyboard's place.
  const action = (label: string, word: string, path: string, run: () => void): HTMLButtonElement =>
    button(
      { class: "icon-button", "aria-label": label, title: label },
      run,
      icon(path),
      h("span", { class: "tool-word" }, word),
    );
  const undo = action("Undo the last stroke", "Undo", ICONS.undo, () => painter.undo());
  const clear = action("Clear all", "Clear", ICONS.trash, () => painter.clear());
  const follow = (): void => {
    // Disabled it would lose the focus to the last undo.
    undo.setAttribute("aria-disabled", String(!painter.canUndo));
    undo.title = painter.canUndo ? "Undo the last stroke" : "There is no stroke to take back";
    size.value = String(painter.size);
    size.style.setProperty("--at", `${((painter.size - least) / (most - least)) * 100}%`);
  };
  painter.onChange(follow);
  follow();
  return h(
    "div",
    { class: "tools" },
    h(
      "fieldset",
      { class: "segments" },
      h("legend", { class: "visually-hidden" }, "Tool"),
      ...tools,
    ),
    h("span", { class: "tool-actions" }, undo, clear),
    h("label", { class: "field" }, h("span", { class: "field-label" }, "Brush size"), size),
  );
}

/** Taking a tool is to paint; while the picture is only looked at none is taken. */
function createTool(painter: MaskPainter, name: Tool, label: string, path: string): HTMLElement {
  const input = h("input", { type: "radio", name: "mask-tool", value: name });
  input.addEventListener("change", () => {
    painter.tool = name;
    painter.isActive = true;
  });
  painter.onChange(() => {
    input.checked = painter.isActive && painter.tool === name;
  });
  return h("label", { class: "segment", title: label }, input, icon(path), h("span", {}, label));
}
