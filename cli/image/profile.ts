/** What a file says about its colours, and what is done with it. */
import type { Matrix, Transfer } from "./colour.ts";
import { P3_PRIMARIES, SRGB_PRIMARIES, primariesToSrgb, srgbToLinear } from "./colour.ts";
import type { PngChunk } from "./metadata.ts";
import { chunkData } from "./png-chunks.ts";

/** Of `--profile`: pixels as they are, with their profile, or sRGB without one. */
export type ProfileMode = "keep" | "srgb";

/** How a file's values become the engine's. */
export type ColourPlan =
  /** As they are; the result gets the profile. */
  | { readonly kind: "keep"; readonly icc?: Uint8Array }
  /** As they are; they are Display P3 by a code, and the result gets a profile that says so. */
  | { readonly kind: "keep-p3" }
  /** To sRGB by the profile, or from Lab, in the decoder. */
  | { readonly kind: "decoder" }
  /** Inks without a profile. */
  | { readonly kind: "cmyk" }
  /** To sRGB by a transfer function and primaries. */
  | { readonly kind: "transfer"; readonly transfer: Transfer; readonly matrix?: Matrix };

/** A plan, and what to tell about it. */
export interface Colours {
  readonly plan: ColourPlan;
  readonly note?: string;
}

/** What decides. */
export interface ColourFacts {
  /** As the decoder names it. */
  readonly space: string;
  readonly icc?: Uint8Array | undefined;
  /** Of a PNG. */
  readonly chunks?: readonly PngChunk[] | undefined;
  /** Codes of primaries and transfer function, as in H.273: of a PNG's `cICP` and of AVIF's `nclx`. */
  readonly codes?: ColourCodes | undefined;
}

/** Codes of H.273. */
export type ColourCodes = readonly [primaries: number, transfer: number];

/** Plans the colours of one file. */
export function planColours(
  { space, icc, chunks, codes }: ColourFacts,
  mode: ProfileMode,
): Colours {
  const profileSpace = icc && colourSpaceOfIcc(icc);
  if (space === "cmyk") {
    return profileSpace === "CMYK"
      ? { plan: { kind: "decoder" }, note: "CMYK was converted to sRGB by its profile" }
      : { plan: { kind: "cmyk" }, note: "CMYK without a profile was converted to sRGB" };
  }
  if (space.startsWith("lab"))
    return { plan: { kind: "decoder" }, note: "Lab was converted to sRGB" };
  const isGrey = space === "b-w" || space.startsWith("grey");
  if (icc === undefined && codes !== undefined) return codedColours(codes, isGrey, mode);
  if (icc === undefined) return pngColours(chunks ?? [], isGrey);
  if (isGrey && profileSpace === "GRAY") {
    const transfer = greyTransfer(icc);
    if (transfer === undefined) return unfit("its grey profile has no curve");
    return {
      plan: { kind: "transfer", transfer },
      note: "its grey profile was converted to sRGB's",
    };
  }
  if (isGrey || profileSpace !== "RGB ") return unfit("its profile does not fit its pixels");
  if (mode === "keep") return { plan: { kind: "keep", icc } };
  return { plan: { kind: "decoder" }, note: "its colours were converted to sRGB by its profile" };
}

/** As browsers do with such a profile. */
const unfit = (what: string): Colours => ({
  plan: { kind: "keep" },
  note: `${what} and was left out`,
});

const HEADER_BYTES = 128;

/** The four letters of the space that a profile describes; undefined for bytes that are no profile. */
function colourSpaceOfIcc(icc: Uint8Array): string | undefined {
  const bytes = Buffer.from(icc.buffer, icc.byteOffset, icc.byteLength);
  if (bytes.length < HEADER_BYTES + 4 || bytes.toString("latin1", 36, 40) !== "acsp")
    return undefined;
  return bytes.toString("latin1", 16, 20);
}

/** The curve of a grey profile (`kTRC`). */
function greyTransfer(icc: Uint8Array): Transfer | undefined {
  const bytes = Buffer.from(icc.buffer, icc.byteOffset, icc.byteLength);
  const count = Math.min(bytes.readUInt32BE(HEADER_BYTES), 100);
  for (let i = 0; i < count; i++) {
    const entry = HEADER_BYTES + 4 + 12 * i;
    if (entry + 12 > bytes.length) return undefined;
    if (bytes.toString("latin1", entry, entry + 4) !== "kTRC") continue;
    const at = bytes.readUInt32BE(entry + 4);
    return at + 12 > bytes.length ? undefined : curve(bytes.subarray(at));
  }
  return undefined;
}

function curve(bytes: Buffer): Transfer | undefined {
  const type = bytes.toString("latin1", 0, 4);
  if (type === "para") return parametricCurve(bytes);
  if (type !== "curv") return undefined;
  const count = bytes.readUInt32BE(8);
  if (count === 0) return (value) => value;
  if (12 + 2 * count > bytes.length) return undefined;
  if (count === 1) {
    const gamma = bytes.readUInt16BE(12) / 256;
    return (value) => value ** gamma;
  }
  const at = (i: number) => bytes.readUInt16BE(12 + 2 * i) / 65_535;
  return (value) => {
    const place = value * (count - 1);
    const below = Math.min(count - 2, Math.floor(place));
    return at(below) + (place - below) * (at(below + 1) - at(below));
  };
}

