/** The picture: a canvas that the worker draws, the painted mask over it, the divider, and their gestures. */
import type { App, OpenImage } from "../app.ts";
import type { CanvasMode, LayerId, ViewState } from "../protocol.ts";
import type { Store } from "../store.ts";
import { onThemeChange } from "../theme.ts";
import { h } from "../ui/dom.ts";
import type { Point, Viewport } from "../view-transform.ts";
import type { CompareState } from "./compare-state.ts";
import { createCropFrame } from "./crop-frame.ts";
import type { Crop } from "./crop.ts";
import { createDivider } from "./divider.ts";
import type { StageSize } from "./geometry.ts";
import { drawnMode, hasResult, pictureSize, viewportOf } from "./geometry.ts";
import { addGestures } from "./gestures.ts";
import { createLayerChoice } from "./layer-choice.ts";
import { createMaskOverlay } from "./mask-overlay.ts";
import type { MaskPainter } from "./mask-painter.ts";

export interface Stage {
  /** The picture itself, which takes the focus. */
  readonly surface: HTMLElement;
  readonly elements: readonly HTMLElement[];
  /** The view as drawn now; null where no picture is open. */
  readonly viewport: () => { readonly viewport: Viewport; readonly picture: Point } | null;
  /** Calls `listener` when the stage or the picture has another size. */
  readonly onResize: (listener: () => void) => void;
}

export function createStage(
  app: App,
  compare: Store<CompareState>,
  painter: MaskPainter,
  crop: Crop,
): Stage {
  const resized = new Set<() => void>();
  let size: StageSize = { width: 0, height: 0, ratio: 1 };
  /** Tools want one whole picture. */
  const hasTool = (): boolean => painter.isActive || crop.store.get().frame !== null;
  const viewport: Stage["viewport"] = () => {
    const picture = pictureSize(app.store.get());
    if (!picture || size.width === 0) return null;
    const state = compare.get();
    const mode = drawnMode(state, app.store.get(), hasTool());
    return { viewport: viewportOf(size, mode, state.zoom, picture), picture };
  };
  const labels = createLayerChoice(app, compare);
  const divider = createDivider(compare);
  const overlay = createMaskOverlay(painter);
  const cropFrame = createCropFrame(app, crop);
  const gain = h("span", { class: "stage-note" }, "Difference, four times enlarged");
  const surface = h(
    "div",
    {
      class: "surface",
      tabindex: 0,
      role: "application",
      "aria-label":
        "Picture. Arrow keys move it, plus and minus zoom, 0 fits it, 1 shows its own pixels, space shows the other picture.",
    },
    overlay.element,
    divider,
    gain,
    cropFrame.element,
  );

  let shown = "";
  /** Only what changed: a frame for every step of a run's progress would compete with the run. */
  const show = (state: ViewState): void => {
    const text = JSON.stringify(state);
    if (text === shown) return;
    shown = text;
    app.client.show(state);
  };
  const update = (): void => {
    const state = app.store.get();
    const view = viewport();
    const look = compare.get();
    const mode = drawnMode(look, state, hasTool());
    const [left, right] = shownLayers(look, mode);
    divider.hidden = mode !== "split";
    const hasResults = hasResult(state);
    labels.left.hidden = !hasResults || mode === "single";
    labels.right.hidden = !hasResults;
    gain.hidden = mode !== "difference";
    if (!view) return;
    show({
      canvasWidth: size.width,
      canvasHeight: size.height,
      mode,
      left,
      right,
      blend: look.blend,
      divider: look.divider,
      scale: view.viewport.scale,
      centre: view.viewport.centre,
      picture: view.picture,
    });
    overlay.draw(size, view.viewport, view.picture, mode === "side");
    cropFrame.place(view.viewport, view.picture, size.ratio);
  };

  new ResizeObserver(() => {
    const ratio = devicePixelRatio;
    const { clientWidth, clientHeight } = surface;
    size = {
      width: Math.round(clientWidth * ratio),
      height: Math.round(clientHeight * ratio),
      ratio,
    };
    update();
    for (const listener of resized) listener();
  }).observe(surface);
  onThemeChange(update); // the mask's tint
  compare.subscribe(update);
  painter.onChange(update);
  crop.store.subscribe(update);
  addGestures({ surface, compare, painter, viewport, ratio: () => size.ratio });

  let image: OpenImage | null = null;
  let mode: CanvasMode | null = null;
  let canvas: HTMLCanvasElement | null = null;
  let shownSize = "";
  app.store.subscribe((state) => {
    if (state.canvasMode !== null && state.canvasMode !== mode) {
      mode = state.canvasMode;
      canvas?.remove();
      canvas = h("canvas", { class: "canvas" });
      surface.prepend(canvas);
      void app.attachCanvas(canvas.transferControlToOffscreen(), mode);
    }
    // A place in the picture is in its pixels: of another size it would be another place.
    const nextSize = String(pictureSize(state));
    if (nextSize !== shownSize) compare.set({ zoom: "fit" });
    update();
    if (state.image === image && nextSize === shownSize) return;
    shownSize = nextSize;
    image = state.image;
    for (const listener of resized) listener();
  });
  return {
    surface,
    elements: [surface, labels.left, labels.right],
    viewport,
    onResize: (listener) => void resized.add(listener),
  };
}

/** `single` and `flicker` show one layer: the right one, or while flipped the left one. */
function shownLayers(
  { left, right, isFlipped }: CompareState,
  mode: CompareState["mode"],
): readonly [LayerId, LayerId] {
  const isOne = mode === "single" || mode === "flicker";
  if (isOne) return isFlipped ? [left, left] : [right, right];
  return isFlipped ? [right, left] : [left, right];
}
