/** Negotiation with an adapter, on one that is made up. */
import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_LIMITS, MATRIX_FEATURE } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { adoptDevice, requestGpu } from "../../src/gpu/device.ts";
import { DeviceError } from "../../src/gpu/errors.ts";

interface FakeAdapter {
  readonly features?: readonly string[];
  readonly limits?: Readonly<Record<string, number | undefined>>;
  readonly info?: Readonly<Record<string, unknown>>;
}

function fakeDevice(features: readonly string[], limits: Readonly<Record<string, number>>) {
  return Object.assign(new EventTarget(), {
    features: new Set(features),
    limits: { ...DEFAULT_LIMITS, ...limits },
    lost: new Promise<never>(() => {}),
    destroy: vi.fn<() => void>(),
  });
}

/** A `GPU` whose adapter has what `adapter` says, and the descriptor of the device that was asked for. */
function fakeGpu(adapter: FakeAdapter = {}) {
  const asked: GPUDeviceDescriptor[] = [];
  const made: ReturnType<typeof fakeDevice>[] = [];
  const requestAdapter = vi.fn<(options?: GPURequestAdapterOptions) => Promise<unknown>>(() =>
    Promise.resolve({
      features: new Set(adapter.features),
      limits: { ...DEFAULT_LIMITS, ...adapter.limits },
      info: { vendor: "", architecture: "", device: "", description: "", ...adapter.info },
      requestDevice(descriptor: GPUDeviceDescriptor) {
        asked.push(descriptor);
        const device = fakeDevice(
          [...(descriptor.requiredFeatures ?? [])],
          descriptor.requiredLimits as Record<string, number>,
        );
        made.push(device);
        return Promise.resolve(device);
      },
    }),
  );
  return { gpu: { requestAdapter } as unknown as GPU, requestAdapter, asked, made };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("requestGpu says what to do", () => {
  it.each([undefined, {}])("without WebGPU (navigator is %j)", async (navigator) => {
    vi.stubGlobal("navigator", navigator);
    await expect(requestGpu()).rejects.toThrow(DeviceError);
    await expect(requestGpu()).rejects.toThrow(
      "device: this environment has no WebGPU (navigator.gpu is missing). Use a current browser, " +
        'Deno with --unstable-webgpu, or pass { gpu } from the npm package "webgpu" in Node',
    );
  });

  it("where no adapter answers", async () => {
    const gpu = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;
    await expect(requestGpu({ gpu })).rejects.toThrow(DeviceError);
    await expect(requestGpu({ gpu })).rejects.toThrow(
      /no adapter answered. Check the graphics driver/,
    );
  });

  it("where asking for one fails", async () => {
    const cause = new TypeError("not here");
    const gpu = { requestAdapter: () => Promise.reject(cause) } as unknown as GPU;
    const error: unknown = await requestGpu({ gpu }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({
      message: "device: asking for an adapter failed: not here",
      cause,
    });
  });

  it("where the adapter gives no device", async () => {
    const { gpu, requestAdapter } = fakeGpu();
    requestAdapter.mockResolvedValue({
      features: new Set(),
      limits: {},
      requestDevice: () => Promise.reject(new TypeError("adapter is consumed")),
    });
    await expect(requestGpu({ gpu })).rejects.toThrow(
      "device: the adapter refused a device: adapter is consumed",
    );
    await expect(requestGpu({ gpu })).rejects.toThrow(DeviceError);
  });
});

describe("requestGpu asks", () => {
  it("navigator.gpu where no GPU is given", async () => {
    const { gpu, requestAdapter } = fakeGpu();
    vi.stubGlobal("navigator", { gpu });
    await requestGpu({ powerPreference: "high-performance" });
    expect(requestAdapter).toHaveBeenCalledWith({ powerPreference: "high-performance" });
  });

  it("for the features that the engine can use and the adapter has", async () => {
    const features = ["shader-f16", "subgroups", "timestamp-query", "texture-compression-bc"];
    const { gpu, asked } = fakeGpu({ features });
    const { caps } = await requestGpu({ gpu });
    expect(asked[0]?.requiredFeatures).toEqual(["shader-f16", "subgroups", "timestamp-query"]);
    expect([caps.hasShaderF16, caps.hasSubgroups, caps.hasTimestampQuery]).toEqual([
      true,
      true,
      true,
    ]);
  });

  it("for pinned subgroup sizes beside matrix units only: they bring subgroups along", async () => {
    const sizes = ["subgroups", "subgroup-size-control"];
    const plain = fakeGpu({ features: sizes });
    await requestGpu({ gpu: plain.gpu });
    expect(plain.asked[0]?.requiredFeatures).toEqual(["subgroups"]);
    const matrix = fakeGpu({ features: [...sizes, MATRIX_FEATURE] });
    const { caps } = await requestGpu({ gpu: matrix.gpu });
    expect(matrix.asked[0]?.requiredFeatures).toEqual([
      "subgroups",
      MATRIX_FEATURE,
      "subgroup-size-control",
    ]);
    expect(caps.matrixRefusal).toBe("shader-f16 and subgroups are needed as well");
  });

  it("for none that it is told to leave out", async () => {
    const { gpu, asked } = fakeGpu({ features: ["shader-f16", "subgroups"] });
    const { caps } = await requestGpu({ gpu, withoutFeatures: ["shader-f16"] });
    expect(asked[0]?.requiredFeatures).toEqual(["subgroups"]);
    expect(caps.hasShaderF16).toBe(false);
  });

  it("for the adapter's limits where they are above the standard's, alignments excepted", async () => {
    const limits = {
      maxBufferSize: 2 ** 32,
      maxComputeWorkgroupStorageSize: 32_768,
      maxStorageBuffersPerShaderStage: 8,
      minStorageBufferOffsetAlignment: 32,
      maxComputeWorkgroupSizeX: undefined, // an implementation that leaves one out
    };
    const { gpu, asked } = fakeGpu({ limits });
    const { caps } = await requestGpu({ gpu });
    expect(asked[0]?.requiredLimits).toEqual({
      maxBufferSize: 2 ** 32,
      maxComputeWorkgroupStorageSize: 32_768,
    });
    expect(caps.limits.maxBufferSize).toBe(2 ** 32);
    expect(caps.limits.maxComputeWorkgroupSizeX).toBe(256);
  });

  it("for no limits at all with defaultLimits", async () => {
    const { gpu, asked } = fakeGpu({ limits: { maxBufferSize: 2 ** 32 } });
    const { caps } = await requestGpu({ gpu, defaultLimits: true });
    expect(asked[0]?.requiredLimits).toEqual({});
    expect(caps.limits).toEqual(DEFAULT_LIMITS);
  });
});

describe("caps", () => {
  it("holds the adapter's names, and that it is a CPU", async () => {
    const info = { vendor: "google", architecture: "swiftshader", device: "0xc0de" };
    const { caps } = await requestGpu({ gpu: fakeGpu({ info }).gpu });
    expect(caps).toMatchObject({ ...info, description: "", isSoftware: true });
    const fallback = await requestGpu({ gpu: fakeGpu({ info: { isFallbackAdapter: true } }).gpu });
    expect(fallback.caps.isSoftware).toBe(true);
  });

  it("lists matrix shapes only where the device has the feature", async () => {
    const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 8 };
    const info = { subgroupMatrixConfigs: [{ ...config, extra: 1 }] };
    const features = ["chromium-experimental-subgroup-matrix"];
    const offered = await requestGpu({ gpu: fakeGpu({ features, info }).gpu });
    expect(offered.caps.subgroupMatrixConfigs).toEqual([config]);
    const refused = await requestGpu({ gpu: fakeGpu({ info }).gpu });
    expect(refused.caps.subgroupMatrixConfigs).toEqual([]);
    expect(refused.caps.matrixRefusal).toBe(`the device has no feature ${MATRIX_FEATURE}`);
  });

  it.each([
    [
      [{ componentType: "f32", resultComponentType: "f32", M: 8, N: 8, K: 8 }],
      [32, 32],
      "no shape of f16 factors with f32 sums is of use, offered: f32 → f32 8×8×8",
    ],
    [
      [{ componentType: "f16", resultComponentType: "f32", M: 64, N: 8, K: 16 }],
      [32, 32],
      "no shape of f16 factors with f32 sums is of use, offered: f16 → f32 64×8×16",
    ],
    [
      [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
      [32, 64],
      "subgroups of 32 to 64 cannot be pinned to one size",
    ],
  ])("refuses matrix units without a probe: %j, subgroups of %j", async (configs, sizes, why) => {
    const [subgroupMinSize, subgroupMaxSize] = sizes;
    const info = { subgroupMatrixConfigs: configs, subgroupMinSize, subgroupMaxSize };
    const features = [MATRIX_FEATURE, "shader-f16", "subgroups"];
    const { caps } = await requestGpu({ gpu: fakeGpu({ features, info }).gpu });
    expect([caps.matrixUnits, caps.matrixRefusal]).toEqual([null, why]);
  });

  it("has no matrix units where the device fails the probe in whatever way", async () => {
    const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
    const info = { subgroupMatrixConfigs: [config], subgroupMinSize: 32, subgroupMaxSize: 32 };
    const features = [MATRIX_FEATURE, "shader-f16", "subgroups"];
    const { caps } = await requestGpu({ gpu: fakeGpu({ features, info }).gpu }); // a device without methods
    expect(caps.matrixUnits).toBeNull();
    expect(caps.matrixRefusal).toMatch(/^their probe fails: /);
  });
});

describe("destroy", () => {
  it("ends a device that was requested, once", async () => {
    const { gpu, made } = fakeGpu();
    const requested = await requestGpu({ gpu });
    requested.destroy();
    requested.destroy();
    expect(made[0]?.destroy).toHaveBeenCalledTimes(1);
  });

  it("leaves a device that was adopted to its owner", () => {
    const device = fakeDevice([], {});
    const adopted = adoptDevice(device as unknown as GPUDevice);
    adopted.destroy();
    expect(device.destroy).not.toHaveBeenCalled();
  });
});

describe("what gives the adapter", () => {
  // Dawn's ends the process when it is collected before its devices.
  it("is kept until the device is destroyed, and by the device after that", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const request = async (): Promise<{ readonly given: WeakRef<GPU>; readonly gpu: Gpu }> => {
      // Without mocks, which keep what they are called on.
      const device = Object.assign(fakeDevice([], {}), { destroy: () => undefined });
      const adapter = { features: new Set(), limits: {}, requestDevice: async () => device };
      const gpu = { requestAdapter: async () => adapter } as unknown as GPU;
      return { given: new WeakRef(gpu), gpu: await requestGpu({ gpu }) };
    };
    const isKept = async (given: WeakRef<GPU>): Promise<boolean> => {
      for (let i = 0; i < 3; i++) {
        await pause(1);
        collect();
      }
      return given.deref() !== undefined;
    };
    expect(await isKept((await request()).given)).toBe(true); // whoever has it may still wait
    const { given, gpu } = await request();
    expect(await isKept(given)).toBe(true);
    const own: { device?: GPUDevice } = { device: gpu.device };
    gpu.destroy();
    expect(await isKept(given)).toBe(true);
    expect(own.device).toBeDefined();
    const forgotten = await request().then((made) => {
      made.gpu.destroy();
      return made.given;
    });
    expect(await isKept(forgotten)).toBe(false);
  });
});
