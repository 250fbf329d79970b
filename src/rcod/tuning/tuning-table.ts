/**
 * Measured kernel variants as data: one table for an adapter and a storage dtype. Tables come from `rcod tune`
 * or from `autotune` and are kept as JSON. A table of another adapter or of another version of the package is not used.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { VariantChoice } from "../../kernels/variant-choice.ts";
import { VERSION } from "../../version.ts";

/** Variants by class of problems (see `VariantChoice`), with what they hold for. */
export interface TuningTable {
  /** Names and features of the adapter: `adapterKey`. */
  readonly adapter: string;
  /** Storage of the activations that was measured. */
  readonly dtype: DType;
  /** Version of the package whose kernels were measured. */
  readonly engine: string;
  /** The fastest variant by class of problem. */
  readonly variants: VariantChoice;
}

/** Where tables are kept as one text. */
export interface TuningStore {
  /** The text; null where there is none yet. */
  read(): Promise<string | null>;
  /** Replaces the text. */
  write(text: string): Promise<void>;
}

/** Format of the stored text. */
const FORMAT = 1;
/** More tables than anybody has devices. */
const MOST_TABLES = 32;

/** What of an adapter decides which variant is fastest. */
export function adapterKey(caps: Caps): string {
  const { vendor, architecture, device, description } = caps;
  const features = [
    caps.hasShaderF16 && "shader-f16",
    caps.hasSubgroups && "subgroups",
    caps.matrixUnits !== null && "subgroup-matrix",
    `${caps.limits.maxComputeWorkgroupStorageSize} B`,
  ].filter(Boolean);
  return `${[vendor, architecture, device, description].join(" | ")} | ${features.join(" ")}`;
}

/** The table of a stored text that holds for this device, or null. A text that is no such text has none. */
export function findTable(text: string | null, caps: Caps, dtype: DType): TuningTable | null {
  const adapter = adapterKey(caps);
  const found = parseTables(text).find((t) => t.adapter === adapter && t.dtype === dtype);
  return found?.engine === VERSION ? found : null;
}

/** The stored text with `table` in it, in place of the one for the same adapter and dtype. */
export function withTable(text: string | null, table: TuningTable): string {
  const others = parseTables(text).filter(
    ({ adapter, dtype }) => adapter !== table.adapter || dtype !== table.dtype,
  );
  const tables = [table, ...others].slice(0, MOST_TABLES);
  return `${JSON.stringify({ version: FORMAT, tables }, null, 1)}\n`;
}

function parseTables(text: string | null): readonly TuningTable[] {
  if (text === null) return [];
  try {
    const { version, tables } = JSON.parse(text) as { version?: unknown; tables?: unknown };
    return version === FORMAT && Array.isArray(tables) ? tables.filter(isTable) : [];
  } catch {
    return [];
  }
}

function isTable(value: unknown): value is TuningTable {
  const { adapter, dtype, engine, variants } = (value ?? {}) as Partial<TuningTable>;
  return (
    typeof adapter === "string" &&
    (dtype === "f32" || dtype === "f16") &&
    typeof engine === "string" &&
    typeof variants === "object" &&
    variants !== null &&
    Object.values(variants).every((variant) => typeof variant === "string")
  );
}

/** Measured variants with forced ones in their place: a kernel that is forced has no classes of its own. */
export function withForced(table: VariantChoice, forced: VariantChoice): VariantChoice {
  const kept = Object.entries(table).filter(
    ([key]) => !Object.hasOwn(forced, key.split(" ")[0] ?? ""),
  );
  return { ...Object.fromEntries(kept), ...forced };
}
