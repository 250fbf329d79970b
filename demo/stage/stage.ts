/** The picture: canvases that the worker draws, the painted mask over them, the divider, and their gestures. */
import type { App, OpenImage } from "../app.ts";
import type { LayerId, ViewState } from "../protocol.ts";
import type { Store } from "../store.ts";
import { onThemeChange } from "../theme.ts";
import { h } from "../ui/dom.ts";
import { createCanvases, isSeen } from "./canvases.ts";
import type { CompareState } from "./compare-state.ts";
import { createCropFrame } from "./crop-frame.ts";
import type { Crop } from "./crop.ts";
import { createDivider } from "./divider.ts";
import type { StageSize, View } from "./geometry.ts";
import { drawnMode, pictureSize, viewportOf } from "./geometry.ts";
import { addGestures } from "./gestures.ts";
import { createLayerChoice } from "./layer-choice.ts";
import { createMaskOverlay } from "./mask-overlay.ts";
import type { MaskPainter } from "./mask-painter.ts";
import { addPaintingKeys } from "./painting-keys.ts";
import { createPartFrame } from "./part-frame.ts";
import { createStageNote } from "./stage-note.ts";

const KEYS =
  "Arrow keys move it, plus and minus zoom, 0 fits it, 1 shows its own pixels, space shows the other picture.";
const PAINTING_KEYS =
  "Arrow keys move it, Enter paints in the middle, brackets change the brush, Delete clears, Control Z takes back.";

export interface Stage {
  /** The picture itself, which takes the focus. */
  readonly surface: HTMLElement;
  readonly elements: readonly HTMLElement[];
  /** The view as drawn now; null where no picture is open. */
  readonly viewport: () => View | null;
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
    const state = app.store.get();
    const picture = pictureSize(state);
    if (!picture || size.width === 0) return null;
    const look = compare.get();
    const mode = drawnMode(look, state, hasTool());
    return { viewport: viewportOf(size, mode, look.zoom, picture), picture };
  };
  const canvases = createCanvases(app);
  const { drawn, waiting } = canvases;
  const divider = createDivider(compare);
  const overlay = createMaskOverlay(painter);
  const partFrame = createPartFrame(app, compare);
  const cropFrame = createCropFrame(app, crop);
  const surface = h(
    "div",
    { class: "surface", tabindex: 0, role: "application" },
    canvases.element,
    overlay.element,
    partFrame.element,
    divider,
    createStageNote(app, compare, drawn),
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
    const seen = drawn.get();
    divider.hidden = mode !== "split" || seen.mode !== "split" || !isSeen(seen, state);
    surface.setAttribute("aria-label", `Picture. ${painter.isActive ? PAINTING_KEYS : KEYS}`);
    if (!view || !state.image) return;
    show({
      serial: state.image.serial,
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
    partFrame.place(view, size.ratio, mode === "side");
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
  drawn.subscribe(update);
  painter.onChange(update);
  crop.store.subscribe(update);
  addGestures({ surface, compare, painter, viewport, ratio: () => size.ratio });
  addPaintingKeys({ surface, painter, viewport, ratio: () => size.ratio });

  let image: OpenImage | null = null;
  let shownSize = "";
  app.store.subscribe((state) => {
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
    elements: [surface, ...createLayerChoice(app, compare, drawn), waiting],
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
