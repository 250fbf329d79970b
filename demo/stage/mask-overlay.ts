/** Shows the painted mask and the brush over the picture. */
import { h } from "../ui/dom.ts";
import type { Point, Viewport } from "../view-transform.ts";
import { toCanvas, transform } from "../view-transform.ts";
import type { StageSize } from "./geometry.ts";
import type { MaskPainter } from "./mask-painter.ts";

/** How much of the picture the tint covers. */
const TINT_ALPHA = 0.42;

export interface MaskOverlay {
  readonly element: HTMLCanvasElement;
  readonly draw: (size: StageSize, viewport: Viewport, picture: Point, isTwice: boolean) => void;
}

export function createMaskOverlay(painter: MaskPainter): MaskOverlay {
  const element = h("canvas", { class: "overlay", "aria-hidden": "true" });
  const context = element.getContext("2d");
  return {
    element,
    draw(size, viewport, picture, isTwice) {
      // Painted places are of interest while painting; looking at results needs them out of the way.
      element.hidden = !painter.isActive;
      if (!context || !painter.isActive) return;
      if (element.width !== size.width) element.width = size.width;
      if (element.height !== size.height) element.height = size.height;
      context.clearRect(0, 0, size.width, size.height);
      drawTint(context, painter, viewport, picture, isTwice);
      drawBrush(context, painter, size);
    },
  };
}

function drawTint(
  context: CanvasRenderingContext2D,
  { canvas }: MaskPainter,
  viewport: Viewport,
  picture: Point,
  isTwice: boolean,
): void {
  if (!canvas) return;
  const matrix = toCanvas(viewport);
  const [left, top] = transform([0, 0], matrix);
  const [right, bottom] = transform(picture, matrix);
  context.save();
  context.globalAlpha = TINT_ALPHA;
  for (const shift of isTwice ? [0, viewport.width] : [0]) {
    context.drawImage(canvas, left + shift, top, right - left, bottom - top);
  }
  context.restore();
  // The mask is black where painted: give it the theme's colour.
  context.save();
  context.globalCompositeOperation = "source-in";
  context.fillStyle = getComputedStyle(context.canvas).color;
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
  context.restore();
}

function drawBrush(
  context: CanvasRenderingContext2D,
  { pointer, size: diameter }: MaskPainter,
  { ratio }: StageSize,
): void {
  if (!pointer) return;
  for (const [color, width] of [
    ["rgb(0 0 0 / 0.6)", 3],
    ["white", 1.5],
  ] as const) {
    context.beginPath();
    context.arc(pointer[0], pointer[1], (diameter * ratio) / 2, 0, 2 * Math.PI);
    context.lineWidth = width * ratio;
    context.strokeStyle = color;
    context.stroke();
  }
}
