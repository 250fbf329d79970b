/** Shows a picture before its pixels are read: its bitmap, on a canvas of its own, for which no device is needed. */
import type { ViewState } from "../protocol.ts";
import { toCanvas, transform } from "../view-transform.ts";

/** How long the reading of pixels waits for the bitmap to be seen. */
const PATIENCE_MS = 1000;

export class Preview {
  #context: OffscreenCanvasRenderingContext2D | null = null;
  #bitmap: ImageBitmap | undefined;
  #shown: PromiseWithResolvers<void> | undefined;

  attach(canvas: OffscreenCanvas): void {
    this.#context = canvas.getContext("2d");
  }

  open(bitmap: ImageBitmap): void {
    this.close();
    this.#bitmap = bitmap;
    this.#shown = Promise.withResolvers();
  }

  async hasShown(): Promise<void> {
    await Promise.race([
      this.#shown?.promise,
      new Promise((done) => setTimeout(done, PATIENCE_MS)),
    ]);
  }

  /** Whether there was a bitmap to draw. */
  draw(view: ViewState): boolean {
    const [bitmap, context] = [this.#bitmap, this.#context];
    if (!bitmap || !context) return false;
    const { canvasWidth: width, canvasHeight: height, mode, scale, centre, picture } = view;
    const { canvas } = context;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const half = mode === "side" ? 0.5 : 1;
    const matrix = toCanvas({ width: width * half, height, scale, centre });
    const [left, top] = transform([0, 0], matrix);
    const [right, bottom] = transform(picture, matrix);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = "medium";
    context.drawImage(bitmap, left, top, right - left, bottom - top);
    this.#shown?.resolve();
    return true;
  }

  close(): void {
    this.#bitmap?.close();
    this.#bitmap = undefined;
  }
}
