/** Failures of a real device: each test has its own, because it does not survive. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_LIMITS } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { adoptDevice, withOwnErrors } from "../../src/gpu/device.ts";
import { DeviceError, DeviceLostError } from "../../src/gpu/errors.ts";
import { BUFFER_USAGE } from "../../src/gpu/memory.ts";
import { submit } from "../../src/gpu/submit.ts";
import { readBytes, submittedWorkDone } from "../../src/gpu/transfer.ts";
import type { NodeGpuOptions } from "../../src/node/gpu.ts";
import { nodeGpuProvider, requestNodeGpu } from "../../src/node/gpu.ts";

const opened: Gpu[] = [];
async function open(options: NodeGpuOptions = {}): Promise<Gpu> {
  const gpu = await requestNodeGpu(options);
  opened.push(gpu);
  return gpu;
}
afterEach(() => {
  for (const gpu of opened.splice(0)) gpu.destroy();
});

/** A device that nobody has wrapped. */
async function requestedDevice(): Promise<{ readonly device: GPUDevice }> {
  const adapter = await (await nodeGpuProvider()).requestAdapter();
  return { device: await (adapter as GPUAdapter).requestDevice() };
}

/** Messages that the device's own handlers get from now on. */
function listen(device: GPUDevice): string[] {
  const heard: string[] = [];
  device.addEventListener("uncapturederror", ({ error }) => heard.push(error.message));
  return heard;
}

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

/** Usage that no buffer can have. */
const IMPOSSIBLE = BUFFER_USAGE.MAP_READ | BUFFER_USAGE.STORAGE;

describe("an error of our own work", () => {
  it("is thrown at the next wait, once, and reaches nobody else", async () => {
    const gpu = await open();
    const heard = listen(gpu.device);
    gpu.throwIfFailed();
    gpu.memory.create("impossible", 16, "staging", IMPOSSIBLE);
    const error: unknown = await submittedWorkDone(gpu).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).not.toBeInstanceOf(DeviceLostError);
    expect((error as Error).message).toMatch(/^device: .*usage/i);
    gpu.throwIfFailed();
    await submittedWorkDone(gpu);
    expect(gpu.lostError).toBeUndefined();
    expect(heard).toEqual([]);
  });

  it("goes to the user whose work it was, whatever the others do meanwhile", async () => {
    const gpu = await open();
    const [first, second] = [withOwnErrors(gpu), withOwnErrors(gpu)];
    const waits = [first, second].map((user) => {
      user.memory.create("x", 16, "staging", user === first ? IMPOSSIBLE : undefined);
      return submittedWorkDone(user);
    });
    await expect(waits[0]).rejects.toThrow(DeviceError);
    await waits[1];
    await submittedWorkDone(gpu);
    expect(gpu.memory.use().currentBytes).toBe(32); // the buffers are in one account
  });

  it("is forgotten on demand, also while it is on its way", async () => {
    const gpu = await open();
    gpu.memory.create("impossible", 16, "staging", IMPOSSIBLE);
    gpu.scopes.forget();
    await submittedWorkDone(gpu);
  });

  const throwing = ["createBuffer", "createCommandEncoder", "pushErrorScope", "popErrorScope"];
  it.each(throwing)("is typed where %s throws, and leaves no scope open", async (name) => {
    const { device } = await open();
    let isBroken = true;
    const faulty = new Proxy(device, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== "function") return value;
        return (...given: unknown[]): unknown => {
          if (property === name && isBroken) throw new RangeError("no room");
          return (value as (...all: unknown[]) => unknown).apply(target, given);
        };
      },
    });
    const gpu = adoptDevice(faulty);
    const error: unknown = await (async () => {
      if (name === "createBuffer") gpu.memory.create("x", 16, "staging");
      else submit(gpu, "x", () => undefined);
      await gpu.scopes.settled();
    })().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(DeviceError);
    expect((error as Error).message).toContain("no room");
    isBroken = false;
    if (name === "popErrorScope") return;
    await submittedWorkDone(gpu);
    await expect(device.popErrorScope()).rejects.toThrow("No error scopes");
  });
});

describe("an error of others on the device", () => {
  it("reaches their handlers and scopes, and no call of ours", async () => {
    const { device } = await open();
    const heard = listen(device);
    const gpu = adoptDevice(device);
    device.pushErrorScope("validation");
    gpu.memory.create("x", 16, "staging");
    device.createBuffer({ label: "in a scope", size: 16, usage: IMPOSSIBLE });
    const waiting = submittedWorkDone(gpu);
    const caught = device.popErrorScope();
    device.createBuffer({ label: "theirs", size: 16, usage: IMPOSSIBLE });
    await waiting;
    await submittedWorkDone(gpu);
    expect((await caught)?.message).toContain("in a scope");
    await expect.poll(() => heard.length).toBe(1);
    expect(heard[0]).toContain("theirs");
  });
});

describe("one device of several users", () => {
  it("has its shaders in common until the last one is destroyed", async () => {
    const { device, pipelines } = await open();
    const [first, second] = [adoptDevice(device), adoptDevice(device)];
    expect([first.pipelines, second.pipelines]).toEqual([pipelines, pipelines]);
    const mine = second.memory.create("x", 16, "staging");
    first.memory.create("y", 16, "staging");
    first.destroy();
    first.destroy(); // counts once
    expect(first.memory.use().currentBytes).toBe(0);
    expect((await readBytes(second, mine, 0, 16)).length).toBe(16);
    expect(adoptDevice(device).pipelines).toBe(pipelines);
  });

  it("keeps nothing of those who are gone", async () => {
    const { device } = await requestedDevice();
    const listeners = vi.spyOn(device, "addEventListener");
    const first = adoptDevice(device);
    first.destroy();
    const second = adoptDevice(device);
    expect(second.pipelines).not.toBe(first.pipelines);
    expect(second.lost).toBe(first.lost); // one reaction to the loss, however many come and go
    expect(listeners).not.toHaveBeenCalled();
    device.destroy();
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
    // Whose memory it is, only who opened it knows.
    expect(adopted.caps).toEqual({ ...owner.caps, memoryBudget: undefined });
    adopted.memory.create("x", 1024, "activations");
    adopted.destroy();
    expect(adopted.memory.use().currentBytes).toBe(0);
    await submittedWorkDone(owner);
    expect(owner.lostError).toBeUndefined();
  });
});
