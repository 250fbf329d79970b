/** Failures of a real device: each test has its own, because it does not survive. */
import { afterEach, describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { adoptDevice } from "../../src/gpu/device.ts";
import { DeviceError, DeviceLostError } from "../../src/gpu/errors.ts";
import { readBytes, submittedWorkDone } from "../../src/gpu/transfer.ts";
import type { NodeGpuOptions } from "../../src/node/gpu.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";

const opened: Gpu[] = [];
async function open(options: NodeGpuOptions = {}): Promise<Gpu> {
  const gpu = await requestNodeGpu(options);
  opened.push(gpu);
  return gpu;
}
afterEach(() => {
  for (const gpu of opened.splice(0)) gpu.destroy();
});

describe("a device", () => {
  it("has exactly the limits and features that caps tell", async () => {
    const { device, caps } = await open();
    for (const [name, value] of Object.entries(caps.limits)) {
      expect(device.limits[name as keyof typeof caps.limits], name).toBe(value);
    }
    expect(device.features.has("shader-f16")).toBe(caps.hasShaderF16);
    expect(device.features.has("subgroups")).toBe(caps.hasSubgroups);
    expect(device.features.has("timestamp-query")).toBe(caps.hasTimestampQuery);
  });

  it("can be had as the least that the standard allows", async () => {
    const withoutFeatures = ["shader-f16", "subgroups", "timestamp-query"];
    const { device, caps } = await open({ defaultLimits: true, withoutFeatures });
    expect(caps.limits).toEqual(DEFAULT_LIMITS);
    expect(withoutFeatures.filter((name) => device.features.has(name as GPUFeatureName))).toEqual(
      [],
    );
    expect([caps.hasShaderF16, caps.hasSubgroups, caps.hasTimestampQuery]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("an error that no scope has caught", () => {
  it("is thrown at the next check, once", async () => {
    const gpu = await open();
    gpu.throwIfFailed();
    gpu.device.createBuffer({ label: "impossible", size: 16, usage: 0x1 | 0x80 }); // MAP_READ | STORAGE
    await expect(submittedWorkDone(gpu)).rejects.toThrow(/^device: .*usage/i);
    gpu.throwIfFailed();
    await submittedWorkDone(gpu);
  });

  it("is a DeviceError and not a loss", async () => {
    const gpu = await open();
    gpu.device.createBuffer({ size: 16, usage: 0x1 | 0x80 });
    const error: unknown = await submittedWorkDone(gpu).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).not.toBeInstanceOf(DeviceLostError);
    expect(gpu.lostError).toBeUndefined();
  });
});

describe("a lost device", () => {
  it("rejects what waits on it and what comes later", async () => {
    const gpu = await open();
    const buffer = gpu.memory.create("x", 1024, "activations");
    gpu.device.destroy();
    const error = await gpu.lost;
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error.reason).toBe("destroyed");
    expect(error.message).toMatch(
      /^device: lost \(destroyed\): .*Create a new device and load again$/s,
    );
    expect(gpu.lostError).toBe(error);
    expect(() => gpu.throwIfFailed()).toThrow(error);
    await expect(readBytes(gpu, buffer, 0, 16)).rejects.toBe(error);
    await expect(submittedWorkDone(gpu)).rejects.toBe(error);
    expect(gpu.memory.use().byPurpose["staging"]?.current ?? 0).toBe(0);
  });

  it("rejects a readback that is under way", async () => {
    const gpu = await open();
    const buffer = gpu.memory.create("x", 1024, "activations");
    const reading = readBytes(gpu, buffer, 0, 16);
    gpu.device.destroy();
    await expect(reading).rejects.toThrow(DeviceError);
    expect(gpu.memory.use().byPurpose["staging"]?.current).toBe(0);
  });
});

describe("destroy", () => {
  it("frees all buffers and may be called again", async () => {
    const gpu = await open();
    gpu.memory.create("x", 1024, "activations");
    gpu.destroy();
    gpu.destroy();
    expect(gpu.memory.use().currentBytes).toBe(0);
    expect((await gpu.lost).reason).toBe("destroyed");
  });

  it("leaves an adopted device alive", async () => {
    const owner = await open();
    const adopted = adoptDevice(owner.device);
    expect(adopted.caps).toEqual(owner.caps);
    adopted.memory.create("x", 1024, "activations");
    adopted.destroy();
    expect(adopted.memory.use().currentBytes).toBe(0);
    await submittedWorkDone(owner);
    expect(owner.lostError).toBeUndefined();
  });
});
