/**
 * The realism mask on latent pixels. A mask covers the picture; a latent pixel takes the mask's mean over the square of
 * the working image that it stands for. Where a square reaches into the padding, the mean is that of the pixels inside
 * the picture. Where it lies wholly in the padding, the nearest pixels of the mask count.
 */
import { ShapeError, isShape } from "../../gpu/shape.ts";
import type { RealismMask } from "../settings/options.ts";
import type { Geometry } from "./geometry.ts";
import { isBytes } from "./raw-image.ts";

/** Throws `ShapeError` unless `mask` is what it says. */
export function checkMask({ data, width, height }: RealismMask): void {
  if (!isShape([width, height])) {
    throw new ShapeError(`realismMask: needs integer sides ≥ 1, got ${width}×${height}`);
  }
  if (!isBytes(data)) {
    throw new ShapeError(
      "realismMask: data must be a Uint8Array or Uint8ClampedArray, one byte per pixel, got something else",
    );
  }
  if (data.length !== width * height) {
    throw new ShapeError(
      `realismMask: ${width}×${height} needs ${width * height} bytes, got ${data.length}. One byte per pixel, not RGBA`,
    );
  }
}

/** The same in memory that nobody else has. */
export const copyOfMask = (mask: RealismMask): RealismMask => ({
  ...mask,
  data: new Uint8Array(mask.data),
});

/** 0 or 1 where the mask is all 0 or all 255; else its means [latentHeight, latentWidth] in 0 … 1. */
export function latentMask(
  { data, width, height }: RealismMask,
  { picture, workWidth, workHeight }: Pick<Geometry, "picture" | "workWidth" | "workHeight">,
  factor: number,
): 0 | 1 | Float32Array<ArrayBuffer> {
  if (data.every((value) => value === 0)) return 0;
  if (data.every((value) => value === 255)) return 1;
  const columns = spans(width, picture.x, picture.width, workWidth, factor);
  const rows = spans(height, picture.y, picture.height, workHeight, factor);
  const across = new Float64Array(height * columns.length);
  for (let y = 0; y < height; y++) {
    columns.forEach((span, x) => {
      across[y * columns.length + x] = mean(span, (i) => data[y * width + i] as number);
    });
  }
  const means = new Float32Array(rows.length * columns.length);
  rows.forEach((span, y) => {
    for (let x = 0; x < columns.length; x++) {
      const value = mean(span, (i) => across[i * columns.length + x] as number);
      means[y * columns.length + x] = Math.min(1, value / 255);
    }
  });
  return means;
}

/** From where to where a latent pixel reaches along an axis, in pixels of the mask; never empty. */
interface Span {
  readonly from: number;
  readonly to: number;
}

function spans(
  maskSize: number,
  start: number,
  pictureSize: number,
  workSize: number,
  factor: number,
): Span[] {
  const perPixel = maskSize / pictureSize;
  return Array.from({ length: workSize / factor }, (_, i) => {
    const from = Math.max((i * factor - start) * perPixel, 0);
    const to = Math.min(((i + 1) * factor - start) * perPixel, maskSize);
    if (to <= 0) return { from: 0, to: 1 };
    return from >= maskSize ? { from: maskSize - 1, to: maskSize } : { from, to };
  });
}

function mean({ from, to }: Span, at: (index: number) => number): number {
  let sum = 0;
  for (let i = Math.floor(from); i < to; i++) {
    sum += (Math.min(i + 1, to) - Math.max(i, from)) * at(i);
  }
  return sum / (to - from);
}
