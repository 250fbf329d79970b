/** From the parts of a result, as they are finished, to its rows from the top to the bottom. */
import type { RawImage, ResultRegion } from "../../src/rcod/settings/options.ts";
import type { RowsShape } from "../image/strip-file.ts";

/** A part with its pixels. */
export type Piece = ResultRegion & { readonly data: NonNullable<ResultRegion["data"]> };

interface Row {
  readonly data: Uint8Array | Uint16Array;
  /** Columns that are there. */
  filled: number;
}

/** Keeps rows from the first that is not complete on: where parts come in rows, one row of regions. */
export class PieceRows {
  readonly #shape: RowsShape;
  /** Rows that have been given out. */
  #from = 0;
  #rows: Row[] = [];

  constructor(shape: RowsShape) {
    this.#shape = shape;
  }

  /** Takes a part, and gives the rows that are next and complete with it; undefined for none. */
  add({ x, y, width, height, data }: Piece): RawImage | undefined {
    const { channels, width: columns } = this.#shape;
    const isNext = x === 0 && width === columns && y === this.#from && this.#rows.length === 0;
    if (isNext) {
      this.#from += height;
      return { width, height, channels, data };
    }
    for (let row = 0; row < height; row++) {
      const to = this.#rowAt(y + row);
      to.data.set(
        data.subarray(row * width * channels, (row + 1) * width * channels),
        x * channels,
      );
      to.filled += width;
    }
    return this.#complete();
  }

  #rowAt(y: number): Row {
    const { width, channels, depth } = this.#shape;
    for (let i = this.#rows.length; i <= y - this.#from; i++) {
      const size = width * channels;
      this.#rows.push({
        data: depth === 16 ? new Uint16Array(size) : new Uint8Array(size),
        filled: 0,
      });
    }
    const row = this.#rows[y - this.#from];
    if (row === undefined) throw new Error("internal: a part of a result came twice");
    return row;
  }

  #complete(): RawImage | undefined {
    const { width, channels, depth } = this.#shape;
    const incomplete = this.#rows.findIndex(({ filled }) => filled < width);
    const height = incomplete < 0 ? this.#rows.length : incomplete;
    if (height === 0) return undefined;
    const size = width * channels;
    const data = depth === 16 ? new Uint16Array(height * size) : new Uint8Array(height * size);
    for (const [i, row] of this.#rows.splice(0, height).entries()) data.set(row.data, i * size);
    this.#from += height;
    return { width, height, channels, data };
  }
}
