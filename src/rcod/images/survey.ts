/** What regions must know of the whole picture, from one pass over its rows. */
import type { ImageReader, RawImage } from "../settings/options.ts";
import { readRectangle } from "./image-reader.ts";
import { colorChannels, endsInAlpha, highestLevel } from "./raw-image.ts";

/** Rows that are read at once. */
const BAND_ROWS = 256;

export interface Survey {
  /** The picture with 8 bits, its sides divided by the least integer that makes them at most as long as asked for. */
  readonly preview: RawImage;
  /** Whether at least half of its pixels lie in areas of one colour: see `keepFlat`. */
  readonly isFlat: boolean;
}

/** Reads the picture once, from the top to the bottom. */
export async function surveyPicture(
  reader: ImageReader,
  previewSide: number,
  signal: AbortSignal | undefined,
): Promise<Survey> {
  const { width, height } = reader;
  const means = new AreaMeans(reader, Math.ceil(Math.max(width, height) / previewSide));
  const flat = new FlatCount(reader);
  for (let y = 0; y < height; y += BAND_ROWS) {
    signal?.throwIfAborted();
    const rows = Math.min(BAND_ROWS, height - y);
    const band = await readRectangle(reader, { x: 0, y, width, height: rows }, signal);
    const rowLength = width * band.channels;
    for (let row = 0; row < rows; row++) {
      const pixels = band.data.subarray(row * rowLength, (row + 1) * rowLength);
      means.add(pixels, y + row, highestLevel(band) / 255);
      flat.add(pixels);
    }
  }
  return { preview: means.image(), isFlat: flat.isMostlyFlat() };
}

/** Means over squares. What alpha 0 hides does not count where there is something else. */
class AreaMeans {
  readonly #reader: ImageReader;
  readonly #factor: number;
  readonly #width: number;
  readonly #height: number;
  readonly #sums: Float64Array;
  /** Of visible pixels, and of all. */
  readonly #counts: readonly [visible: Float64Array, all: Float64Array];

  constructor(reader: ImageReader, factor: number) {
    this.#reader = reader;
    this.#factor = factor;
    this.#width = Math.ceil(reader.width / factor);
    this.#height = Math.ceil(reader.height / factor);
    const cells = this.#width * this.#height;
    this.#sums = new Float64Array(cells * reader.channels);
    this.#counts = [new Float64Array(cells), new Float64Array(cells)];
  }

  /** A row of levels, which are divided by `unit`. */
  add(row: RawImage["data"], y: number, unit: number): void {
    const { width, channels } = this.#reader;
    const alphaAt = endsInAlpha(this.#reader) ? channels - 1 : -1;
    const [visible, all] = this.#counts;
    const first = Math.floor(y / this.#factor) * this.#width;
    for (let x = 0; x < width; x++) {
      const cell = first + Math.floor(x / this.#factor);
      const isHidden = alphaAt >= 0 && row[x * channels + alphaAt] === 0;
      all[cell] = (all[cell] as number) + 1;
      if (!isHidden) visible[cell] = (visible[cell] as number) + 1;
      for (let c = 0; c < channels; c++) {
        if (isHidden && c !== alphaAt) continue;
        const at = cell * channels + c;
        this.#sums[at] = (this.#sums[at] as number) + (row[x * channels + c] as number) / unit;
      }
    }
  }

  image(): RawImage {
    const { channels } = this.#reader;
    const alphaAt = endsInAlpha(this.#reader) ? channels - 1 : -1;
    const [visible, all] = this.#counts;
    const data = Uint8Array.from(this.#sums, (sum, i) => {
      const counts = i % channels === alphaAt ? all : visible;
      return Math.round(sum / Math.max(1, counts[Math.floor(i / channels)] as number));
    });
    return { width: this.#width, height: this.#height, channels, data };
  }
}

/** Counts the pixels whose 3 × 3 neighbours have their colour, row by row. */
class FlatCount {
  readonly #width: number;
  readonly #channels: number;
  readonly #colors: number;
  #rows = 0;
  #flat = 0;
  #last: RawImage["data"] | undefined;
  /** Of the last two rows: whether a pixel and those beside it have one colour, and whether it has that of the one above. */
  #level: Uint8Array;
  #levelBefore: Uint8Array;
  #asAbove: Uint8Array;

  constructor({ width, channels }: ImageReader) {
    this.#width = width;
    this.#channels = channels;
    this.#colors = colorChannels({ channels });
    [this.#level, this.#levelBefore, this.#asAbove] = [1, 2, 3].map(() =>
      new Uint8Array(width).fill(1),
    ) as [Uint8Array, Uint8Array, Uint8Array];
  }

  add(row: RawImage["data"]): void {
    const width = this.#width;
    const above = this.#last ?? row;
    const level = new Uint8Array(width);
    const asAbove = new Uint8Array(width);
    let before = true;
    for (let x = 0; x < width; x++) {
      const next = x + 1 === width || this.#isSame(row, x, row, x + 1);
      level[x] = before && next ? 1 : 0;
      before = next;
      asAbove[x] = this.#isSame(row, x, above, x) ? 1 : 0;
    }
    if (this.#rows > 0) this.#count(level, asAbove);
    [this.#levelBefore, this.#level, this.#asAbove] = [this.#level, level, asAbove];
    this.#last = row;
    this.#rows++;
  }

  isMostlyFlat(): boolean {
    this.#count(this.#level, new Uint8Array(this.#width).fill(1)); // the row below repeats the last
    return 2 * this.#flat >= this.#width * this.#rows;
  }

  /** Counts the last row, now that the one below it is known. */
  #count(below: Uint8Array, belowAsAbove: Uint8Array): void {
    for (let x = 0; x < this.#width; x++) {
      const isFlat = this.#levelBefore[x] && this.#level[x] && below[x];
      if (isFlat && this.#asAbove[x] && belowAsAbove[x]) this.#flat++;
    }
  }

  #isSame(a: RawImage["data"], x: number, b: RawImage["data"], other: number): boolean {
    const [from, to] = [x * this.#channels, other * this.#channels];
    for (let c = 0; c < this.#colors; c++) if (a[from + c] !== b[to + c]) return false;
    return true;
  }
}
