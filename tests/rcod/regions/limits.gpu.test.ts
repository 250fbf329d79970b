/** Pictures on a device with the limits that every WebGPU device has: bindings of 128 MiB, textures of 8192 pixels a side. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Caps } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import { folderFiles, requestNodeGpu } from "../../../src/node/index.ts";
import { planCall } from "../../../src/rcod/inspect/call-plan.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import type { Pipeline } from "../../../src/rcod/pipeline.ts";
import { callPlaces, regionSizes } from "../../../src/rcod/stages/call-networks.ts";
import { regionCount } from "../../../src/rcod/tiles/region-plan.ts";
import { minimalPipeline, testImage } from "../support.ts";

const MIB = 2 ** 20;
const BINDING = 128 * MIB;

describe("photographs of any size", async () => {
  const configs = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
  /** As phones have it: the least bindings, and a memory that nobody tells. */
  const caps: Caps = { ...BASELINE_CAPS, hasShaderF16: true };

  it.each([
    [1600, 1200, 4],
    [4000, 3000, 2],
    [6000, 4000, 1],
    [6000, 4000, 4],
    [24_000, 1000, 4],
  ])("%i×%i ×%f: no buffer of SD 2.1's is larger than a binding", (width, height, scale) => {
    const size = { width, height };
    const result = { width: width * scale, height: height * scale };
    const { geometry, plan } = callPlaces(configs, caps, "f16", size, result, {});
    expect(regionCount(plan)).toBeGreaterThan(1);
    const own = plan ? regionSizes(configs, plan) : geometry;
    const call = planCall(configs, size, geometry, own, regionCount(plan), "f16", caps);
    expect(Math.max(...call.poolSlotBytes)).toBeLessThanOrEqual(BINDING);
    // What a region takes does not grow with its picture.
    const bytes = call.poolSlotBytes.reduce((sum, slot) => sum + slot, 0);
    expect(bytes).toBeLessThanOrEqual(512 * MIB);
  });
});

describe("a device with default limits", () => {
  let gpu: Gpu;
  let pipeline: Pipeline;
  beforeAll(async () => {
    gpu = await requestNodeGpu({ defaultLimits: true });
    ({ pipeline } = await minimalPipeline(gpu));
  });
  afterAll(() => {
    pipeline.dispose();
    gpu.destroy();
  });

  it("has them", () => {
    const { maxStorageBufferBindingSize, maxTextureDimension2D } = gpu.device.limits;
    expect([maxStorageBufferBindingSize, maxTextureDimension2D]).toEqual([BINDING, 8192]);
  });

  it("enlarges a picture to more than a texture's side, as a whole and in regions", async () => {
    const image = testImage(2100, 2);
    const whole = await pipeline.upscale(image);
    expect([whole.regions, whole.image.width, whole.image.height]).toEqual([1, 8400, 8]);
    const parted = await pipeline.upscale(image, { region: 4096 });
    expect(parted.regions).toBe(3);
    expect([parted.image.width, parted.image.height]).toEqual([8400, 8]);
    await expect(pipeline.upscale(image, { output: "texture" })).rejects.toThrow(
      "texture: sides must be at most 8192 on this device",
    );
  });
});
