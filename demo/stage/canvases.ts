/**
 * What the worker draws on: a canvas for the layers of a picture, whose kind the device decides, and one for its bitmap, which
 * is there sooner. The worker draws a little later than it is told; `drawn` says what is really seen.
 */
import type { App, AppState } from "../app.ts";
import type { CanvasMode, Drawn } from "../protocol.ts";
import type { Store } from "../store.ts";
import { createStore } from "../store.ts";
import { h } from "../ui/dom.ts";
import type { UpdatePort } from "../update-port.ts";

export interface Canvases {
  readonly element: HTMLElement;
  /** In place of a picture that is not drawn yet: its name. */
  readonly waiting: HTMLElement;
  readonly drawn: Store<Drawn>;
}

const NOTHING: Drawn = {
  serial: 0,
  source: "bitmap",
  mode: "single",
  left: "bicubic",
  right: "bicubic",
};

export function createCanvases(app: App): Canvases {
  const preview = h("canvas", { class: "preview" });
  const element = h("div", { class: "canvases" }, preview);
  const waiting = h("p", { class: "stage-waiting", hidden: true });
  const drawn = followDrawn(app, preview);
  let mode: CanvasMode | null = null;
  let canvas: HTMLCanvasElement | null = null;

  const reveal = (): void => {
    const state = app.store.get();
    const { source } = drawn.get();
    const isReady = isSeen(drawn.get(), state);
    // Not `hidden`: browsers may stop the frames of a canvas that takes no room.
    preview.classList.toggle("is-unseen", !isReady || source !== "bitmap");
    canvas?.classList.toggle("is-unseen", !isReady || source !== "pixels");
    const name = state.opening ?? (isReady ? null : (state.image?.name ?? null));
    waiting.hidden = name === null;
    waiting.textContent = name === null ? "" : `Opening ${name}`;
  };
  drawn.subscribe(reveal);
  app.store.subscribe((state) => {
    if (state.canvasMode !== null && state.canvasMode !== mode) {
      mode = state.canvasMode;
      canvas?.remove();
      canvas = h("canvas", { class: "canvas" });
      element.prepend(canvas);
      app.attachCanvas(canvas.transferControlToOffscreen(), mode).catch(toldElsewhere);
    }
    reveal();
  });
  return { element, waiting, drawn };
}

/** A worker that has stopped ends every call and is told of once; with the page it stops too. */
const toldElsewhere = (): void => undefined;

/** Whether the picture that is open has been drawn. */
export const isSeen = ({ serial }: Drawn, { image }: AppState): boolean => serial === image?.serial;

/** Gives the worker the canvas for bitmaps and hears of every drawing that shows something else. */
function followDrawn(app: App, preview: HTMLCanvasElement): Store<Drawn> {
  const drawn = createStore(NOTHING);
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener("message", ({ data }: MessageEvent<Drawn>) => drawn.set(data));
  port1.start();
  const canvas = preview.transferControlToOffscreen();
  const args = { canvas, drawn: port2 as UpdatePort<Drawn> };
  app.client.call("attachPreview", args, { transfer: [canvas, port2] }).catch(toldElsewhere);
  return drawn;
}
