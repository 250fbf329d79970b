/** The first model that is measured on a device runs in the variants that later ones find stored. */
import { expect, it, vi } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import { modelVariants } from "../../../src/rcod/tuning/model-variants.ts";
import type { TuningTable } from "../../../src/rcod/tuning/tuning-table.ts";
import { adapterKey } from "../../../src/rcod/tuning/tuning-table.ts";
import { VERSION } from "../../../src/version.ts";

const TABLE: TuningTable = {
  adapter: adapterKey(BASELINE_CAPS),
  dtype: "f32",
  engine: VERSION,
  variants: { "linear 4→4 @64": "naive" },
};
vi.mock("../../../src/rcod/tuning/autotune.ts", () => ({
  tuneModel: async () => ({ table: TABLE }),
}));

it("as after the first run", async () => {
  let text: string | null = null;
  const tuningStore = {
    read: async () => text,
    write: async (written: string) => void (text = written),
  };
  const load = () =>
    modelVariants({ caps: BASELINE_CAPS } as Gpu, {} as ModelConfigs, "f32", {
      autotune: true,
      tuningStore,
    });
  expect(await load()).toEqual(TABLE.variants);
  expect(await load()).toEqual(TABLE.variants);
});
