/** Golden files with the kernels on matrix units: a block of each kind, and the convolutions and layers by themselves. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { withVariants } from "../../src/gpu/device.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { collect, goldenSource } from "../verify/golden-fixtures.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = withVariants(await openMatrixGpu(), { conv2d: "matrix", linear: "matrix" });
});
afterAll(() => gpu.destroy());

it.each(["ops_conv", "ops_linear_act", "blocks_resnet", "blocks_transformer", "blocks_vae_mid"])(
  "%s",
  async (name) => {
    const source = goldenSource(`${name}.safetensors`);
    const results = await collect(verifyFiles(gpu, [source], { precision: "f16" }));
    expect(results.filter(({ status }) => status !== "pass")).toEqual([]);
    const ran = results.flatMap(({ variants }) => Object.keys(variants?.asRequested ?? {}));
    expect(ran.length, "cases on matrix units").toBeGreaterThan(0);
  },
);
