/** The first model that is measured on a device runs in the variants that later ones find stored. */
import { expect, it, vi } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import { modelVariants } from "../../../src/rcod/tuning/model-variants.ts";
import type { TuningTable } from "../../../src/rcod/tuning/tuning-table.ts";
import { adapterKey, sourceHash } from "../../../src/rcod/tuning/tuning-table.ts";

const TABLE: TuningTable = {
  adapter: adapterKey(BASELINE_CAPS),
  dtype: "f32",
  sources: sourceHash(BASELINE_CAPS, "f32"),
  variants: { "linear 4→4 @64": "naive" },
};
vi.mock("../../../src/rcod/tuning/autotune.ts", () => ({
  tuneModel: async () => ({ table: TABLE }),
}));
// A class that the measurement leaves to the kernel.
vi.mock("../../../src/rcod/tuning/shipped-tuning.ts", () => ({
  shippedVariants: () => ({ "conv2d 3x3 4→4 @64": "patch" }),
}));

it("whatever is shipped", async () => {
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
