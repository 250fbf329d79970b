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
  return withList(text, "tables", [table, ...others].slice(0, MOST_TABLES));
}

const parseTables = (text: string | null): readonly TuningTable[] =>
  listIn(text, "tables").filter(isTable);

/** A list of a stored text; empty where it has none. */
export function listIn(text: string | null, name: string): readonly unknown[] {
  const list = parsed(text)[name];
  return Array.isArray(list) ? list : [];
}

/** The stored text with another list in it. All else stays. */
export function withList(text: string | null, name: string, list: readonly unknown[]): string {
  return `${JSON.stringify({ ...parsed(text), version: FORMAT, [name]: list }, null, 1)}\n`;
}

function parsed(text: string | null): Readonly<Record<string, unknown>> {
  try {
    const value = JSON.parse(text ?? "{}") as Readonly<Record<string, unknown>> | null;
    return value?.["version"] === FORMAT ? value : {};
  } catch {
    return {};
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
