/** Shaders that are compiled before a call: those that it needs, no other, and the same picture. */
import { describe, expect, it, vi } from "vitest";
import { requestNodeGpu } from "../../../src/node/gpu.ts";
import type { LoadOptions } from "../../../src/rcod/model.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { RawImage, UpscaleOptions } from "../../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { minimalFiles, testImage } from "../support.ts";

useGpu(); // skips where there is none

/** Pictures of calls on a device of their own, and how many shaders there are before the first and after each. */
async function run(
  options: Pick<LoadOptions, "prepareFor" | "lowMemory">,
  calls: readonly (readonly [RawImage, UpscaleOptions?])[],
) {
  const gpu = await requestNodeGpu();
  try {
    const files = memoryFiles(await minimalFiles());
    const prepare = vi.spyOn(gpu.pipelines, "prepare");
    const model = await loadModel(files, { gpu, ...options });
    const prepared = new Set(prepare.mock.calls.map(([, code]) => code));
    const sizes: number[] = [];
    const pictures: Uint8Array[] = [];
    for (const [image, callOptions] of calls) {
      pictures.push(Uint8Array.from((await model.upscale(image, callOptions)).image.data));
      sizes.push(gpu.pipelines.size);
    }
    model.dispose();
    return { prepared: prepared.size, sizes, pictures };
  } finally {
    gpu.destroy();
  }
}

describe("prepareFor", () => {
  const small = testImage(16, 12);
  const large = testImage(40, 24);

  it("plans while the weights load, for the call that comes", async () => {
    const plain = await run({}, [[small], [large]]);
    const ahead = await run({ prepareFor: { width: 16, height: 12 } }, [[small], [large]]);
    expect(plain.prepared).toBe(0);
    expect(ahead.prepared).toBeGreaterThan(5);
    expect(ahead.pictures).toEqual(plain.pictures);
    expect(ahead.sizes).toEqual(plain.sizes); // nothing that the call does not run
  });

  it.each([
    ["a tile", { tile: 64 }],
    ["the reference's sizes", { reference: true }],
  ])("takes %s into account", async (_, options) => {
    const plain = await run({}, [[large, options]]);
    const ahead = await run({ prepareFor: { width: 40, height: 24, ...options } }, [
      [large, options],
    ]);
    expect(ahead.pictures).toEqual(plain.pictures);
    expect(ahead.sizes).toEqual(plain.sizes);
  });

  it("changes nothing for another image, nor with little memory", async () => {
    const plain = await run({ lowMemory: true }, [[small], [large], [small]]);
    const ahead = await run({ lowMemory: true, prepareFor: { width: 40, height: 24 } }, [
      [small],
      [large],
      [small],
    ]);
    expect(ahead.pictures).toEqual(plain.pictures);
  });

  it("leaves it to the call to refuse an impossible size", async () => {
    const { pictures } = await run({ prepareFor: { width: 1, height: 1e9 } }, [[small]]);
    expect(pictures).toHaveLength(1);
  });
});
