/** Under the picture: how to compare, how large. */
import type { App } from "../app.ts";
import type { CompareMode } from "../protocol.ts";
import type { Store } from "../store.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import type { CompareState } from "./compare-state.ts";
import { hasResult, zoomedAt } from "./geometry.ts";
import type { Stage } from "./stage.ts";

const MODES: readonly (readonly [CompareMode, string, string])[] = [
  ["single", "Result", ICONS.single],
  ["split", "Split", ICONS.split],
  ["side", "Side by side", ICONS.side],
  ["flicker", "Flicker", ICONS.flicker],
  ["difference", "Difference", ICONS.difference],
];
const ZOOM_STEP = 1.5;

export function createToolbar(app: App, compare: Store<CompareState>, stage: Stage): HTMLElement {
  const element = h("div", { class: "toolbar", role: "toolbar", "aria-label": "Compare and zoom" });
  element.append(createModes(app), createZoom(compare, stage));
  app.store.subscribe(({ image }) => {
    element.hidden = image === null;
  });
  return element;
}

function createModes(app: App): HTMLElement {
  const group = h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "visually-hidden" }, "View"),
  );
  for (const [mode, label, path] of MODES) {
    const input = h("input", { type: "radio", name: "compare-mode", value: mode });
    input.addEventListener("change", () => app.change({ mode }));
    group.append(
      h(
        "label",
        { class: "segment", title: label },
        input,
        icon(path),
        h("span", { class: "segment-label" }, label),
      ),
    );
    app.store.subscribe(({ settings }) => {
      input.checked = settings.mode === mode;
    });
  }
  app.store.subscribe((state) => {
    group.hidden = !hasResult(state);
  });
  return group;
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
