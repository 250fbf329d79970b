/** Sizes and places on the stage. */
import type { AppState } from "../app.ts";
import type { CompareMode } from "../protocol.ts";
import { resultSize } from "../request.ts";
import type { Point, Viewport } from "../view-transform.ts";
import { toCanvas, toPicture, transform } from "../view-transform.ts";
import type { CompareState, Zoom } from "./compare-state.ts";
import type { Rectangle } from "./crop-geometry.ts";

export interface StageSize {
  /** Device pixels. */
  readonly width: number;
  readonly height: number;
  /** Device pixels per CSS pixel. */
  readonly ratio: number;
}

/** A picture as it lies on the stage. */
export interface View {
  readonly viewport: Viewport;
  readonly picture: Point;
}

/** CSS pixels around a fitted picture. */
const MARGIN = 24;
const MAX_SCALE = 64;
/** A small picture is not blown up beyond this when fitted, in CSS pixels per pixel. */
const MAX_FIT = 3;

/** The size of the picture on the stage; null where none is open. */
export function pictureSize(state: AppState): Point | null {
  if (!state.image) return null;
  const shown = state.partial ?? state.results.at(-1);
  return shown ? [shown.width, shown.height] : resultSize(state);
}

/** Whether there is something to compare with. */
export const hasResult = ({ results, partial }: AppState): boolean =>
  results.length > 0 || partial !== null;

/** The mode that is drawn: without a result there is nothing to compare, and a tool wants one whole picture. */
export function drawnMode({ mode }: CompareState, state: AppState, hasTool: boolean): CompareMode {
  return !hasResult(state) || hasTool ? "single" : mode;
}

export function viewportOf(
  size: StageSize,
  mode: CompareMode,
  zoom: Zoom,
  picture: Point,
): Viewport {
  const width = mode === "side" ? size.width / 2 : size.width;
  if (zoom !== "fit") return { width, height: size.height, ...zoom };
  const margin = 2 * MARGIN * size.ratio;
  const fitting = Math.min(
    Math.max(1, width - margin) / picture[0],
    Math.max(1, size.height - margin) / picture[1],
  );
  const scale = Math.min(fitting, MAX_FIT * size.ratio);
  return { width, height: size.height, scale, centre: [picture[0] / 2, picture[1] / 2] };
}

/** A zoom by `factor` that keeps the picture's place under `at` (device pixels of the stage) where it is. */
export function zoomedAt(viewport: Viewport, factor: number, at: Point, picture: Point): Zoom {
  const local: Point = [at[0] % viewport.width, at[1]];
  const place = transform(local, toPicture(viewport));
  const fit = Math.min(viewport.width / picture[0], viewport.height / picture[1]);
  const smallest = Math.min(1, fit) * 0.5;
  const scale = Math.min(MAX_SCALE, Math.max(smallest, viewport.scale * factor));
  const centre: Point = [
    place[0] - (local[0] - viewport.width / 2) / scale,
    place[1] - (local[1] - viewport.height / 2) / scale,
  ];
  return { scale, centre: within(centre, picture) };
}

/** A move by device pixels. */
export function panned({ scale, centre }: Viewport, [dx, dy]: Point, picture: Point): Zoom {
  return { scale, centre: within([centre[0] - dx / scale, centre[1] - dy / scale], picture) };
}

/** Of a place on the stage (device pixels): where that is on the picture, 0 … 1 each way. */
export function placeOnPicture([x, y]: Point, { viewport, picture }: View): Point {
  const place = transform([x % viewport.width, y], toPicture(viewport));
  return [place[0] / picture[0], place[1] / picture[1]];
}

/** A rectangle of the picture's pixels: where it lies on the stage, in CSS pixels; side by side, in each half. */
export function boxOnStage(part: Rectangle, viewport: Viewport, ratio: number): Rectangle {
  const matrix = toCanvas(viewport);
  const [left, top] = transform([part.x, part.y], matrix);
  const [right, bottom] = transform([part.x + part.width, part.y + part.height], matrix);
  return {
    x: left / ratio,
    y: top / ratio,
    width: (right - left) / ratio,
    height: (bottom - top) / ratio,
  };
}

/** A brush is as large as it looks: of so many device pixels, its radius as a share of the picture's width. */
export const brushRadius = (diameter: number, { viewport, picture }: View): number =>
  diameter / 2 / viewport.scale / picture[0];

/** The middle of the view stays on the picture, so that it cannot be lost. */
function within([x, y]: Point, [width, height]: Point): Point {
  return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
}
