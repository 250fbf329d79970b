/** What a picture's file says beside its pixels, in a form that every format is written from. */

/** All parts are optional, and may be views of the file's bytes. */
export interface Metadata {
  /** ICC profile of the pixels. */
  readonly icc?: Uint8Array;
  /** EXIF as a TIFF structure, without the `Exif` in front of it. */
  readonly exif?: Uint8Array;
  /** XMP, UTF-8. */
  readonly xmp?: Uint8Array;
  /** IPTC's records (IIM). */
  readonly iptc?: Uint8Array;
  /** RawImage per metre across and down. */
  readonly density?: readonly [x: number, y: number];
  /** Chunks of a PNG with text, as they were. */
  readonly pngText?: readonly PngChunk[];
  /** Comments of a JPEG, in whatever letters they are. */
  readonly comments?: readonly Uint8Array[];
}

/** A chunk of a PNG: its four letters and its data. */
export interface PngChunk {
  readonly type: string;
  readonly data: Uint8Array;
}

/** Of `--strip`: only the profile says how the pixels look. */
export function stripped({ icc }: Metadata): Metadata {
  return icc === undefined ? {} : { icc };
}

const INCHES_PER_METRE = 1 / 0.0254;

/** RawImage per metre of dots per inch. */
export const perMetre = (perInch: number): number => perInch * INCHES_PER_METRE;
/** Dots per inch of pixels per metre. */
export const perInch = (metre: number): number => metre / INCHES_PER_METRE;

/** XMP of a picture that has been turned upright: its orientation is 1. */
export function uprightXmp(xmp: Uint8Array): Uint8Array {
  const text = Buffer.from(xmp.buffer, xmp.byteOffset, xmp.byteLength).toString("latin1");
  const upright = text.replace(/(tiff:Orientation(?:\s*=\s*["']|\s*>\s*))[2-8]/g, "$11");
  return upright === text ? xmp : Buffer.from(upright, "latin1");
}
