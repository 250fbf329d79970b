/** Files that are written in strips of rows while the picture is computed: a few strips are in memory, never the picture. */
import type { FileHandle } from "node:fs/promises";
import type { RawImage } from "../../src/rcod/settings/options.ts";

/** What rows of a picture have in common. */
export interface RowsShape extends Omit<RawImage, "data"> {
  readonly depth: 8 | 16;
}

/** A format as strips. `encode` is called in the order of the strips; several may be under way. */
export interface StripFormat {
  /** Rows of every strip but the last, which may have fewer. */
  readonly stripRows: number;
  /** The strip as the file has it, but for what depends on where it stands. May keep the pixels until it resolves. */
  encode(strip: RawImage): Promise<Buffer>;
  /** What goes to the file for the next strip, which begins `at` bytes behind the file's beginning. */
  place(encoded: Buffer, at: number): readonly Uint8Array[];
  /** What follows the last strip, and bytes to be put over those at `patchAt`. */
  end(at: number): {
    readonly tail: Uint8Array;
    readonly patch?: Uint8Array;
    readonly patchAt?: number;
  };
}

/** Strips that are encoded at once: as many as Node has threads for it. */
const MOST_PENDING = 4;

/** Writes rows from the top to the bottom. Throws what the file system and the format throw. */
export class StripWriter {
  readonly #file: FileHandle;
  readonly #format: StripFormat;
  readonly #shape: RowsShape;
  readonly #pending: Promise<Buffer>[] = [];
  #strip: Uint8Array | Uint16Array | undefined;
  #stripRows = 0;
  /** Rows that have come in. */
  #rows = 0;
  #bytes = 0;

  /** `file` is empty, and stays the caller's. */
  constructor(file: FileHandle, format: StripFormat, shape: RowsShape) {
    this.#file = file;
    this.#format = format;
    this.#shape = shape;
  }

  /** Takes the next rows, in whole width; they are copied. */
  async write({ height, data }: RawImage): Promise<void> {
    const { width, channels } = this.#shape;
    const rowSize = width * channels;
    for (let row = 0; row < height;) {
      const left = this.#shape.height - this.#rows;
      if (left === 0) throw new Error("internal: more rows than the picture has");
      const wanted = Math.min(this.#format.stripRows, left + this.#stripRows);
      this.#strip ??= this.#values(wanted * rowSize);
      const count = Math.min(height - row, wanted - this.#stripRows);
      this.#strip.set(
        data.subarray(row * rowSize, (row + count) * rowSize),
        this.#stripRows * rowSize,
      );
      this.#stripRows += count;
      this.#rows += count;
      row += count;
      if (this.#stripRows === wanted) await this.#close(this.#strip);
    }
  }

  /** Writes what is left, once all rows have come in. */
  async end(): Promise<void> {
    if (this.#rows !== this.#shape.height) {
      throw new Error(`internal: ${this.#rows} of ${this.#shape.height} rows came in`);
    }
    while (this.#pending.length > 0) await this.#placeOldest();
    const { tail, patch, patchAt = 0 } = this.#format.end(this.#bytes);
    await this.#append(tail);
    if (patch) await this.#file.write(patch, 0, patch.length, patchAt);
  }

  #values(size: number): Uint8Array | Uint16Array {
    return this.#shape.depth === 16 ? new Uint16Array(size) : new Uint8Array(size);
  }

  async #close(data: Uint8Array | Uint16Array): Promise<void> {
    const { width, channels } = this.#shape;
    const encoding = this.#format.encode({ width, height: this.#stripRows, channels, data });
    encoding.catch(() => undefined); // told when its turn comes
    this.#pending.push(encoding);
    this.#strip = undefined;
    this.#stripRows = 0;
    if (this.#pending.length === MOST_PENDING) await this.#placeOldest();
  }

  async #placeOldest(): Promise<void> {
    const encoded = await this.#pending.shift();
    if (encoded === undefined) return;
    for (const part of this.#format.place(encoded, this.#bytes)) await this.#append(part);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await this.#file.appendFile(bytes);
    this.#bytes += bytes.byteLength;
  }
}
