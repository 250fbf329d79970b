/** What a visitor chooses and a link carries. */
import type { ColorFix, CompareMode, Precision, Realism } from "./protocol.ts";

export interface Settings {
  readonly realism: Realism;
  readonly colorFix: ColorFix;
  /** Null: the mean of the latent posterior, which needs no randomness. */
  readonly seed: number | null;
  /** Pixels of the result for one of the picture, along a side. */
  readonly scale: number;
  /** One side of the result in pixels, in place of `scale`. */
  readonly target: Target | null;
  readonly precision: Precision;
  readonly mode: CompareMode;
  /** A bundled photo to start with. */
  readonly photo: string | null;
}

/** How large a result becomes: one side in pixels; the other follows the picture's shape. */
export interface Target {
  readonly side: "width" | "height";
  readonly pixels: number;
}

/** Longer sides than any picture has that the browser saves. */
export const MAX_TARGET = 99_999;

export const DEFAULT_SETTINGS: Settings = {
  realism: 0.5,
  colorFix: "model",
  seed: null,
  scale: 4,
  target: null,
  precision: "auto",
  mode: "split",
  photo: null,
};

/** What settings are called in an address. */
export const HASH_NAMES: readonly string[] = [...Object.keys(DEFAULT_SETTINGS), "width", "height"];

/** What can be chosen; the networks always enlarge ×4. */
export const SCALES: readonly number[] = [1, 2, 3, 4];

const COLOR_FIXES: readonly ColorFix[] = ["model", "adain", "wavelet", "none"];
const PRECISIONS: readonly Precision[] = ["auto", "f32", "f16"];
const MODES: readonly CompareMode[] = ["single", "split", "side", "flicker", "difference"];

/** The fragment of an address (after "#"): settings that differ from their defaults. */
export function toHash({ target, ...plain }: Settings): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(plain) as [
    Exclude<keyof Settings, "target">,
    string | number | null,
  ][]) {
    if (value !== DEFAULT_SETTINGS[name] && value !== null) query.set(name, String(value));
  }
  if (target) query.set(target.side, String(target.pixels));
  return query.toString();
}

/** The page with these settings, as it is opened elsewhere. */
export function addressOf(settings: Settings): string {
  const page = location.href.split("#", 1)[0] ?? "";
  const hash = toHash(settings);
  return hash === "" ? page : `${page}#${hash}`;
}

/** Settings of an address; what is absent or makes no sense is the default. */
export function fromHash(hash: string): Settings {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const oneOf = <T extends string>(name: string, values: readonly T[], otherwise: T): T =>
    values.find((value) => value === query.get(name)) ?? otherwise;
  return {
    realism: realismOf(query.get("realism")),
    colorFix: oneOf("colorFix", COLOR_FIXES, DEFAULT_SETTINGS.colorFix),
    seed: seedOf(query.get("seed") ?? ""),
    scale: Number(oneOf("scale", SCALES.map(String), String(DEFAULT_SETTINGS.scale))),
    target: targetOf(query),
    precision: oneOf("precision", PRECISIONS, DEFAULT_SETTINGS.precision),
    mode: oneOf("mode", MODES, DEFAULT_SETTINGS.mode),
    photo: query.get("photo"),
  };
}

/** Whether an address says anything about settings. */
export function hasSettings(hash: string): boolean {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  return Object.keys(DEFAULT_SETTINGS).some((name) => query.has(name));
}

function realismOf(text: string | null): Realism {
  if (text === "auto") return "auto";
  const value = text === null || text === "" ? Number.NaN : Number(text);
  return value >= 0 && value <= 1 ? value : DEFAULT_SETTINGS.realism;
}

function targetOf(query: URLSearchParams): Target | null {
  for (const side of ["width", "height"] as const) {
    const pixels = pixelsOf(query.get(side) ?? "");
    if (pixels !== null) return { side, pixels };
  }
  return null;
}

/** A side as typed: a whole number of pixels from 1 on, else null. */
export function pixelsOf(text: string): number | null {
  const pixels = /^\d{1,6}$/.test(text.trim()) ? Number(text) : 0;
  return pixels >= 1 && pixels <= MAX_TARGET ? pixels : null;
}

/** A seed as typed: a whole number from 0 that fits 32 bits, else null. */
export function seedOf(text: string): number | null {
  return /^\d{1,10}$/.test(text.trim()) && Number(text) < 2 ** 32 ? Number(text) : null;
}
