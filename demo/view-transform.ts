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

export function toPicture({ width, height, scale, centre }: Viewport): Mat3 {
  const matrix = mat3.translation(vec2.fromValues(centre[0], centre[1]));
  mat3.scale(matrix, vec2.fromValues(1 / scale, 1 / scale), matrix);
  return mat3.translate(matrix, vec2.fromValues(-width / 2, -height / 2), matrix);
}

export function toCanvas(viewport: Viewport): Mat3 {
  return mat3.inverse(toPicture(viewport));
}

export function transform([x, y]: Point, matrix: Mat3): Point {
  const [u = 0, v = 0] = vec2.transformMat3(vec2.fromValues(x, y), matrix);
  return [u, v];
}
