/**
 * Pictures that are reduced on the host before networks see them: to the size of a smaller result, and to halves that lose
 * nothing. By Lanczos, band by band, in floats; colours count by their alpha. Of a reader comes a reader, of pixels pixels.
 *
 * Halving loses nothing where the half, enlarged again by Lanczos, differs from the picture by less than `MOST_RMS` in every square
 * of `SQUARE`² pixels, and nowhere by `MOST_DIFFERENCE`. Measured on eight photographs of scikit-image: what is blurred by a Gaussian of 2 pixels
 * stays below 1.2, saved as JPEG at quality 75 below 1.9; of those as they are the least is 3.4, at a pixel's blur most are
 * above 2.6. Means over larger squares would lose thin lines, and a limit of 1 refuses all blurred pictures that were JPEG once.
 */
import { floatTable, inputsOf } from "../../kernels/image/resample-weights.ts";
import type { AxisPart } from "../../kernels/image/resample-weights.ts";
import { readRectangle } from "../images/image-reader.ts";
import type { Samples } from "../images/raw-image.ts";
import { depthOf, endsInAlpha } from "../images/raw-image.ts";
import type { Size } from "../images/result-size.ts";
import { halfOf } from "../images/result-size.ts";
import { isReader } from "../images/source-image.ts";
import type { ImageReader, PixelRectangle, RawImage } from "../settings/options.ts";
import type { FloatMap } from "./float-map.ts";
import { reduceTable, resampleAcross, resampleDown } from "./float-map.ts";

/** Pixels on the host, or what reads them. */
export type HostPicture = RawImage | ImageReader;

const SQUARE = 16;
/** In levels of 255. */
const MOST_RMS = 2;
const MOST_DIFFERENCE = 16;

/** Pixels that are worked on at once, about. */
const BAND_PIXELS = 2 ** 19;

/** A picture, reduced to `size`. */
export async function reducedPicture(
  picture: HostPicture,
  size: Size,
  signal?: AbortSignal,
): Promise<HostPicture> {
  const reduced = reducedReader(readerOf(picture), size);
  return isReader(picture) ? reduced : keptRows(reduced).whole(signal);
}

/** A picture with half of the sides, rounded up; null where that would lose something. */
export async function halvedPicture(
  picture: HostPicture,
  signal?: AbortSignal,
): Promise<HostPicture | null> {
  const reader = readerOf(picture);
  const half = reducedReader(reader, halfOf(picture));
  if (isReader(picture)) return (await isEnough(half, reader, signal)) ? half : null;
  const kept = keptRows(half);
  return (await isEnough(kept.reader, reader, signal)) ? kept.whole(signal) : null;
}

/** Reads whole rows of pixels, without a copy. */
function readerOf(picture: HostPicture): ImageReader {
  if (isReader(picture)) return picture;
  const { data, ...form } = picture;
  const rowLength = form.width * form.channels;
  return {
    ...form,
    depth: depthOf(picture),
    read: ({ y, height }) => ({
      ...form,
      height,
      data: data.subarray(y * rowLength, (y + height) * rowLength),
    }),
  };
}

function reducedReader(reader: ImageReader, { width, height }: Size): ImageReader {
  return {
    ...reader,
    width,
    height,
    async read(rectangle, signal) {
      const across = partOf(reader.width, width, rectangle.x, rectangle.width);
      const down = partOf(reader.height, height, rectangle.y, rectangle.height);
      const table = reduceTable(across.part, across.size);
      const rowLength = rectangle.width * reader.channels;
      const wide = new Float32Array(rowLength * down.size);
      const columns = { x: across.part.inFrom, width: across.size };
      const range = [0, reader.depth === 16 ? 65_535 : 255] as const;
      for (const [y, rows] of bands(down.part.inFrom, down.size, across.size)) {
        const band = await readRectangle(reader, { ...columns, y, height: rows }, signal);
        const reduced = resampleAcross(levelsOf(band), table, range);
        wide.set(reduced.data, (y - down.part.inFrom) * rowLength);
      }
      const { channels } = reader;
      const map = { width: rectangle.width, height: down.size, channels, data: wide };
      return imageOf(resampleDown(map, reduceTable(down.part, down.size), range), reader);
    },
  };
}

/** A part of an axis with the inputs that it reads, and how many these are. */
function partOf(
  wholeIn: number,
  wholeOut: number,
  outFrom: number,
  outSize: number,
): { readonly part: AxisPart; readonly size: number } {
  const { start, end } = inputsOf({ wholeIn, wholeOut, outFrom, outSize }, "lanczos");
  return { part: { wholeIn, wholeOut, inFrom: start, outFrom, outSize }, size: end - start };
}

/** Rows in bands of whole squares. */
function* bands(from: number, count: number, width: number): Generator<[y: number, rows: number]> {
  const most = Math.max(1, Math.floor(BAND_PIXELS / width / SQUARE)) * SQUARE;
  for (let y = 0; y < count; y += most) yield [from + y, Math.min(most, count - y)];
}

