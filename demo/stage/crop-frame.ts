/** The frame over the picture: moved as a whole, or by eight handles, with a pointer or the arrow keys. */
import type { App } from "../app.ts";
import { button, h } from "../ui/dom.ts";
import type { Point, Viewport } from "../view-transform.ts";
import type { Handle, Rectangle } from "./crop-geometry.ts";
import { HANDLES, moved, resized } from "./crop-geometry.ts";
import type { Crop } from "./crop.ts";
import { cropBounds } from "./crop.ts";
import { boxOnStage } from "./geometry.ts";

/** An arrow key moves by this share of the picture's longer side; with Shift by one pixel. */
const KEY_SHARE = 1 / 100;

export interface CropFrame {
  readonly element: HTMLElement;
  /** Puts the frame where its part of the picture is drawn. `ratio`: device pixels per CSS pixel. */
  readonly place: (viewport: Viewport, picture: Point, ratio: number) => void;
}

export function createCropFrame(app: App, crop: Crop): CropFrame {
  /** CSS pixels per pixel of the file, as last drawn. */
  let scale = 1;
  const handles = HANDLES.map((handle) => {
    const element = button(
      {
        class: `crop-handle is-across-${handle.across + 1} is-down-${handle.down + 1}`,
        "aria-label": `${handle.name}: arrow keys move it`,
      },
      () => undefined,
    );
    listen(element, handle);
    return element;
  });
  const frame = h(
    "div",
    {
      class: "crop-frame",
      role: "group",
      tabindex: 0,
      "aria-label": "The part to keep. Arrow keys move it, its handles change its size.",
      "aria-describedby": "crop-facts",
    },
    h("span", { class: "crop-thirds", "aria-hidden": "true" }),
    ...handles,
  );
  const element = h("div", { class: "crop", hidden: true }, frame);
  listen(frame, null);
  crop.store.subscribe((state, before) => {
    if (!state.frame || before.frame) return;
    element.hidden = false;
    frame.focus({ preventScroll: true });
  });

  /** Moves by pixels of the file, from where the frame was. */
  function drag(from: Rectangle, handle: Handle | null, by: Point): void {
    const { image } = app.store.get();
    if (!image) return;
    const within = cropBounds(image);
    crop.change(handle ? resized(from, handle, by, within) : moved(from, by, within));
  }

  function listen(target: HTMLElement, handle: Handle | null): void {
    let start: { readonly from: Rectangle; readonly at: Point } | null = null;
    target.addEventListener("pointerdown", (event) => {
      const from = crop.store.get().frame;
      if (event.button !== 0 || !from) return;
      event.preventDefault();
      event.stopPropagation(); // the stage would pan
      target.setPointerCapture(event.pointerId);
      target.focus({ preventScroll: true });
      start = { from, at: [event.clientX, event.clientY] };
    });
    target.addEventListener("pointermove", (event) => {
      if (!start || !target.hasPointerCapture(event.pointerId)) return;
      event.stopPropagation();
      const [x, y] = start.at;
      drag(start.from, handle, [(event.clientX - x) / scale, (event.clientY - y) / scale]);
    });
    const end = (event: Event): void => {
      if (start) event.stopPropagation();
      start = null;
    };
    target.addEventListener("pointerup", end);
    target.addEventListener("pointercancel", end);
    target.addEventListener("keydown", (event) => {
      const { frame: from } = crop.store.get();
      const { image } = app.store.get();
      if (event.target !== target || !from || !image) return;
      if (event.key === "Enter") {
        event.preventDefault();
        event.stopPropagation();
        crop.apply();
        return;
      }
      const { width, height } = cropBounds(image);
      const step = event.shiftKey
        ? 1
        : Math.max(1, Math.round(Math.max(width, height) * KEY_SHARE));
      const way = WAYS[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      drag(from, handle, [way[0] * step, way[1] * step]);
    });
  }

  return {
    element,
    place(viewport, picture, ratio) {
      const { frame: part } = crop.store.get();
      const { image } = app.store.get();
      element.hidden = !part || !image;
      if (!part || !image) return;
      const bounds = cropBounds(image);
      const [across, down] = [picture[0] / bounds.width, picture[1] / bounds.height];
      const drawn = {
        x: part.x * across,
        y: part.y * down,
        width: part.width * across,
        height: part.height * down,
      };
      const { x, y, width, height } = boxOnStage(drawn, viewport, ratio);
      scale = width / part.width;
      frame.style.left = `${x}px`;
      frame.style.top = `${y}px`;
      frame.style.width = `${width}px`;
      frame.style.height = `${height}px`;
    },
  };
}

const WAYS: Readonly<Record<string, Point>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
