/**
 * The `quantization` of a part's config.json: which of its matrices are integers, and of what kind. Files say the same by
 * dtypes and shapes, and are checked against it. Without it all matrices are floats.
 */
import type { IntegerStorage } from "../../kernels/quantized/storage.ts";
import { Fields } from "./config-fields.ts";

/** Lengths of blocks that kernels know. */
export const SCALE_BLOCKS = [32, 64] as const;
export type ScaleBlock = (typeof SCALE_BLOCKS)[number];

/** How the matrices of a part are stored, those that are named aside. */
export interface Quantization {
  readonly scheme: "int8" | "int4";
  /** Input channels of an output channel and tap that share a scale. */
  readonly block: ScaleBlock;
  /** Matrices that stay floats, by the names of their tensors. */
  readonly float: readonly string[];
}

/** How a matrix is stored; undefined for floats. */
export type StorageOf = (name: string) => IntegerStorage | undefined;

export function storageOf(quantization: Quantization | null): StorageOf {
  if (quantization === null) return () => undefined;
  const { scheme, block, float } = quantization;
  const storage = block === 32 ? scheme : (`${scheme}/${block}` as const);
  const kept = new Set(float);
  return (name) => (kept.has(name) ? undefined : storage);
}

const KEY = "quantization";

/** Parses the section of a config.json. Throws `ConfigError` for a scheme that is not implemented. */
export function parseQuantization(config: Fields, file: string): Quantization | null {
  if (!config.has(KEY)) return null;
  const f = new Fields(config.get(KEY), `${file} ${KEY}`);
  const scheme = f.get("scheme");
  if (scheme !== "int8" && scheme !== "int4") return f.fail("scheme", "must be int8 or int4");
  const block = SCALE_BLOCKS.find((length) => length === f.get("block"));
  if (block === undefined) return f.fail("block", `must be ${SCALE_BLOCKS.join(" or ")}`);
  const float = f.has("float") ? f.get("float") : [];
  if (!Array.isArray(float) || !float.every((name) => typeof name === "string")) {
    return f.fail("float", "must be a list of names of tensors");
  }
  return { scheme, block, float };
}

/** The section that `parseQuantization` reads. */
export const quantizationJson = (quantization: Quantization): object => ({
  [KEY]: quantization,
});
