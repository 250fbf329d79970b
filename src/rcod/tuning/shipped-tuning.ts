/**
 * Tables that come with the engine, for adapters that were measured: `rcod tune --json` prints them. They hold
 * what differs from the kernels' own choice, so an adapter whose kernels choose right has none. They belong to the
 * kernels of the same commit, so no hash guards them; a test holds their names against the kernels'.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { VariantChoice } from "../../kernels/variant-choice.ts";

export interface ShippedTable {
  /** Matches the adapter's names. */
  readonly adapter: RegExp;
  readonly dtype: DType;
  readonly variants: VariantChoice;
}

export const SHIPPED_TABLES: readonly ShippedTable[] = [];

/** What the engine knows about this adapter; empty where nothing. */
export function shippedVariants(
  { vendor, architecture, device, description }: Caps,
  dtype: DType,
  tables: readonly ShippedTable[] = SHIPPED_TABLES,
): VariantChoice {
  const names = [vendor, architecture, device, description].join(" ");
  const table = tables.find((t) => t.dtype === dtype && t.adapter.test(names));
  return table?.variants ?? {};
}
