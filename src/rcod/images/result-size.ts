/** How large a result is, and what the networks get for it. Pure numbers. */
import type { ResultSize, UpscaleOptions } from "../settings/options.ts";

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Sizes of a call, before anything of them is padded. */
export interface CallSizes {
  readonly result: Size;
  /** What the networks enlarge ×`upscale`: the picture, or where the result is smaller, the picture as small as that. */
  readonly input: Size;
}

/**
 * The sizes for a picture of this size. Sides are rounded to the nearest integer, halves up, and have at least one pixel. Throws
 * `RangeError` for a result that there is not.
 */
export function callSizes(
  picture: Size,
  options: Pick<UpscaleOptions, "scale" | "size" | "reference">,
  upscale: number,
): CallSizes {
  const result = resultSize(picture, options, upscale);
  const input = {
    width: Math.min(picture.width, result.width),
    height: Math.min(picture.height, result.height),
  };
  return { result, input };
}

/** The size of half a picture. */
export const halfOf = ({ width, height }: Size): Size => ({
  width: Math.ceil(width / 2),
  height: Math.ceil(height / 2),
});

function resultSize(
  picture: Size,
  { scale, size, reference = false }: Pick<UpscaleOptions, "scale" | "size" | "reference">,
  upscale: number,
): Size {
  if (scale !== undefined && size !== undefined) {
    throw new RangeError("scale: not together with size, got both. Leave one of them away");
  }
  if (reference && (size !== undefined || (scale ?? upscale) !== upscale)) {
    throw new RangeError(
      `reference: reproduces the released program, which enlarges ×${upscale} and no other way, ` +
        `got ${size === undefined ? `scale ${scale}` : "size"}. Leave reference away`,
    );
  }
  if (size !== undefined) return sizeAsked(picture, size, upscale);
  const factor = scale ?? upscale;
  if (!(factor >= 1 && factor <= upscale)) {
    throw new RangeError(
      `scale: must be a number in 1 … ${upscale}, got ${factor}. Ask for less by size; enlarge the result further by other means`,
    );
  }
  return scaled(picture, factor);
}

function sizeAsked(picture: Size, { width, height, fit = "inside" }: ResultSize, upscale: number) {
  const result = fitted(picture, width, height, fit);
  const [most, down] = [upscale * picture.width, upscale * picture.height];
  if (result.width <= most && result.height <= down) return result;
  throw new RangeError(
    `size: must be at most ${upscale} times the picture, ${most}×${down} for ${picture.width}×${picture.height}, ` +
      `got ${result.width}×${result.height}. Enlarge the result further by other means`,
  );
}

function fitted(
  picture: Size,
  width: number | undefined,
  height: number | undefined,
  fit: NonNullable<ResultSize["fit"]>,
): Size {
  if (width === undefined && height === undefined) {
    throw new RangeError("size: needs width or height, got neither. Name one or both");
  }
  const [across, down] = [
    (width ?? Infinity) / picture.width,
    (height ?? Infinity) / picture.height,
  ];
  if (width === undefined) return { ...scaled(picture, down), height: height as number };
  if (height === undefined) return { ...scaled(picture, across), width };
  if (fit === "fill") return { width, height };
  const isByWidth = fit === "inside" ? across <= down : across >= down;
  return isByWidth ? { ...scaled(picture, across), width } : { ...scaled(picture, down), height };
}

function scaled({ width, height }: Size, factor: number): Size {
  const side = (length: number): number => Math.max(1, Math.round(length * factor));
  return { width: side(width), height: side(height) };
}
