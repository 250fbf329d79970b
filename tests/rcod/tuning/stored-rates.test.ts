/** What stages take, kept for the next process. */
import { expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import { storedRates } from "../../../src/rcod/tuning/stored-rates.ts";
import type { TuningStore } from "../../../src/rcod/tuning/tuning-table.ts";
import { adapterKey, findTable, withTable } from "../../../src/rcod/tuning/tuning-table.ts";
import { VERSION } from "../../../src/version.ts";

const GPU = { caps: BASELINE_CAPS } as Gpu;
const MODEL = { unet: { layers: 2 } } as unknown as ModelConfigs;
const RUN = { work: 1e9, setupMs: 12.3456, runMs: 400 };

/** A store in memory, whose writes can be awaited. */
function memoryStore(text: string | null = null) {
  const store = {
    text,
    writes: 0,
    read: async () => store.text,
    write: async (written: string) => {
      store.writes++;
      store.text = written;
    },
  };
  return store;
}

const written = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

it("gives them to the next model on the same device, and to no other", async () => {
  const store = memoryStore();
  const rates = await storedRates(GPU, MODEL, "f32", store);
  rates.learn("unet", RUN, false);
  rates.learn("unet", { ...RUN, setupMs: 900 }, true);
  rates.settle();
  await written();
  const next = await storedRates(GPU, MODEL, "f32", store);
  expect(next.runMs("unet", 2e9)).toBeCloseTo(800, 0);
  expect(next.setupMs("unet", false)).toBeCloseTo(12.35, 2);
  expect(next.setupMs("unet", true)).toBeCloseTo(900, 0);
  expect(next.isFirst("unet")).toBe(true); // its shaders are not compiled
  const others = await Promise.all([
    storedRates(GPU, MODEL, "f16", store),
    storedRates(GPU, { ...MODEL, vae: {} } as unknown as ModelConfigs, "f32", store),
    storedRates(
      { caps: { ...BASELINE_CAPS, vendor: "acme" } } as unknown as Gpu,
      MODEL,
      "f32",
      store,
    ),
    storedRates(
      { caps: { ...BASELINE_CAPS, variants: { conv2d: "naive" } } } as unknown as Gpu,
      MODEL,
      "f32",
      store,
    ),
  ]);
  for (const other of others) expect(other.runMs("unet", 2e9)).toBeUndefined();
});

it("lie beside the measured variants, which stay", async () => {
  const table = {
    adapter: adapterKey(BASELINE_CAPS),
    dtype: "f32",
    engine: VERSION,
    variants: { linear: "naive" },
  } as const;
  const store = memoryStore(withTable(null, table));
  const rates = await storedRates(GPU, MODEL, "f32", store);
  rates.learn("unet", RUN, false);
  rates.settle();
  await written();
  expect(findTable(store.text, BASELINE_CAPS, "f32")).toEqual(table);
  store.text = withTable(store.text, { ...table, variants: {} });
  expect((await storedRates(GPU, MODEL, "f32", store)).runMs("unet", 1e9)).toBeCloseTo(400, 0);
});

it("are written only where a run was not foreseen", async () => {
  const store = memoryStore();
  const rates = await storedRates(GPU, MODEL, "f32", store);
  for (let call = 0; call < 6; call++) {
    rates.learn("unet", { ...RUN, runMs: 400 + call }, false);
    rates.settle();
    await written();
  }
  const { writes } = store;
  expect(writes).toBeLessThan(4);
  rates.learn("unet", { ...RUN, runMs: 900 }, false);
  rates.settle();
  await written();
  expect(store.writes).toBe(writes + 1);
});

it.each([
  ["no text", null],
  ["no JSON", "{"],
  ["another format", '{"version":9,"rates":[{"name":"x"}]}'],
  [
    "other values",
    '{"version":1,"rates":[null,7,{"name":[],"stages":[1]},{"stages":{"unet":null,"x":{"first":9}}}]}',
  ],
])("a store with %s knows nothing and is written all the same", async (_, text) => {
  const store = memoryStore(text);
  const rates = await storedRates(GPU, MODEL, "f32", store);
  expect(rates.runMs("unet", 1e9)).toBeUndefined();
  rates.learn("unet", RUN, false);
  rates.settle();
  await written();
  expect((await storedRates(GPU, MODEL, "f32", store)).runMs("unet", 1e9)).toBeCloseTo(400, 0);
});

it("runs that cannot be true are left out", async () => {
  const store = memoryStore();
  const rates = await storedRates(GPU, MODEL, "f32", store);
  rates.learn("unet", RUN, false);
  rates.settle();
  await written();
  store.text = (store.text as string).replaceAll(/"runMs": \d+/g, '"runMs": -5');
  expect((await storedRates(GPU, MODEL, "f32", store)).runMs("unet", 1e9)).toBeUndefined();
});

it("a store that fails is not used", async () => {
  const failing: TuningStore = {
    read: () => Promise.reject(new Error("denied")),
    write: () => Promise.reject(new Error("denied")),
  };
  const rates = await storedRates(GPU, MODEL, "f32", failing);
  rates.learn("unet", RUN, false);
  rates.settle();
  await written();
  expect(rates.runMs("unet", 1e9)).toBeCloseTo(400, 0);
});
