/**
 * What stages take, beside the measured variants: an entry for an adapter, a model, its storage and its variants. Entries of another
 * version of the package are not used.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { VERSION } from "../../version.ts";
import type { RateRecord, StageHistory, StageRun } from "../estimate/rates.ts";
import { Rates } from "../estimate/rates.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { browserTuningStore } from "./browser-tuning.ts";
import { storedText } from "./model-variants.ts";
import type { TuningStore } from "./tuning-table.ts";
import { adapterKey, listIn, withList } from "./tuning-table.ts";

const LIST = "rates";
/** The last ones that were used. */
const MOST_ENTRIES = 16;

/** The rates of a model on a device: known from the store, and kept there as they are learned. Storage that fails is not used. */
export async function storedRates(
  { caps }: Gpu,
  configs: ModelConfigs,
  dtype: DType,
  store: TuningStore | undefined = browserTuningStore(),
): Promise<Rates> {
  if (store === undefined) return new Rates();
  const key = [VERSION, dtype, digest(JSON.stringify([configs, caps.variants])), adapterKey(caps)];
  const name = key.join(" | ");
  const found = listIn(await storedText(store), LIST)
    .map(entryOf)
    .find((entry) => entry.name === name);
  /** One after another. */
  const write = async (before: Promise<void>, stages: RateRecord): Promise<void> => {
    await before;
    const text = await storedText(store);
    const others = listIn(text, LIST).filter((entry) => entryOf(entry).name !== name);
    const entries = [{ name, stages }, ...others].slice(0, MOST_ENTRIES);
    await store.write(withList(text, LIST, entries)).catch(() => undefined);
  };
  let last = Promise.resolve();
  return new Rates(found?.stages, (record) => {
    last = write(last, rounded(record));
  });
}

interface Entry {
  readonly name: unknown;
  readonly stages: RateRecord;
}

/** What of a stored value can be used. */
function entryOf(value: unknown): Entry {
  const { name, stages } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const histories = Object.entries(
    (stages ?? {}) as Readonly<Record<string, Partial<StageHistory>>>,
  );
  const runs = (list: unknown): readonly StageRun[] =>
    Array.isArray(list) ? list.filter(isRun) : [];
  const known = histories.map(([stage, history]) => [
    stage,
    { first: runs(history?.first), later: runs(history?.later) },
  ]);
  return { name, stages: Object.fromEntries(known) as RateRecord };
}

function isRun(value: unknown): value is StageRun {
  const { work = 0, setupMs, runMs } = (value ?? {}) as Partial<StageRun>;
  return [work, setupMs, runMs].every((x) => Number.isFinite(x) && Number(x) >= 0) && work > 0;
}

/** Figures of four digits. */
const rounded = (record: RateRecord): RateRecord =>
  JSON.parse(JSON.stringify(record), (_, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(4)) : value,
  ) as RateRecord;

/** FNV-1a of 32 bits, which tells models apart. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