/** ICC's parametric curves: a power, from the second kind on with a linear or constant part below `d`. */
function parametricCurve(bytes: Buffer): Transfer | undefined {
  const kind = bytes.readUInt16BE(8);
  const count = [1, 3, 4, 5, 7][kind];
  if (count === undefined || 12 + 4 * count > bytes.length) return undefined;
  const p = Array.from({ length: 7 }, (_, i) =>
    i < count ? bytes.readInt32BE(12 + 4 * i) / 65_536 : undefined,
  );
  const [g = 1, a = 1, b = 0] = p;
  const c = p[3] ?? 0;
  if (kind === 0) return (value) => value ** g;
  if (kind === 1) return (value) => (value >= -b / a ? (a * value + b) ** g : 0);
  if (kind === 2) return (value) => (value >= -b / a ? (a * value + b) ** g + c : c);
  const [d = 0, e = 0, f = 0] = p.slice(4);
  return (value) => (value >= d ? (a * value + b) ** g + e : c * value + f);
}

/** Within this of 1/2.2, a PNG's gamma means sRGB's curve, as programs write it; libpng's own threshold. */
const GAMMA_TOLERANCE = 0.05;
const PRIMARY_TOLERANCE = 0.005;

/** Of H.273: BT.709's primaries and Display P3's; transfer functions that are sRGB's or as good as. */
const CODES = { bt709: 1, unspecified: 2, p3: 12, transfers: [1, 2, 6, 13] } as const;

/** The codes of a PNG's `cICP`. */
export function pngCodes(chunks: readonly PngChunk[]): ColourCodes | undefined {
  const data = chunkData(chunks, "cICP");
  return data?.length === 4 ? [data[0] as number, data[1] as number] : undefined;
}

/** The codes of AVIF's property `colr`, which stands near the beginning. */
export function avifCodes(bytes: Uint8Array): ColourCodes | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 1 << 16));
  const at = head.indexOf("colrnclx", 0, "latin1");
  if (at < 0 || at + 12 > head.length) return undefined;
  return [head.readUInt16BE(at + 8), head.readUInt16BE(at + 10)];
}

function codedColours(
  [primaries, transfer]: ColourCodes,
  isGrey: boolean,
  mode: ProfileMode,
): Colours {
  const keep: Colours = { plan: { kind: "keep" } };
  const isKnown = (CODES.transfers as readonly number[]).includes(transfer);
  const isSrgb = isGrey || primaries === CODES.bt709 || primaries === CODES.unspecified;
  if (isKnown && isSrgb) return keep;
  if (!isKnown || primaries !== CODES.p3) {
    return { ...keep, note: `its colour space (code ${primaries}/${transfer}) is taken as sRGB` };
  }
  if (mode === "keep") return { plan: { kind: "keep-p3" } };
  const matrix = primariesToSrgb(P3_PRIMARIES);
  return {
    plan: { kind: "transfer", transfer: srgbToLinear, ...(matrix && { matrix }) },
    note: "Display P3 was converted to sRGB",
  };
}

/** A PNG without a profile may state gamma and primaries. `sRGB` goes before them. */
function pngColours(chunks: readonly PngChunk[], isGrey: boolean): Colours {
  const keep: Colours = { plan: { kind: "keep" } };
  const stated = chunkData(chunks, "gAMA");
  const gamma = stated?.length === 4 ? stated.readUInt32BE(0) / 100_000 : 0;
  if (gamma === 0 || chunkData(chunks, "sRGB") !== undefined) return keep;
  const isSrgbCurve = Math.abs(gamma * 2.2 - 1) <= GAMMA_TOLERANCE;
  const matrix = isGrey ? undefined : pngMatrix(chunks);
  if (isSrgbCurve && matrix === undefined) return keep;
  const transfer: Transfer = isSrgbCurve ? srgbToLinear : (value) => value ** (1 / gamma);
  return {
    plan: { kind: "transfer", transfer, ...(matrix && { matrix }) },
    note: `its gamma${matrix ? " and primaries were" : " was"} converted to sRGB's`,
  };
}

/** From the primaries of `cHRM` to sRGB's; undefined where they are the same. */
function pngMatrix(chunks: readonly PngChunk[]): Matrix | undefined {
  const data = chunkData(chunks, "cHRM");
  if (data === undefined || data.length < 32) return undefined;
  const at = (i: number) =>
    [data.readUInt32BE(8 * i) / 100_000, data.readUInt32BE(8 * i + 4) / 100_000] as const;
  const primaries = [at(0), at(1), at(2), at(3)] as const;
  const isSrgb = primaries.every(([x, y], i) => {
    const [ofX, ofY] = SRGB_PRIMARIES[i] as readonly [number, number];
    return Math.abs(x - ofX) < PRIMARY_TOLERANCE && Math.abs(y - ofY) < PRIMARY_TOLERANCE;
  });
  return isSrgb ? undefined : primariesToSrgb(primaries);
}
