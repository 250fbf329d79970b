/** Golden files planned as for a GPU: norms in loads, statistics from epilogues and merged by the layers behind them. */
import { expect, it } from "vitest";
import { withCaps } from "../../src/gpu/device.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { useGpu } from "../support/gpu.ts";
import { collect, describeFailures, goldenSource } from "./golden-fixtures.ts";
import { beyondMeasured } from "./measured.ts";

const support = useGpu();

it.each([
  ["blocks_resnet", "f32"],
  ["tiny_unet_a", "f32"],
  ["batch", "f32"],
] as const)("%s in %s", async (name, precision) => {
  const gpu = withCaps(support.gpu, { isSoftware: false });
  const source = goldenSource(`${name}.safetensors`);
  const results = await collect(verifyFiles(gpu, [source], { precision }));
  expect(results.length).toBeGreaterThan(0);
  expect(describeFailures(results)).toEqual([]);
  if (support.caps.isSoftware) expect(beyondMeasured(results, precision)).toEqual([]);
});
