/** What a file is, by its first bytes: kinds that are read, and kinds that are known well enough to be named. */

/** Kinds that are read. */
export type ImageKind = "png" | "jpeg" | "webp" | "avif" | "gif" | "tiff" | "bmp" | "heic";

/** What the first bytes say; `unread` names a kind that is known and not read. */
export type Recognised =
  | { readonly kind: ImageKind }
  | { readonly unread: string; readonly advice: string }
  | undefined;

/** As many bytes as `recognise` looks at. */
export const HEAD_BYTES = 4096;

/** Names for people. */
export const KIND_NAMES: Readonly<Record<ImageKind, string>> = {
  png: "PNG",
  jpeg: "JPEG",
  webp: "WebP",
  avif: "AVIF",
  gif: "GIF",
  tiff: "TIFF",
  bmp: "BMP",
  heic: "HEIC",
};

/** As messages list what can be read. */
export const READABLE = "PNG, JPEG, WebP, AVIF, GIF, TIFF and BMP";

const CONVERT = "Convert it to PNG or JPEG first";
const DEVELOP = "Develop it to a 16-bit TIFF or a JPEG first";
const FRAMES = "Extract its frames as PNG files first";
const RENDER = "Render it to a PNG first, at the size that is wanted";
const UNPACK = "Unpack it first";

/** Byte strings at an offset, `?` for any byte; the first that fits is the kind. Longer ones of one beginning come first. */
const UNREAD: readonly (readonly [name: string, at: number, magic: string, advice: string])[] = [
  ["a JPEG XL image", 0, "\xff\x0a", CONVERT],
  ["a JPEG XL image", 0, "\0\0\0\x0cJXL \r\n\x87\n", CONVERT],
  ["a JPEG 2000 image", 0, "\0\0\0\x0cjP  \r\n\x87\n", CONVERT],
  ["a JPEG 2000 codestream", 0, "\xff\x4f\xff\x51", CONVERT],
  ["a Photoshop document", 0, "8BPS", CONVERT],
  ["a GIMP document", 0, "gimp xcf", CONVERT],
  ["a Canon camera raw file (CR2)", 8, "CR\x02", DEVELOP],
  ["a Fujifilm camera raw file (RAF)", 0, "FUJIFILMCCD-RAW", DEVELOP],
  ["an Olympus camera raw file (ORF)", 0, "IIRO", DEVELOP],
  ["an Olympus camera raw file (ORF)", 0, "IIRS", DEVELOP],
  ["an Olympus camera raw file (ORF)", 0, "MMOR", DEVELOP],
  ["a Panasonic camera raw file (RW2)", 0, "IIU\0", DEVELOP],
  ["a Sigma camera raw file (X3F)", 0, "FOVb", DEVELOP],
  ["an icon (ICO)", 0, "\0\0\x01\0", CONVERT],
  ["a cursor (CUR)", 0, "\0\0\x02\0", CONVERT],
  ["an Apple icon (ICNS)", 0, "icns", CONVERT],
  ["a PDF document", 0, "%PDF", RENDER],
  ["a PostScript drawing", 0, "%!PS", RENDER],
  ["a PostScript drawing", 0, "\xc5\xd0\xd3\xc6", RENDER],
  ["a DjVu document", 0, "AT&TFORM", RENDER],
  ["a Windows metafile", 0, "\xd7\xcd\xc6\x9a", RENDER],
  ["an OpenEXR image", 0, "v/1\x01", CONVERT],
  ["a Radiance HDR image", 0, "#?R", CONVERT],
  ["a DDS texture", 0, "DDS ", CONVERT],
  ["a KTX texture", 0, "\xabKTX", CONVERT],
  ["a QOI image", 0, "qoif", CONVERT],
  ["a FLIF image", 0, "FLIF", CONVERT],
  ["a BPG image", 0, "BPG\xfb", CONVERT],
  ["a farbfeld image", 0, "farbfeld", CONVERT],
  ["a PCX image", 0, "\x0a\x05\x01", CONVERT],
  ["a FITS image", 0, "SIMPLE  =", CONVERT],
  ["an MNG animation", 0, "\x8aMNG", FRAMES],
  ["a video (AVI)", 0, "RIFF????AVI ", FRAMES],
  ["a sound (WAV)", 0, "RIFF????WAVE", CONVERT],
  ["a video (Matroska or WebM)", 0, "\x1aE\xdf\xa3", FRAMES],
  ["a video (Ogg)", 0, "OggS", FRAMES],
  ["a video (FLV)", 0, "FLV\x01", FRAMES],
  ["a video (MPEG)", 0, "\0\0\x01\xba", FRAMES],
  ["a video (MPEG)", 0, "\0\0\x01\xb3", FRAMES],
  ["an archive (ZIP)", 0, "PK\x03\x04", UNPACK],
  ["an archive (gzip)", 0, "\x1f\x8b", UNPACK],
  ["an archive (7-Zip)", 0, "7z\xbc\xaf\x27\x1c", UNPACK],
  ["an archive (RAR)", 0, "Rar!\x1a\x07", UNPACK],
];

