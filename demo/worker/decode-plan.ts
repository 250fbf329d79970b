/** What of a file is decoded: all of it, a smaller copy where memory is short, or nothing. Told from its head. */
import { imageDimensionsFromData } from "image-dimensions";
import type { ImageCut, PictureSource, Size } from "../protocol.ts";
import type { DecodedBitmap } from "./decode-image.ts";
import { decodeBitmap, decodePixels } from "./decode-image.ts";

/** How a file is decoded. */
interface DecodingPlan {
  /** With the type that its head tells, where the system told none. */
  readonly blob: Blob;
  readonly cut: ImageCut | null;
  /** Null where the head does not tell. */
  readonly file: Size | null;
}

/** Pixels that Chromium decodes at most. */
const MOST_PIXELS = 2 ** 29 - 1;
/** Of a pixel of a bitmap. */
const BITMAP_BYTES = 4;
/** Of an open picture: its pixels, their texture, and the bitmap that they are read from. */
const OPEN_BYTES = 12;
/** Shares of the device's memory that a bitmap and an open picture may take. */
const BITMAP_SHARE = 1 / 2;
const OPEN_SHARE = 1 / 4;
/** Where a browser does not tell. */
const MEMORY_GB = 4;
const PROBE_SIDE = 64;
/** Of a file: what lies before the size, colour profiles and thumbnails too, is rarely longer. */
const HEAD_BYTES = 2 ** 20;

/** @throws RangeError for a picture that no bitmap here holds */
async function planDecoding(blob: Blob, cut: ImageCut | null): Promise<DecodingPlan> {
  const head = await headOf(blob);
  if (!head) return { blob, cut, file: null };
  const { type, ...file } = head;
  const { deviceMemory = MEMORY_GB } = navigator as { readonly deviceMemory?: number };
  const typed = blob.type === "" ? blob.slice(0, blob.size, `image/${type}`) : blob;
  const fitting = fittingCut(file, cut, deviceMemory);
  if (fitting === cut || cut) return { blob: typed, cut: fitting, file };
  const turned = await upright(typed, file);
  return { blob: typed, cut: fittingCut(turned, cut, deviceMemory), file: turned };
}

/** The cut that fits into memory: as it was asked for, or made smaller. */
export function fittingCut(file: Size, cut: ImageCut | null, memoryGb: number): ImageCut | null {
  const memory = memoryGb * 2 ** 30;
  const decodable = Math.min(MOST_PIXELS, Math.floor((memory * BITMAP_SHARE) / BITMAP_BYTES));
  if (file.width * file.height > decodable) {
    throw new RangeError(
      `image: ${file.width}×${file.height} pixels are more than this browser decodes, at most ${decodable} here. ` +
        "Make the file smaller with another program",
    );
  }
  const { width, height } = cut ?? file;
  const { maxSide = Infinity } = cut ?? {};
  const shrink = Math.min(1, maxSide / Math.max(width, height));
  const most = (memory * OPEN_SHARE) / OPEN_BYTES;
  if (width * height * shrink ** 2 <= most) return cut;
  const side = Math.floor(Math.max(width, height) * Math.sqrt(most / (width * height)));
  return { x: 0, y: 0, width, height, ...cut, maxSide: side };
}

/** Decodes a file, or a part of it, as far as memory allows; a sentence says where it had to be made smaller. */
export async function decodeFile(
  source: Pick<PictureSource, "blob" | "cut">,
): Promise<DecodedBitmap & Pick<DecodingPlan, "file">> {
  const { blob, cut, file } = await planDecoding(source.blob, source.cut);
  const { bitmap, notes } = await decodeBitmap(blob, cut ?? undefined);
  const { width, height } = bitmap;
  const isReduced = cut && Math.max(width, height) < Math.max(cut.width, cut.height);
  const note = isReduced
    ? [`A smaller copy: ${width} × ${height} of ${cut.width} × ${cut.height} pixels.`]
    : [];
  // Without a cut the picture itself tells how it stands.
  return { bitmap, file: cut || !file ? file : { width, height }, notes: [...note, ...notes] };
}

/** The same as pixels, of a file that nobody looks at meanwhile. */
export async function decodeFilePixels(
  source: Pick<PictureSource, "blob" | "cut">,
): Promise<ImageData> {
  const { blob, cut } = await planDecoding(source.blob, source.cut);
  return decodePixels(blob, cut ?? undefined);
}

/** Heads tell the size as stored; EXIF may turn a picture by a quarter, which a small copy of it shows. */
async function upright(blob: Blob, { width, height }: Size): Promise<Size> {
  const probe = await createImageBitmap(blob, { resizeWidth: PROBE_SIDE });
  const isTurned = probe.width > probe.height !== width > height;
  probe.close();
  return isTurned ? { width: height, height: width } : { width, height };
}

async function headOf(blob: Blob): Promise<ReturnType<typeof imageDimensionsFromData>> {
  try {
    const bytes = await blob.slice(0, HEAD_BYTES).arrayBuffer();
    return imageDimensionsFromData(new Uint8Array(bytes));
  } catch {
    return undefined; // no picture, or cut off within its head: decoding says so
  }
}
