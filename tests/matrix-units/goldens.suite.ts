/** Golden files with the kernels on matrix units: a block of each kind, and the convolutions and layers by themselves. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { withVariants } from "../../src/gpu/device.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { collect, goldenSource } from "../verify/golden-fixtures.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

const TILES = { conv2d: "matrix", linear: "matrix" };
const PATCHES = { conv2d: "matrix-patch-8", linear: "matrix", attention: "matrix" };

it.each([
  ["ops_conv", TILES],
  ["ops_conv", PATCHES],
  ["ops_linear_act", TILES],
  ["blocks_resnet", TILES],
  ["blocks_resnet", PATCHES],
  ["blocks_transformer", TILES],
  ["blocks_vae_mid", PATCHES],
] as const)("%s %j", async (name, variants) => {
  const source = goldenSource(`${name}.safetensors`);
  const forced = withVariants(gpu, variants);
  const results = await collect(verifyFiles(forced, [source], { precision: "f16" }));
  expect(results.filter(({ status }) => status !== "pass")).toEqual([]);
  const ran = results.flatMap((result) => Object.keys(result.variants?.asRequested ?? {}));
  expect(ran.length, "cases on matrix units").toBeGreaterThan(0);
});
