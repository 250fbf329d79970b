/** Tables of measured variants: which one holds, what becomes of broken and stale ones, where they are kept. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import { fileTuningStore } from "../../../src/node/tuning-file.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import { browserTuningStore } from "../../../src/rcod/tuning/browser-tuning.ts";
import type { VariantOptions } from "../../../src/rcod/tuning/model-variants.ts";
import { modelVariants } from "../../../src/rcod/tuning/model-variants.ts";
import type { TuningStore, TuningTable } from "../../../src/rcod/tuning/tuning-table.ts";
import {
  adapterKey,
  findTable,
  withForced,
  withTable,
} from "../../../src/rcod/tuning/tuning-table.ts";
import { VERSION } from "../../../src/version.ts";

it("the version is that of package.json", () => {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  expect(VERSION).toBe((JSON.parse(text) as { version: string }).version);
});

const CAPS: Caps = { ...BASELINE_CAPS, vendor: "acme", architecture: "one" };
const TABLE: TuningTable = {
  adapter: adapterKey(CAPS),
  dtype: "f16",
  engine: VERSION,
  variants: { "conv2d 3x3 4→4 @64": "register-8x1", "linear 4→4 @64": "register-8x2" },
};

describe("a stored text", () => {
  const text = withTable(null, TABLE);

  it("gives the table of this adapter and dtype", () => {
    expect(findTable(text, CAPS, "f16")).toEqual(TABLE);
    expect(findTable(text, CAPS, "f32")).toBeNull();
    expect(findTable(text, { ...CAPS, architecture: "two" }, "f16")).toBeNull();
    expect(findTable(text, { ...CAPS, hasSubgroups: true }, "f16")).toBeNull();
    expect(findTable(null, CAPS, "f16")).toBeNull();
  });

  it("drops a table of another version", () => {
    const stale = withTable(null, { ...TABLE, engine: "0.0.9" });
    expect(findTable(stale, CAPS, "f16")).toBeNull();
  });

  it("takes a new table in place of the old one and keeps the others", () => {
    const other = { ...TABLE, dtype: "f32" } as const;
    const both = withTable(text, other);
    const renewed = withTable(both, { ...TABLE, variants: {} });
    expect(findTable(renewed, CAPS, "f16")?.variants).toEqual({});
    expect(findTable(renewed, CAPS, "f32")).toEqual(other);
    expect((JSON.parse(renewed) as { tables: unknown[] }).tables.length).toBe(2);
  });

  it.each([
    ["", "[]", "null", '{"version":1}', '{"version":1,"tables":[null,{},{"adapter":"x"}]}', "{"],
    [text.replace('"version": 1', '"version": 2')],
    [text.replace('"register-8x1"', "7")],
  ])("that is broken or of another version has none", (...texts) => {
    for (const broken of texts) expect(findTable(broken, CAPS, "f16")).toBeNull();
  });
});

it("a forced kernel has no measured classes", () => {
  expect(withForced(TABLE.variants, { conv2d: "tiled" })).toEqual({
    "linear 4→4 @64": "register-8x2",
    conv2d: "tiled",
  });
});

describe("modelVariants", () => {
  const variantsOf = (options: VariantOptions, caps = CAPS) =>
    modelVariants({ caps } as Gpu, {} as ModelConfigs, "f16", options);
  const storeOf = (text: string | null): TuningStore => ({
    read: async () => text,
    write: () => Promise.reject(new Error("must not write")),
  });
  const stored = storeOf(withTable(null, TABLE));

  it("are what was measured before, also under autotune", async () => {
    expect(await variantsOf({ tuningStore: stored })).toEqual(TABLE.variants);
    expect(await variantsOf({ tuningStore: stored, autotune: true })).toEqual(TABLE.variants);
  });

  it("are none without a measurement, or without autotune", async () => {
    expect(await variantsOf({})).toEqual({});
    expect(await variantsOf({ tuningStore: storeOf(null) })).toEqual({});
    expect(await variantsOf({ tuningStore: stored, autotune: false })).toEqual({});
  });

  it("are a given table's, whatever is stored; forced ones come first", async () => {
    const table = { ...TABLE, variants: { "linear 4→4 @64": "naive" } };
    expect(await variantsOf({ tuningStore: stored, autotune: table })).toEqual(table.variants);
    expect(await variantsOf({ autotune: table, variants: { linear: "tiled" } })).toEqual({
      linear: "tiled",
    });
    expect(await variantsOf({ autotune: false, variants: { linear: "tiled" } })).toEqual({
      linear: "tiled",
    });
  });

  it("survive a store that fails", async () => {
    const tuningStore = { read: () => Promise.reject(new Error("denied")), write: stored.write };
    expect(await variantsOf({ tuningStore })).toEqual({});
  });

  it("refuse names that do not exist", async () => {
    await expect(variantsOf({ variants: { conv9d: "x" } })).rejects.toThrow(
      'variants: no kernel "conv9d". Kernels: conv2d, ',
    );
    await expect(variantsOf({ variants: { linear: "x" } })).rejects.toThrow(
      'variants: linear has no variant "x". Variants: naive, ',
    );
  });
});

describe("stores", () => {
  const folder = mkdtempSync(join(tmpdir(), "rcod-tuning-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("a file: nothing at first, then what was written", async () => {
    const path = join(folder, "deep", "tuning.json");
    const store = fileTuningStore(path);
    expect(await store.read()).toBeNull();
    await store.write("one");
    await store.write("two");
    expect(await store.read()).toBe("two");
    expect(readFileSync(path, "utf8")).toBe("two");
    await expect(fileTuningStore(folder).read()).rejects.toThrow("EISDIR");
  });

  it("the browser's cache storage, where there is one", async () => {
    expect(browserTuningStore(undefined)).toBeUndefined();
    const entries = new Map<string, Response>();
    const cache = {
      match: async (key: string) => entries.get(key)?.clone(),
      put: async (key: string, response: Response) => void entries.set(key, response),
    };
    const store = browserTuningStore({ open: async () => cache } as unknown as CacheStorage);
    expect(await store?.read()).toBeNull();
    await store?.write("table");
    expect(await store?.read()).toBe("table");
    expect([...entries.keys()]).toEqual(["/.rcod-webgpu/tuning.json"]);
  });

  it("none in a sandboxed frame, where asking for the cache storage throws", () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, "caches");
    const get = (): never => {
      throw new DOMException("sandboxed", "SecurityError");
    };
    Object.defineProperty(globalThis, "caches", { configurable: true, get });
    try {
      expect(browserTuningStore()).toBeUndefined();
    } finally {
      if (own) Object.defineProperty(globalThis, "caches", own);
      else Reflect.deleteProperty(globalThis, "caches");
    }
  });
});
