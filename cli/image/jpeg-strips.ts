/** JPEG in strips: each is encoded as a file of its own, and their scans are joined by restart markers. */
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { StripFormat } from "./strip-file.ts";

/** Pixels of a block, across and down, without subsampling. */
const BLOCK = 8;
/** Blocks between two restart markers, as two bytes can say. */
const MOST_BLOCKS = 65_535;
/** Of a strip's pixels, about: larger ones take longer and more memory. */
const STRIP_PIXELS = 1 << 18;

const MARKER = { app0: 0xe0, app15: 0xef, frame: 0xc0, scan: 0xda, end: 0xd9 } as const;

/**
 * The format for pictures of one size. `encode` makes a baseline JPEG of a strip, without subsampling and with the same tables
 * every time; `head` is the beginning of the file, with all that it says beside the pixels.
 */
export function jpegStrips(
  { width, height }: Pick<RawImage, "width" | "height">,
  head: Uint8Array,
  encode: StripFormat["encode"],
): StripFormat {
  const across = Math.ceil(width / BLOCK);
  const wanted = Math.max(1, Math.floor(STRIP_PIXELS / (width * BLOCK)));
  const blockRows = Math.min(wanted, Math.floor(MOST_BLOCKS / across));
  let tables: Buffer | undefined;
  let strips = 0;
  return {
    stripRows: blockRows * BLOCK,
    encode,
    place(encoded) {
      const strip = partsOf(encoded, height);
      if (tables !== undefined && !tables.equals(strip.tables)) {
        throw new Error("internal: strips of a JPEG have different tables");
      }
      const isFirst = tables === undefined;
      tables ??= strip.tables;
      const restart = Buffer.from([0xff, 0xd0 + ((strips++ + 7) % 8)]);
      if (!isFirst) return [restart, strip.data];
      return [head, tables, restartInterval(across * blockRows), strip.scan, strip.data];
    },
    end: () => ({ tail: Buffer.from([0xff, MARKER.end]) }),
  };
}

/** Blocks between two markers. */
function restartInterval(blocks: number): Buffer {
  const segment = Buffer.from([0xff, 0xdd, 0, 4, 0, 0]);
  segment.writeUInt16BE(blocks, 4);
  return segment;
}

interface Parts {
  /** All segments in front of the scan but those of applications, for a picture of `height` rows. */
  readonly tables: Buffer;
  readonly scan: Buffer;
  /** The scan's data, to a whole byte. */
  readonly data: Buffer;
}

function partsOf(jpeg: Buffer, height: number): Parts {
  const tables: Buffer[] = [];
  for (let at = 2; at + 4 <= jpeg.length;) {
    const marker = jpeg[at + 1] as number;
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    const segment = jpeg.subarray(at, end);
    at = end;
    if (marker === MARKER.scan) {
      const data = jpeg.subarray(end, jpeg.length - 2); // behind it the end of the file
      return { tables: Buffer.concat(tables), scan: segment, data };
    }
    if (marker >= MARKER.app0 && marker <= MARKER.app15) continue;
    if (marker === MARKER.frame) segment.writeUInt16BE(height, 5);
    tables.push(segment);
  }
  throw new Error("internal: the encoder wrote a JPEG without a scan");
}
