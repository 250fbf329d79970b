import { describe, expect, it, vi } from "vitest";
import { DeviceError } from "../../src/gpu/errors.ts";
import { PipelineCache } from "../../src/gpu/pipelines.ts";
import { submittedWorkDone } from "../../src/gpu/transfer.ts";
import { useGpu } from "../support/gpu.ts";

const setup = useGpu();

const shader = (value: string): string => /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main() { y[0] = ${value}; }
`;

describe("PipelineCache", () => {
  it("compiles equal code once, whatever it is called", async () => {
    const cache = new PipelineCache(setup.gpu.device);
    const [a, b] = await Promise.all([
      cache.get("first", shader("1.0"), ["read_write"]),
      cache.get("second", shader("1.0"), ["read_write"]),
    ]);
    expect(b).toBe(a);
    expect(await cache.get("third", shader("1.0"), ["read_write"])).toBe(a);
    expect(cache.size).toBe(1);
    const other = await cache.get("first", shader("2.0"), ["read_write"]);
    expect(other.pipeline).not.toBe(a.pipeline);
    expect(other.layout).toBe(a.layout); // one layout for equal bindings: bind groups fit both
    expect(cache.size).toBe(2);
    expect(cache.compileMs).toBeGreaterThan(0);
  });

  it("prepares in order, a few at once, and lets those who wait go first", async () => {
    const { device } = setup.gpu;
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const slow = new Proxy(device, {
      get(target, name) {
        if (name !== "createComputePipelineAsync") {
          const value: unknown = Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        }
        return async (descriptor: GPUComputePipelineDescriptor) => {
          begun.push(descriptor.label ?? "");
          await new Promise<void>((resolve) => ends.push(resolve));
          return target.createComputePipelineAsync(descriptor);
        };
      },
    });
    const cache = new PipelineCache(slow);
    const code = (label: string): string => shader(`${label}.0`);
    const labels = ["1", "2", "3", "4", "5", "6", "7"];
    for (const label of labels) cache.prepare(label, code(label), ["read_write"]);
    for (const label of labels) cache.prepare(label, code(label), ["read_write"]); // known
    expect(begun).toEqual(["1", "2", "3", "4"]);
    const wanted = cache.get("6", code("6"), ["read_write"]);
    expect(begun).toEqual(["1", "2", "3", "4", "6"]);
    ends.pop()?.();
    await wanted;
    ends.shift()?.();
    await cache.get("1", code("1"), ["read_write"]);
    await vi.waitFor(() => expect(begun).toEqual(["1", "2", "3", "4", "6", "5"]));
    cache.dropPrepared();
    for (const end of ends) end();
    await Promise.all(labels.slice(0, 6).map((l) => cache.get(l, code(l), ["read_write"])));
    expect(begun).toHaveLength(6); // each once, and nobody asked for the last
  });

  it("tries again what has failed once", async () => {
    const { device } = setup.gpu;
    let failures = 1;
    const flaky = new Proxy(device, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        if (name !== "createComputePipelineAsync" || failures-- <= 0) return value.bind(target);
        return () => Promise.reject(new DOMException("no memory", "OperationError"));
      },
    });
    const cache = new PipelineCache(flaky);
    const get = () => cache.get("flaky", shader("9.0"), ["read_write"]);
    const both = await Promise.allSettled([get(), get()]); // one compilation
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(both[0]).toMatchObject({ reason: expect.any(DeviceError) });
    const made = await get();
    expect(await get()).toBe(made);
    expect(cache.size).toBe(1);
  });

  it("tells of what is broken whoever asks for it", async () => {
    const cache = new PipelineCache(setup.gpu.device);
    cache.prepare("bad", shader("nonsense"), ["read_write"]);
    await expect(cache.get("bad", shader("nonsense"), ["read_write"])).rejects.toThrow(
      'kernel "bad" does not compile here',
    );
    await submittedWorkDone(setup.gpu);
  });

  it("has a slot for an operand that the code leaves out", async () => {
    const cache = new PipelineCache(setup.gpu.device);
    await cache.get("unused operands", shader("3.0"), ["read_write", "read", "uniform"]);
  });

  it.each([
    ["text that is no WGSL", "fn main( {", ["read_write"]],
    ["a type error", shader("1u + 1.0"), ["read_write"]],
    ["no entry point", shader("1.0").replace("fn main", "fn start"), ["read_write"]],
    ["another access than the layout's", shader("1.0"), ["read"]],
    ["a binding that the layout lacks", shader("1.0"), []],
  ] as const)("names the kernel for %s", async (_, code, bindings) => {
    const { gpu } = setup;
    const cache = new PipelineCache(gpu.device);
    const failure: unknown = await cache
      .get("conv2d/register 3x3", code, bindings)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DeviceError);
    expect((failure as Error).message).toMatch(
      /^device: kernel "conv2d\/register 3x3" does not compile here: ./,
    );
    // Told once, here: it must not come back as an uncaught error of the device.
    await submittedWorkDone(gpu);
  });

  it("blames the broken one of two that compile together", async () => {
    const cache = new PipelineCache(setup.gpu.device);
    const [good, bad] = await Promise.allSettled([
      cache.get("good", shader("4.0"), ["read_write"]),
      cache.get("bad", shader("nonsense"), ["read_write"]),
    ]);
    expect([good.status, bad.status]).toEqual(["fulfilled", "rejected"]);
    expect(bad).toMatchObject({ reason: { message: expect.stringMatching(/kernel "bad"/) } });
  });
});