/** Brands of the ISO container `ftyp` that are images or cameras; others are films. */
const BRANDS: readonly (readonly [brand: RegExp, found: Recognised])[] = [
  [/^avi[fso]$/, { kind: "avif" }],
  [/^(hei[cxms]|hev[cxms])$/, { kind: "heic" }],
  [/^crx $/, { unread: "a Canon camera raw file (CR3)", advice: DEVELOP }],
  [/^(jp2 |jpx |jpm )$/, { unread: "a JPEG 2000 image", advice: CONVERT }],
];

/** What a file with these first bytes is; undefined where nothing is known. */
export function recognise(bytes: Uint8Array): Recognised {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD_BYTES));
  const text = head.toString("latin1");
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return { kind: "png" };
  if (text.startsWith("\xff\xd8\xff")) return { kind: "jpeg" };
  if (text.startsWith("GIF87a") || text.startsWith("GIF89a")) return { kind: "gif" };
  if (text.startsWith("RIFF") && text.startsWith("WEBP", 8)) return { kind: "webp" };
  if (text.startsWith("ftyp", 4)) return recogniseBrand(head);
  const known = UNREAD.find(([, at, magic]) => fits(text, at, magic));
  if (known !== undefined) return { unread: known[0], advice: known[3] };
  if (/^(II[*+]\0|MM\0[*+])/.test(text)) return recogniseTiff(head);
  if (text.startsWith("BM") && head.length >= 26 && head.readUInt32LE(14) <= 256) {
    return { kind: "bmp" };
  }
  return recogniseText(text);
}

function fits(text: string, at: number, magic: string): boolean {
  if (text.length < at + magic.length) return false;
  for (let i = 0; i < magic.length; i++) {
    if (magic[i] !== "?" && magic[i] !== text[at + i]) return false;
  }
  return true;
}

/** `mif1` and `msf1` say only "image"; the brands behind the first say with which codec. */
function recogniseBrand(head: Buffer): Recognised {
  const end = Math.min(head.length, Math.max(16, head.readUInt32BE(0)));
  for (let at = 8; at + 4 <= end; at += at === 8 ? 8 : 4) {
    const brand = head.toString("latin1", at, at + 4);
    const found = BRANDS.find(([pattern]) => pattern.test(brand))?.[1];
    if (found !== undefined) return found;
  }
  const major = head.toString("latin1", 8, 12);
  if (/^(mif|msf)1$/.test(major)) {
    return { unread: "an HEIF image of a codec that is not known", advice: CONVERT };
  }
  return { unread: "a video (MP4 or QuickTime)", advice: FRAMES };
}

const DNG_VERSION = 0xc612;
const MAKE = 0x010f;
const NEW_SUBFILE_TYPE = 0x00fe;
const SUB_IFDS = 0x014a;

/** A camera raw file is a TIFF whose first image is a thumbnail and whose sensor values lie in a sub-image. */
function recogniseTiff(head: Buffer): Recognised {
  const isLittle = head[0] === 0x49;
  const u16 = (at: number) =>
    at + 2 > head.length ? 0 : isLittle ? head.readUInt16LE(at) : head.readUInt16BE(at);
  const u32 = (at: number) =>
    at + 4 > head.length ? 0 : isLittle ? head.readUInt32LE(at) : head.readUInt32BE(at);
  const at = u32(4);
  const tags = new Map<number, number>();
  for (let i = 0; i < u16(at); i++) tags.set(u16(at + 2 + 12 * i), u32(at + 10 + 12 * i));
  const advice = DEVELOP;
  if (tags.has(DNG_VERSION)) return { unread: "a camera raw file (DNG)", advice };
  const isThumbnail = ((tags.get(NEW_SUBFILE_TYPE) ?? 0) & 1) === 1;
  const maker = head.toString("latin1", tags.get(MAKE) ?? 0, (tags.get(MAKE) ?? 0) + 5);
  const isCamera = /^(NIKON|SONY|PENTA|SAMSU|Hasse|Phase|EASTM|Kodak)/i.test(maker);
  if (isThumbnail && isCamera && tags.has(SUB_IFDS)) {
    return { unread: "a camera raw file", advice };
  }
  return { kind: "tiff" };
}

function recogniseText(text: string): Recognised {
  if (/^P[1-7][\s#]/.test(text)) return { unread: "a PNM image", advice: CONVERT };
  const begins = text.replace(/^(\xef\xbb\xbf)?\s*/, "").slice(0, 1024);
  if (/^<svg[\s>]|^<(\?xml|!DOCTYPE|!--)[^]*<svg[\s>]/.test(begins)) {
    return { unread: "an SVG drawing", advice: RENDER };
  }
  if (/^<(!doctype html|html)/i.test(begins)) {
    return { unread: "a web page", advice: "Save the image itself" };
  }
  if (begins.startsWith("version https://git-lfs.github.com/spec/")) {
    return { unread: "a pointer of Git LFS", advice: "Fetch the image: git lfs pull" };
  }
  return undefined;
}
