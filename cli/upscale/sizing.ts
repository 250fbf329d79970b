/** How large results are: what the options ask for, for one picture, and in the names of files. */
import type { Size } from "../../src/rcod/images/result-size.ts";
import { callSizes } from "../../src/rcod/images/result-size.ts";
import type { UpscaleOptions } from "../../src/rcod/settings/options.ts";
import { usageError } from "../errors.ts";

export type { Size };

/** What the command's options say of sizes. */
export interface SizeOptions {
  readonly scale?: number;
  readonly width?: number;
  readonly height?: number;
  /** Of a box that the result stays in. */
  readonly fit?: Size;
  /** Results with more pixels are made smaller. */
  readonly maxMegapixels?: number;
  readonly reference?: boolean;
}

/** The size of one result, and how the engine is asked for it. */
export interface TargetSize {
  readonly result: Size;
  /** What the networks enlarge. */
  readonly input: Size;
  readonly asked: Pick<UpscaleOptions, "scale" | "size">;
  readonly notes: readonly string[];
}

/** The size for a picture. `upscale` is the model's. Throws `CliError` (exit code 2) for a size that there is not. */
export function targetSize(picture: Size, options: SizeOptions, upscale: number): TargetSize {
  const { maxMegapixels, reference = false } = options;
  const asked = askedOf(options);
  const sizes = sizesOf(picture, { ...asked, reference }, upscale);
  const { result } = sizes;
  const most = Math.floor((maxMegapixels ?? Infinity) * 1e6);
  if (result.width * result.height <= most) return { ...sizes, asked, notes: [] };
  const size = { ...within(result, most), fit: "fill" } as const;
  const from = `${result.width} × ${result.height}`;
  return {
    ...sizesOf(picture, { size, reference }, upscale),
    asked: { size },
    notes: [
      `made ${size.width} × ${size.height} instead of ${from} to stay within ${maxMegapixels} megapixels`,
    ],
  };
}

function sizesOf(
  picture: Size,
  asked: Pick<UpscaleOptions, "scale" | "size" | "reference">,
  upscale: number,
): Pick<TargetSize, "result" | "input"> {
  try {
    return callSizes(picture, asked, upscale);
  } catch (error) {
    throw error instanceof RangeError ? usageError(error.message) : error;
  }
}

function askedOf({ scale, width, height, fit }: SizeOptions): TargetSize["asked"] {
  if (scale !== undefined) return { scale };
  const size = fit ?? {
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
  };
  return Object.keys(size).length === 0 ? {} : { size };
}

/** The largest size of about the same shape with at most so many pixels. */
function within({ width, height }: Size, most: number): Size {
  const factor = Math.sqrt(most / (width * height));
  const side = (length: number): number => Math.min(most, Math.max(1, Math.floor(length * factor)));
  return { width: side(width), height: side(height) };
}

/** Between the name and the extension of results that get no name from the user: what was asked for. */
export function resultSuffix(options: SizeOptions): string {
  const { scale, maxMegapixels } = options;
  const { width, height } = options.fit ?? options;
  const most = maxMegapixels === undefined ? "" : `-max${maxMegapixels}mp`;
  if (width !== undefined && height !== undefined) return `-${width}x${height}${most}`;
  if (width !== undefined) return `-w${width}${most}`;
  if (height !== undefined) return `-h${height}${most}`;
  return scale === undefined && most !== "" ? most : `-x${scale ?? 4}${most}`;
}

const SUFFIX = /^(.+?)(?:-(?:x\d+(?:\.\d+)?|\d+x\d+|[wh]\d+))?(?:-max\d+(?:\.\d+)?mp)?$/s;

/** The name of the picture whose result has this name, without extensions; undefined for no name of a result. */
export function sourceOfResult(stem: string): string | undefined {
  const source = SUFFIX.exec(stem)?.[1];
  return source === stem ? undefined : source;
}