/** A reader that reads the rows of another once, from the top as far as they are asked for, and has them in the end. */
function keptRows(reader: ImageReader): {
  readonly reader: ImageReader;
  whole(signal?: AbortSignal): Promise<RawImage>;
} {
  const { width, height, channels, depth, colorSpace } = reader;
  const rowLength = width * channels;
  const data = samplesOf(depth, rowLength * height);
  const form = { width, channels, ...(colorSpace && { colorSpace }) };
  let known = 0;
  const read = async (
    { y, height: rows }: Pick<PixelRectangle, "y" | "height">,
    signal?: AbortSignal,
  ): Promise<RawImage> => {
    for (const [top, count] of bands(known, y + rows - known, width)) {
      const band = await reader.read({ x: 0, y: top, width, height: count }, signal);
      data.set(band.data, top * rowLength);
      known = top + count;
      await untilNextTask(signal);
    }
    return { ...form, height: rows, data: data.subarray(y * rowLength, (y + rows) * rowLength) };
  };
  return {
    reader: { ...reader, read },
    whole: (signal) => read({ y: 0, height }, signal),
  };
}

/** Lets others have their turn, such as whoever aborts. */
async function untilNextTask(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
  signal?.throwIfAborted();
}

/** Whether `half`, enlarged again, is `reader`. */
async function isEnough(
  half: ImageReader,
  reader: ImageReader,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { width, height } = reader;
  const most = reader.depth === 16 ? 65_535 : 255;
  const across = floatTable(half.width, width, "lanczos");
  for (const [y, rows] of bands(0, height, width)) {
    const band = await readRectangle(reader, { x: 0, y, width, height: rows }, signal);
    const { part, size } = partOf(half.height, height, y, rows);
    const lines = { x: 0, y: part.inFrom, width: half.width, height: size };
    const small = await half.read(lines, signal);
    const wide = resampleAcross(levelsOf(small), across, [0, most]);
    const again = resampleDown(wide, reduceTable(part, size), [0, most]);
    if (differs(levelsOf(band), again, most / 255)) return false;
    await untilNextTask(signal);
  }
  return true;
}

function differs(
  { width, height, channels, data }: FloatMap,
  { data: again }: FloatMap,
  level: number,
): boolean {
  const rowLength = width * channels;
  const squareLength = SQUARE * channels;
  for (let top = 0; top < height; top += SQUARE) {
    const bottom = Math.min(top + SQUARE, height);
    for (let left = 0; left < rowLength; left += squareLength) {
      const right = Math.min(left + squareLength, rowLength);
      let squares = 0;
      let largest = 0;
      for (let y = top; y < bottom; y++) {
        for (let i = y * rowLength + left; i < y * rowLength + right; i++) {
          const difference = Math.abs((data[i] as number) - (again[i] as number));
          squares += difference * difference;
          if (difference > largest) largest = difference;
        }
      }
      const mean = squares / ((bottom - top) * (right - left));
      if (mean >= (MOST_RMS * level) ** 2 || largest >= MOST_DIFFERENCE * level) return true;
    }
  }
  return false;
}

/** Levels as floats, colours multiplied by alpha. */
function levelsOf(image: RawImage): FloatMap {
  const { width, height, channels } = image;
  const data = new Float32Array(image.data);
  if (endsInAlpha(image)) {
    const most = depthOf(image) === 16 ? 65_535 : 255;
    eachColor(data, channels, (color, alpha) => (color * alpha) / most);
  }
  return { width, height, channels, data };
}

/** The way back, rounded; `map` is changed on it. */
function imageOf(
  { width, height, channels, data }: FloatMap,
  { depth, colorSpace }: Pick<ImageReader, "depth" | "colorSpace">,
): RawImage {
  const most = depth === 16 ? 65_535 : 255;
  if (endsInAlpha({ channels: channels as RawImage["channels"] })) {
    eachColor(data, channels, (color, alpha) => Math.min((color / (alpha || 1)) * most, most));
  }
  const out = samplesOf(depth, data.length);
  for (let i = 0; i < out.length; i++) out[i] = (data[i] as number) + 0.5;
  const form = { channels: channels as RawImage["channels"], ...(colorSpace && { colorSpace }) };
  return { width, height, ...form, data: out };
}

const samplesOf = (depth: 8 | 16, length: number): Samples =>
  depth === 16 ? new Uint16Array(length) : new Uint8Array(length);

/** Changes colours by their alpha, in place. */
function eachColor(
  data: Float32Array,
  channels: number,
  change: (color: number, alpha: number) => number,
): void {
  for (let at = 0; at < data.length; at += channels) {
    const alpha = data[at + channels - 1] as number;
    for (let c = at; c < at + channels - 1; c++) data[c] = change(data[c] as number, alpha);
  }
}
