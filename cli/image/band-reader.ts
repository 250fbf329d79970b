/** Large files as pictures that are read band by band: the pixels of one band are in memory, never all. */
import { samplesIn } from "../../src/rcod/images/raw-image.ts";
import type { ImageReader, PixelRectangle, RawImage } from "../../src/rcod/settings/options.ts";
import type { Picture } from "./decode.ts";
import { decodePixels, describeImage } from "./decode.ts";
import type { ImageHeader } from "./header.ts";
import type { ProfileMode } from "./profile.ts";

/** Of a band, about: neighbouring rows are wanted next, and every band costs decoding from the top. */
const BAND_BYTES = 1 << 26;

/** A file that is read where it is needed, and all else that it says. */
export interface LargePicture extends Omit<Picture, "frames" | "timing"> {
  readonly reader: ImageReader;
}

/**
 * Opens a file of one frame for reading in bands of about `bandBytes`; its own bytes stay in memory. All of it is decoded once, so that what is
 * damaged is refused now. Throws `CliError` (exit code 2); messages do not name the file.
 */
export async function openLargeImage(
  bytes: Uint8Array,
  header: ImageHeader,
  profile: ProfileMode,
  bandBytes = BAND_BYTES,
): Promise<LargePicture> {
  const { plan, ...said } = await describeImage(bytes, header, profile, 1);
  const decode = (part: PixelRectangle): Promise<RawImage> =>
    decodePixels(bytes, header, plan, 1, part);
  const { width, height } = header;
  const { channels } = await decode({ x: 0, y: 0, width: 1, height });
  const rowBytes = (width * channels * header.depth) / 8;
  const bands = new Bands(height, Math.max(1, Math.floor(bandBytes / rowBytes)), (y, rows) =>
    decode({ x: 0, y, width, height: rows }),
  );
  const reader: ImageReader = {
    width,
    height,
    channels,
    depth: header.depth,
    async read(part, signal) {
      signal?.throwIfAborted();
      const { from, image } = await bands.with(part);
      signal?.throwIfAborted();
      const data = samplesIn(image, { ...part, y: part.y - from });
      return { width: part.width, height: part.height, channels, data };
    },
  };
  return { reader, ...said };
}

interface Band {
  readonly from: number;
  readonly to: number;
  readonly pixels: Promise<RawImage>;
}

/** The band that was read last. */
class Bands {
  readonly #height: number;
  readonly #rows: number;
  readonly #decode: (from: number, rows: number) => Promise<RawImage>;
  #band: Band | undefined;

  constructor(
    height: number,
    rows: number,
    decode: (from: number, rows: number) => Promise<RawImage>,
  ) {
    this.#height = height;
    this.#rows = rows;
    this.#decode = decode;
  }

  /** A band that holds all rows of `part`. */
  async with({
    y,
    height,
  }: PixelRectangle): Promise<{ readonly from: number; readonly image: RawImage }> {
    let band = this.#band;
    if (band === undefined || y < band.from || y + height > band.to) {
      // The old one is let go of before the new one is there.
      const before = this.#band?.pixels.then(nothing, nothing);
      const to = Math.min(this.#height, y + Math.max(height, this.#rows));
      band = { from: y, to, pixels: (async () => (await before, this.#decode(y, to - y)))() };
      this.#band = band;
    }
    return { from: band.from, image: await band.pixels };
  }
}

const nothing = (): undefined => undefined;
