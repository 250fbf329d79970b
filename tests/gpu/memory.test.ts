/** Accounting of buffers, on a device that only counts. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import type { ErrorScopes } from "../../src/gpu/error-scopes.ts";
import { DeviceError } from "../../src/gpu/errors.ts";
import { BUFFER_USAGE, DeviceMemory } from "../../src/gpu/memory.ts";

interface FakeBuffer {
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  destroyed: number;
}

function fakeMemory(limits: Partial<typeof BASELINE_CAPS.limits> = {}) {
  const made: FakeBuffer[] = [];
  const device = {
    createBuffer({ label, size, usage }: { label: string; size: number; usage: number }) {
      const buffer = { label, size, usage, destroyed: 0, destroy: () => void buffer.destroyed++ };
      made.push(buffer);
      return buffer;
    },
  } as unknown as GPUDevice;
  const caps = { ...BASELINE_CAPS, limits: { ...BASELINE_CAPS.limits, ...limits } };
  const scopes = { run: <T>(work: () => T) => work() } as ErrorScopes;
  return { memory: new DeviceMemory(device, caps, scopes), made };
}

describe("DeviceMemory", () => {
  it.each([
    [0, 16],
    [1, 16],
    [16, 16],
    [17, 32],
    [1000, 1008],
  ])("%i bytes take %i", (byteLength, size) => {
    const { memory, made } = fakeMemory();
    memory.create("x", byteLength, "weights");
    expect(made[0]?.size).toBe(size);
    expect(memory.use().currentBytes).toBe(size);
  });

  it("makes storage buffers that can be copied, unless told otherwise", () => {
    const { memory, made } = fakeMemory();
    memory.create("a", 16, "weights");
    memory.create("b", 16, "params", BUFFER_USAGE.UNIFORM);
    const { STORAGE, COPY_SRC, COPY_DST, UNIFORM } = BUFFER_USAGE;
    expect(made.map(({ usage }) => usage)).toEqual([STORAGE | COPY_SRC | COPY_DST, UNIFORM]);
  });

  it("counts bytes now and at the peak, in total and by purpose", () => {
    const { memory } = fakeMemory();
    const weights = memory.create("w", 160, "weights");
    const first = memory.create("a", 320, "activations");
    memory.release(first);
    memory.create("b", 64, "activations");
    expect(memory.use()).toEqual({
      currentBytes: 224,
      peakBytes: 480,
      byPurpose: {
        weights: { current: 160, peak: 160 },
        activations: { current: 64, peak: 320 },
      },
    });
    memory.resetPeak();
    expect(memory.use().peakBytes).toBe(224);
    expect(memory.use().byPurpose["activations"]).toEqual({ current: 64, peak: 64 });
    memory.release(weights);
    expect(memory.use()).toMatchObject({ currentBytes: 64, peakBytes: 224 });
  });

  it("hands out a report that later work does not change", () => {
    const { memory } = fakeMemory();
    memory.create("a", 16, "staging");
    const before = memory.use();
    memory.create("b", 16, "staging");
    expect(before.byPurpose["staging"]).toEqual({ current: 16, peak: 16 });
  });

  it("destroys once, however often a buffer is released, and nothing of others", () => {
    const { memory, made } = fakeMemory();
    const buffer = memory.create("a", 16, "images");
    memory.release(buffer);
    memory.release(buffer);
    expect(made[0]?.destroyed).toBe(1);
    expect(memory.use().currentBytes).toBe(0);
    const foreign = { size: 16, destroy: () => expect.fail("not ours") } as unknown as GPUBuffer;
    memory.release(foreign);
    expect(memory.use().currentBytes).toBe(0);
  });

  it("destroys all that is left", () => {
    const { memory, made } = fakeMemory();
    for (let i = 0; i < 5; i++) memory.create(`${i}`, 16, "activations");
    memory.destroyAll();
    memory.destroyAll();
    expect(made.map(({ destroyed }) => destroyed)).toEqual([1, 1, 1, 1, 1]);
    expect(memory.use().currentBytes).toBe(0);
  });

  it("refuses what the adapter does not allow, before asking the device", () => {
    const { memory, made } = fakeMemory({ maxStorageBufferBindingSize: 1024, maxBufferSize: 4096 });
    memory.create("fits", 1024, "weights");
    const tooLarge = () => memory.create("unet.conv_in.weight", 1025, "weights");
    expect(tooLarge).toThrow(DeviceError);
    expect(tooLarge).toThrow(
      'device: buffer "unet.conv_in.weight" needs 1040 bytes, this adapter allows 1024.',
    );
    // Only storage is bound as a whole: a readback may have the buffer limit.
    const readback = BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST;
    memory.create("readback", 4096, "staging", readback);
    expect(() => memory.create("readback", 4097, "staging", readback)).toThrow("allows 4096");
    expect(made.map(({ label }) => label)).toEqual(["fits", "readback"]);
    expect(memory.use().currentBytes).toBe(1024 + 4096);
  });

  it("uses the smaller limit where a driver offers bindings larger than buffers", () => {
    const { memory } = fakeMemory({ maxStorageBufferBindingSize: 4096, maxBufferSize: 1024 });
    expect(() => memory.create("x", 2048, "weights")).toThrow("allows 1024");
  });
});
