/** From pixels of the canvas to pixels of the enlarged picture and back, for drawing and for pointers. */
import type { Mat3 } from "wgpu-matrix";
import { mat3, vec2 } from "wgpu-matrix";

export interface Viewport {
  /** Of the canvas, or of one half side by side; in device pixels. */
  readonly width: number;
  readonly height: number;
  /** Device pixels per pixel of the result. */
  readonly scale: number;
  /** The result's pixel in the middle. */
  readonly centre: readonly [x: number, y: number];
}

export type Point = readonly [x: number, y: number];

/** The picture's corner lies on a whole canvas pixel: at 100 % its pixels are the canvas's, not means of two. */
export function toPicture({ width, height, scale, centre }: Viewport): Mat3 {
  const left = Math.round(width / 2 - centre[0] * scale);
  const top = Math.round(height / 2 - centre[1] * scale);
  const matrix = mat3.scaling(vec2.fromValues(1 / scale, 1 / scale));
  return mat3.translate(matrix, vec2.fromValues(-left, -top), matrix);
}

export function toCanvas(viewport: Viewport): Mat3 {
  return mat3.inverse(toPicture(viewport));
}

export function transform([x, y]: Point, matrix: Mat3): Point {
  const [u = 0, v = 0] = vec2.transformMat3(vec2.fromValues(x, y), matrix);
  return [u, v];
}
