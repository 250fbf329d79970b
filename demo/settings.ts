/** What a visitor chooses and a link carries. */
import type { ColorFix, CompareMode, Precision, Realism } from "./protocol.ts";

export interface Settings {
  readonly realism: Realism;
  readonly colorFix: ColorFix;
  /** Null: the mean of the latent posterior, which needs no randomness. */
  readonly seed: number | null;
  /** Pixels of the result for one of the picture, along a side. */
  readonly scale: number;
  readonly precision: Precision;
  readonly mode: CompareMode;
  /** A bundled photo to start with. */
  readonly photo: string | null;
}

export const DEFAULT_SETTINGS: Settings = {
  realism: 0.5,
  colorFix: "model",
  seed: null,
  scale: 4,
  precision: "auto",
  mode: "split",
  photo: null,
};

/** What can be chosen; the networks always enlarge ×4. */
export const SCALES: readonly number[] = [1, 2, 3, 4];

const COLOR_FIXES: readonly ColorFix[] = ["model", "adain", "wavelet", "none"];
const PRECISIONS: readonly Precision[] = ["auto", "f32", "f16"];
const MODES: readonly CompareMode[] = ["single", "split", "side", "flicker", "difference"];

/** The fragment of an address (after "#"): settings that differ from their defaults. */
export function toHash(settings: Settings): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(settings) as [
    keyof Settings,
    string | number | null,
  ][]) {
    if (value !== DEFAULT_SETTINGS[name] && value !== null) query.set(name, String(value));
  }
  return query.toString();
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

/** A seed as typed: a whole number from 0 that fits 32 bits, else null. */
export function seedOf(text: string): number | null {
  return /^\d{1,10}$/.test(text.trim()) && Number(text) < 2 ** 32 ? Number(text) : null;
}
