/** Taking a part of the picture: the frame while it is drawn, what the part would take, and the way back. */
import type { App, OpenImage } from "../app.ts";
import type { Answer } from "../estimate.ts";
import { askForSize } from "../estimate.ts";
import type { Size } from "../protocol.ts";
import type { Store } from "../store.ts";
import { createStore } from "../store.ts";
import type { Rectangle } from "./crop-geometry.ts";

export interface CropState {
  /** In the file's pixels, within the region that is open; null while nothing is cut. */
  readonly frame: Rectangle | null;
  /** What the part would take; null until the model has told. */
  readonly answer: Answer;
}

export interface Crop {
  readonly store: Store<CropState>;
  readonly begin: (frame: Rectangle) => void;
  readonly change: (frame: Rectangle) => void;
  /** Leaves the picture as it is; false where nothing was being cut. */
  readonly leave: () => boolean;
  readonly apply: () => void;
  /** Opens the file as a whole again. */
  readonly undo: () => void;
}

/** While a frame moves, only its resting places are asked for. */
const REST_MS = 150;

/** What can be cut: the region that is open, in the file's pixels. */
export const cropBounds = ({ frame }: OpenImage): Size => frame;

export function createCrop(app: App): Crop {
  const store = createStore<CropState>({ frame: null, answer: null });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = async (frame: Rectangle): Promise<void> => {
    const answer = await askForSize(app, { width: frame.width, height: frame.height });
    if (store.get().frame === frame) store.set({ answer });
  };
  const change = (frame: Rectangle): void => {
    const { frame: before, answer } = store.get();
    const isSameSize = frame.width === before?.width && frame.height === before.height;
    store.set({ frame, answer: isSameSize ? answer : null });
    clearTimeout(timer);
    timer = setTimeout(() => void ask(frame), REST_MS);
  };
  const leave = (): boolean => {
    const wasActive = store.get().frame !== null;
    clearTimeout(timer);
    if (wasActive) store.set({ frame: null, answer: null });
    return wasActive;
  };
  app.store.subscribe(({ image, model }, before) => {
    if (image !== before.image) leave();
    const { frame } = store.get();
    if (frame && model !== before.model) void ask(frame);
  });
  return {
    store,
    begin: change,
    change,
    leave,
    apply() {
      const { frame } = store.get();
      const { image } = app.store.get();
      leave();
      if (!frame || !image) return;
      const { blob, name, frame: open } = image;
      const { width, height } = frame;
      void app.openImage(blob, name, { x: open.x + frame.x, y: open.y + frame.y, width, height });
    },
    undo() {
      const { image } = app.store.get();
      leave();
      if (image) void app.openImage(image.blob, image.name);
    },
  };
}
