/** Which kernel variants a model runs in: forced, measured before, or measured now. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { VariantChoice } from "../../kernels/variant-choice.ts";
import { unknownVariant } from "../../kernels/variant-choice.ts";
import type { OptionRules } from "../../options.ts";
import { callback, flag, objectValue, typed } from "../../options.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { tuneModel } from "./autotune.ts";
import { browserTuningStore } from "./browser-tuning.ts";
import type { TuningStore, TuningTable } from "./tuning-table.ts";
import { findTable, withForced, withTable } from "./tuning-table.ts";

export interface VariantOptions {
  /**
   * Measured kernel variants. Default: those measured on this device before, else the kernels' own choice. `true`
   * measures once where nothing is stored yet (up to about 20 s) and stores it; `false` leaves all to the kernels; a
   * table is used as it is. The same variants give the same bits.
   */
  readonly autotune?: boolean | TuningTable;
  /**
   * Where measurements are kept. Default: the browser's cache storage; nowhere in Node, which has
   * `fileTuningStore`. Storage that fails is not used, and that is not reported.
   */
  readonly tuningStore?: TuningStore;
  /** Kernel variants to force, by kernel (`{ conv2d: "tiled" }`). A problem that a forced variant refuses runs in its default one. */
  readonly variants?: VariantChoice;
}

/** `modelVariants` knows which variants there are. */
export const VARIANT_RULES: OptionRules<VariantOptions> = {
  autotune: typed(
    "true, false or a table of measurements",
    (value) => flag.allows(value) || objectValue.allows((value as TuningTable | null)?.variants),
  ),
  tuningStore: typed("an object with read() and write()", (value) =>
    ["read", "write"].every((name) =>
      callback.allows((value as Readonly<Record<string, unknown>> | null)?.[name]),
    ),
  ),
  variants: objectValue,
};

/**
 * The variants that a model on `gpu` runs in, by what the caller requests. Throws `RangeError` for
 * a forced kernel or variant that does not exist.
 */
export async function modelVariants(
  gpu: Gpu,
  configs: ModelConfigs,
  dtype: DType,
  { autotune, tuningStore = browserTuningStore(), variants = {} }: VariantOptions,
  signal?: AbortSignal,
): Promise<VariantChoice> {
  for (const [kernel, variant] of Object.entries(variants)) {
    const unknown = unknownVariant(kernel, variant);
    if (unknown !== null) throw new RangeError(`variants: ${unknown}`);
  }
  if (autotune === false) return variants;
  if (typeof autotune === "object") return withForced(autotune.variants, variants);
  const text = await storedText(tuningStore);
  const stored = findTable(text, gpu.caps, dtype)?.variants;
  if (stored !== undefined || autotune !== true) return withForced(stored ?? {}, variants);
  const { table } = await tuneModel(gpu, configs, dtype, { signal });
  await tuningStore?.write(withTable(text, table)).catch(() => undefined);
  return withForced(table.variants, variants); // as when it is found in the store
}

/** What was measured on this device before; empty where nothing was. */
export async function rememberedVariants(
  { caps }: Gpu,
  dtype: DType,
  tuningStore?: TuningStore,
): Promise<VariantChoice> {
  return findTable(await storedText(tuningStore), caps, dtype)?.variants ?? {};
}

/** The stored text; null also where reading fails, as in private windows. */
export async function storedText(store: TuningStore | undefined): Promise<string | null> {
  return (await store?.read().catch(() => null)) ?? null;
}
