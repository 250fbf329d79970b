/**
 * Sizes on the way from a photo to its enlargement. Pure numbers.
 *
 * "reference" mode is the released program: small images are first enlarged so that their shorter side is
 * `minSide`, all are enlarged ×upscale, then *resized* (Lanczos) down to a multiple of `multiple`. The result
 * has that size, so a side of 129 gives 512 instead of 516; only small images are resized to the exact size.
 *
 * "exact" mode, the default, differs where the reference loses pixels or time: instead of the Lanczos resize the
 * image is padded on the right and below by repeating its edge pixels, and the padding is cropped off the
 * result. A side below `minSide` is padded likewise, on both ends, before all else, so that the work grows with the
 * pixels: enlarged, one column of 600 pixels would be 256 times as much. Output is exactly
 * upscale·width × upscale·height.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { AxisPart } from "../../kernels/image/resample-weights.ts";
import { wholeAxis } from "../../kernels/image/resample-weights.ts";
import type { PixelRectangle as Rectangle } from "../settings/options.ts";

export type { AxisPart };

export interface GeometryOptions {
  /** Integer ≥ 1; 4 for RCOD. */
  readonly upscale: number;
  /** Least side of what is enlarged: process size / upscale; 128 for the full model. */
  readonly minSide: number;
  /** Sides of the working image are multiples of this: 8, the VAE's factor. */
  readonly multiple: number;
  readonly mode: "exact" | "reference";
  /** Whether the enlarged picture may be larger than a device holds: who computes it in regions. Default false. */
  readonly isCut?: boolean;
}

/** An 8-bit Pillow resize to width × height. */
export interface ResizeStep {
  readonly kind: "resize";
  readonly filter: "bicubic" | "lanczos";
  readonly width: number;
  readonly height: number;
}

export type { Rectangle };

/** Keeps the pixels of a rectangle. */
export interface CropStep extends Rectangle {
  readonly kind: "crop";
}

/** Reduces by Pillow's Lanczos to a part of the result, the whole included; along an axis that keeps its size it cuts. */
export interface ReduceStep {
  readonly kind: "reduce";
  readonly across: AxisPart;
  readonly down: AxisPart;
}

export interface Geometry {
  /** First the source is padded to this size by its own edges, with its own pixels from (x, y) on. Null: it is not. */
  readonly padded: Rectangle | null;
  /** Resizes of the source in order; the result is the colour reference. Steps that change nothing are left out. */
  readonly prepare: readonly ResizeStep[];
  /** Size after `prepare`. */
  readonly sourceWidth: number;
  readonly sourceHeight: number;
  /** Where the picture is in that; all else are edges that the result does not have. */
  readonly picture: Rectangle;
  /** Size the networks see: equal, or larger by replicated edge pixels on the right and below. */
  readonly workWidth: number;
  readonly workHeight: number;
  /** Steps from the working image to the output, in order. One that reduces is the last, after all else that is done to the picture. */
  readonly finish: readonly (CropStep | ResizeStep | ReduceStep)[];
  readonly outWidth: number;
  readonly outHeight: number;
}

/** Longest side of a source or working image. */
export const MAX_SIDE = 100_000;
/** Most pixels of an image in one piece: 2 GiB as RGBA8. */
export const MAX_PIXELS = 2 ** 29;

/**
 * All sizes for a source of width × height pixels. Throws `ShapeError` for sizes that are no positive
 * integers or whose enlargement exceeds `MAX_SIDE` or `MAX_PIXELS`.
 */
