import { expect, it } from "vitest";
import { replaceAlpha } from "../../../src/kernels/image/replace-alpha.ts";
import { replaceAlpha as reference } from "../../reference/replace-alpha.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { noiseBytes } from "../../support/random.ts";

const setup = useGpu();

it.each([1, 63, 65, 4096, 10_007])("replaceAlpha of %i pixels", async (pixels) => {
  const [image, alpha] = [noiseBytes(pixels * 4, 1), noiseBytes(pixels * 4, 2)];
  const plan = replaceAlpha.plan({ pixels }, setup.caps);
  const got = await runKernel(setup.gpu, plan, { image, alpha }, { image: pixels * 4 });
  expect(got["image"]).toEqual(Uint8Array.from(reference(image, alpha)));
});

it("refuses an empty image", () => {
  expect(() => replaceAlpha.check({ pixels: 0 })).toThrow(
    "replaceAlpha: pixels must be an integer ≥ 1, got 0",
  );
});
