/** Under the picture: how to compare or that one paints, how large. */
import type { App, AppState } from "../app.ts";
import type { CompareMode } from "../protocol.ts";
import type { Store } from "../store.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";
import { hasResult, zoomedAt } from "./geometry.ts";
import type { MaskPainter } from "./mask-painter.ts";
import type { Stage } from "./stage.ts";

const MODES: readonly (readonly [CompareMode, string, string])[] = [
  ["single", "Result", ICONS.single],
  ["split", "Split", ICONS.split],
  ["side", "Side by side", ICONS.side],
  ["flicker", "Flicker", ICONS.flicker],
  ["difference", "Difference", ICONS.difference],
];
const ZOOM_STEP = 1.5;

export function createToolbar(
  app: App,
  compare: Store<CompareState>,
  stage: Stage,
  painter: MaskPainter,
): HTMLElement {
  const element = h("div", { class: "toolbar", role: "toolbar", "aria-label": "Compare and zoom" });
  element.append(createModes(app, painter), createZoom(compare, stage));
  app.store.subscribe(({ image }) => {
    element.hidden = image === null;
  });
  return element;
}

/** Painting shows one whole picture, so it is a mode beside the others. It is there while the mask is switched on. */
function createModes(app: App, painter: MaskPainter): HTMLElement {
  const group = h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "visually-hidden" }, "View"),
  );
  const modes = MODES.map(([mode, label, path]) => {
    const part = segment(mode, label, path);
    part.input.addEventListener("change", () => {
      painter.isActive = false;
      app.change({ mode });
    });
    return { mode, ...part };
  });
  const paint = segment("paint", "Paint", ICONS.brush);
  paint.input.addEventListener("change", () => {
    painter.isActive = true;
  });
  group.append(...modes.map(({ element }) => element), paint.element);

  const follow = (): void => {
    const state = app.store.get();
    const hasChoice = hasResult(state);
    group.hidden = !hasChoice && !painter.isOn;
    paint.element.hidden = !painter.isOn;
    paint.input.checked = painter.isActive;
    for (const { mode, element, input, name } of modes) {
      element.hidden = !hasChoice && mode !== "single";
      input.checked = !painter.isActive && mode === shownMode(state);
      if (mode === "single") name.textContent = hasChoice ? "Result" : "Original";
    }
  };
  app.store.subscribe(follow);
  painter.onChange(follow);
  return group;
}

const shownMode = (state: AppState): CompareMode =>
  hasResult(state) ? state.settings.mode : "single";

function segment(value: string, label: string, path: string) {
  const input = h("input", { type: "radio", name: "compare-mode", value });
  const name = h("span", { class: "segment-label" }, label);
  const element = h("label", { class: "segment", title: label }, input, icon(path), name);
  return { element, input, name };
}

function createZoom(compare: Store<CompareState>, stage: Stage): HTMLElement {
  const zoomBy = (factor: number): void => {
    const view = stage.viewport();
    if (!view) return;
    const { viewport, picture } = view;
    const middle = [viewport.width / 2, viewport.height / 2] as const;
    compare.set({ zoom: zoomedAt(viewport, factor, middle, picture) });
  };
  const label = button(
    { class: "zoom-label", title: "Show the picture's own pixels" },
    () => {
      const view = stage.viewport();
      if (view) zoomBy(devicePixelRatio / view.viewport.scale);
    },
    "100 %",
  );
  /** Named in words where there is room for them: on a phone, whose fingers call up no titles. */
  const tool = (name: string, word: string, path: string, action: () => void): HTMLButtonElement =>
    button(
      { class: "icon-button", title: name, "aria-label": name },
      action,
      icon(path),
      h("span", { class: "tool-word" }, word),
    );
  const showScale = (): void => {
    const view = stage.viewport();
    const percent = view ? Math.round((view.viewport.scale / devicePixelRatio) * 100) : 100;
    label.textContent = `${percent} %`;
    label.setAttribute("aria-label", `Zoom ${percent} percent. Show the picture's own pixels`);
  };
  compare.subscribe(showScale);
  stage.onResize(showScale);
  return h(
    "div",
    { class: "zoom" },
    tool("Zoom out", "Out", ICONS.minus, () => zoomBy(1 / ZOOM_STEP)),
    label,
    tool("Zoom in", "In", ICONS.plus, () => zoomBy(ZOOM_STEP)),
    tool("Fit to window", "Fit", ICONS.fit, () => compare.set({ zoom: "fit" })),
  );
}