export function outputGeometry(width: number, height: number, options: GeometryOptions): Geometry {
  const { upscale, minSide, multiple, mode, isCut = false } = options;
  checkSize("source side", Math.min(width, height), `${width}×${height}`);
  checkSize("source side", Math.max(width, height), `${width}×${height}`);
  for (const [name, value] of Object.entries({ upscale, minSide, multiple })) {
    checkSize(name, value, String(value));
  }
  const exact = mode === "exact";
  const outWidth = upscale * width;
  const outHeight = upscale * height;
  const most = isCut ? Infinity : MAX_PIXELS;
  checkWork(outWidth, outHeight, most, width, height);

  const prepare: ResizeStep[] = [];
  const isSmall = width < minSide || height < minSide;
  const padded = exact && isSmall ? paddedTo(width, height, minSide) : null;
  let w = padded?.width ?? width;
  let h = padded?.height ?? height;
  const resizeTo = (filter: ResizeStep["filter"], toWidth: number, toHeight: number) => {
    if (toWidth !== w || toHeight !== h) {
      prepare.push({ kind: "resize", filter, width: toWidth, height: toHeight });
    }
    w = toWidth;
    h = toHeight;
  };

  if (isSmall && !exact) {
    const k = minSide / Math.min(width, height);
    // The reference truncates, which makes 127 of a short side of 49, 98, 103 or 107.
    const [toWidth, toHeight] = [Math.trunc(k * width), Math.trunc(k * height)];
    resizeTo("bicubic", toWidth, toHeight);
  }
  checkWork(upscale * w, upscale * h, most, width, height);
  resizeTo("bicubic", upscale * w, upscale * h);

  let workWidth: number;
  let workHeight: number;
  const finish: (CropStep | ResizeStep)[] = [];
  if (exact) {
    workWidth = Math.ceil(w / multiple) * multiple;
    workHeight = Math.ceil(h / multiple) * multiple;
  } else {
    workWidth = w - (w % multiple);
    workHeight = h - (h % multiple);
    if (workWidth === 0 || workHeight === 0) {
      throw new ShapeError(
        `geometry: the enlarged image must have at least ${multiple} pixels a side, got ${w}×${h}`,
      );
    }
    resizeTo("lanczos", workWidth, workHeight);
  }
  const [x, y] = [upscale * (padded?.x ?? 0), upscale * (padded?.y ?? 0)];
  const picture = exact
    ? { x, y, width: outWidth, height: outHeight }
    : { x, y, width: w, height: h };
  if (exact && (workWidth !== outWidth || workHeight !== outHeight)) {
    finish.push({ kind: "crop", ...picture });
  }
  if (isSmall && !exact && (w !== outWidth || h !== outHeight)) {
    finish.push({ kind: "resize", filter: "bicubic", width: outWidth, height: outHeight });
  }
  const keepsWorkSize = !exact && !isSmall;
  return {
    padded,
    prepare,
    sourceWidth: w,
    sourceHeight: h,
    picture,
    workWidth,
    workHeight,
    finish,
    outWidth: keepsWorkSize ? w : outWidth,
    outHeight: keepsWorkSize ? h : outHeight,
  };
}

/** The same with a result of the size `target`, which is reduced to it. */
export function withResult(
  geometry: Geometry,
  target: Pick<Rectangle, "width" | "height"> | undefined,
): Geometry {
  const { outWidth, outHeight, finish } = geometry;
  const { width, height } = target ?? { width: outWidth, height: outHeight };
  if (width === outWidth && height === outHeight) return geometry;
  const [across, down] = [wholeAxis(outWidth, width), wholeAxis(outHeight, height)];
  const reduce = { kind: "reduce", across, down } as const;
  return { ...geometry, finish: [...finish, reduce], outWidth: width, outHeight: height };
}

/** A source in the middle of one whose sides are at least `least`. */
function paddedTo(width: number, height: number, least: number): Rectangle {
  const [to, down] = [Math.max(width, least), Math.max(height, least)];
  return {
    x: Math.floor((to - width) / 2),
    y: Math.floor((down - height) / 2),
    width: to,
    height: down,
  };
}

/**
 * RCOD_S's sizes for a source of width × height pixels: enlarged ×upscale by the caller, padded on the right and
 * below to a multiple of `multiple`, cropped again. No smallest size. Throws `ShapeError` as `outputGeometry`.
 */
export function paddedGeometry(
  width: number,
  height: number,
  options: Pick<GeometryOptions, "upscale" | "multiple" | "isCut">,
): Geometry {
  const exact = { ...options, minSide: 1, mode: "exact" } as const;
  return { ...outputGeometry(width, height, exact), prepare: [] };
}

function checkSize(what: string, value: number, given: string): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > MAX_SIDE) {
    throw new ShapeError(`geometry: ${what} must be an integer in 1 … ${MAX_SIDE}, got ${given}`);
  }
}

function checkWork(
  workWidth: number,
  workHeight: number,
  most: number,
  width: number,
  height: number,
): void {
  if (Math.max(workWidth, workHeight) > MAX_SIDE || workWidth * workHeight > most) {
    const pixels = most === Infinity ? "" : ` and ${most} pixels`;
    throw new ShapeError(
      `geometry: the enlarged image must have sides of at most ${MAX_SIDE}${pixels}, ` +
        `got ${workWidth}×${workHeight} (source ${width}×${height}). Cut the source into parts`,
    );
  }
}
