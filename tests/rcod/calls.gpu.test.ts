/** What a call takes of its caller: pixels, options, a signal, and when. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { requestGpu } from "../../src/gpu/device.ts";
import { ShapeError } from "../../src/gpu/shape.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RcodModel } from "../../src/rcod/model.ts";
import type { ImageInput, LoadOptions } from "../../src/rcod/model.ts";
import type { RawImage, Stage, UpscaleOptions } from "../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { useGpu } from "../support/gpu.ts";
import { makeTexture, writeTexture } from "../support/texture.ts";
import { minimalFiles, testImage } from "./support.ts";

const setup = useGpu();
let model: RcodModel;
beforeAll(async () => {
  model = await loadModel(memoryFiles(await minimalFiles()), { gpu: setup.gpu });
});
afterAll(() => model.dispose());
afterEach(() => void vi.restoreAllMocks());

const liveBytes = (): number => setup.gpu.memory.use().currentBytes;

describe("pixels", () => {
  const image = testImage(6, 5, 4);
  const shared = (data: ArrayLike<number>, Kind: typeof Uint8Array | typeof Uint16Array) => {
    const copy = new Kind(
      new SharedArrayBuffer(data.length * Kind.BYTES_PER_ELEMENT) as unknown as ArrayBuffer,
    );
    copy.set(data);
    return copy;
  };
  const deep = Uint16Array.from(image.data, (level) => level * 257);

  it.each<[string, RawImage["data"]]>([
    ["a Uint8ClampedArray", new Uint8ClampedArray(image.data)],
    ["a Buffer within a larger one", Buffer.from([0, 0, 0, ...image.data]).subarray(3)],
    ["shared memory", shared(image.data, Uint8Array)],
    ["an array of another realm", otherRealm(image.data)],
  ])("of %s give the same picture", async (_, data) => {
    const expected = await model.upscale(image);
    const result = await model.upscale({ ...image, data });
    expect(result.image.data).toEqual(expected.image.data);
  });

  it("of 16 bits in shared memory give the picture of 16 bits", async () => {
    const expected = await model.upscale({ ...image, data: deep });
    const result = await model.upscale({ ...image, data: shared(deep, Uint16Array) });
    expect(result.image.data).toBeInstanceOf(Uint16Array);
    expect(result.image.data).toEqual(expected.image.data);
  });

  it.each<[string, unknown]>([
    ["Array", Array.from(image.data)],
    ["Float32Array", Float32Array.from(image.data)],
    ["Float64Array", Float64Array.from(image.data)],
    ["Int8Array", Int8Array.from(image.data)],
    ["Uint32Array", Uint32Array.from(image.data)],
    ["DataView", new DataView(new ArrayBuffer(120))],
    ["ArrayBuffer", new ArrayBuffer(120)],
    ["Undefined", undefined],
    ["String", "x".repeat(120)],
  ])("in a %s are refused, and nothing is kept", async (kind, data) => {
    const before = liveBytes();
    const call = model.upscale({ ...image, data } as RawImage);
    await expect(call).rejects.toThrow(ShapeError);
    await expect(call).rejects.toThrow(
      `image: data must be a Uint8Array, Uint8ClampedArray or Uint16Array, got ${kind}`,
    );
    expect(liveBytes()).toBe(before);
  });

  it.each<[unknown, string]>([
    [null, "got null"],
    [undefined, "got undefined"],
    ["boats.png", 'got "boats.png"'],
    [new Uint8Array(120), "got Uint8Array"],
    [new Blob(), "got Blob"],
    [{}, "createImageBitmap() makes a bitmap of images, videos and files"],
  ])("%o is no image", async (given, message) => {
    const call = model.upscale(given as ImageInput);
    await expect(call).rejects.toThrow(ShapeError);
    await expect(call).rejects.toThrow(message);
  });

  it("in a colour space that nobody knows are refused", async () => {
    const call = model.upscale({ ...image, colorSpace: "p3" } as unknown as RawImage);
    await expect(call).rejects.toThrow('colorSpace must be "srgb" or "display-p3", got "p3"');
  });

  it("are taken when the call is made, whatever its turn", async () => {
    const [a, b] = [testImage(6, 6, 4, 1), testImage(6, 6, 4, 2)];
    const expected = await Promise.all([model.upscale(a), model.upscale(b)]);
    const frame = { ...a, data: new Uint8Array(a.data) };
    const mask = new Uint8Array([0, 255]);
    const realismMask = { data: mask, width: 2, height: 1, realism: "realism" } as const;
    const masked = await model.upscale(b, { realismMask });
    const calls = [model.upscale(frame, { reuse: false })];
    frame.data.set(b.data);
    calls.push(model.upscale(frame, { reuse: false }));
    calls.push(model.upscale(frame, { reuse: false, realismMask }));
    mask.fill(0);
    frame.data.fill(0);
    const results = await Promise.all(calls);
    expect(results.map(({ image: { data } }) => data)).toEqual(
      [...expected, masked].map(({ image: { data } }) => data),
    );
  });

  it("of a texture are taken when the call is made", async () => {
    const [a, b] = [testImage(6, 6, 4, 1), testImage(6, 6, 4, 2)];
    const expected = await Promise.all([model.upscale(a), model.upscale(b)]);
    const before = liveBytes();
    const texture = makeTexture(setup.gpu, 6, 6, a.data);
    const calls = [model.upscale(texture, { reuse: false })];
    writeTexture(setup.gpu, texture, b.data);
    calls.push(model.upscale(texture, { reuse: false }));
    writeTexture(setup.gpu, texture, new Uint8Array(144));
    texture.destroy();
    const results = await Promise.all(calls);
    expect(results.map(({ image: { data } }) => data)).toEqual(
      expected.map(({ image: { data } }) => data),
    );
    await model.upscale(b);
    expect(liveBytes()).toBe(before);
  });
});

/** A copy of bytes in an array of another realm, as an iframe's. */
function otherRealm(bytes: ArrayLike<number>): Uint8Array {
  const { runInNewContext } = process.getBuiltinModule("node:vm");
  const make = runInNewContext("(list) => Uint8Array.from(list)") as (
    list: ArrayLike<number>,
  ) => Uint8Array;
  return make(bytes);
}

describe("options", () => {
  const image = testImage(4, 4);

  it.each<[object, new () => Error, string]>([
    [{ colorFix: "wavlet" }, RangeError, '"adain" or "wavelet" or "none", got "wavlet"'],
    [{ colourFix: "adain" }, TypeError, 'no option "colourFix". Did you mean "colorFix"?'],
    [{ seed: NaN }, RangeError, "seed must be an integer in 0 … 4294967295, got NaN"],
    [{ seed: Infinity }, RangeError, "got Infinity"],
    [{ seed: 2 ** 40 }, RangeError, "got 1099511627776"],
    [{ seed: "7" }, RangeError, 'got "7"'],
    [{ tile: 63 }, RangeError, "tile must be an integer ≥ 64 output pixels, got 63"],
    [{ reference: 1 }, TypeError, "reference must be true or false, got 1"],
    [
      { output: "canvas" },
      RangeError,
      'output must be "image" or "texture" or "regions", got "canvas"',
    ],
    [{ depth: 10 }, RangeError, "depth must be 8 or 16, got 10"],
    [{ realism: "realistic" }, RangeError, "realism: must be"],
    [{ realism: null }, RangeError, "got null"],
    [{ timestep: 1000 }, RangeError, "timestep must be a number in 0 … 999, got 1000"],
    [{ inspect: { passs: true } }, TypeError, 'inspect: there is no option "passs"'],
    [{ inspect: { captures: "unet" } }, TypeError, "captures must be a list of names"],
    [
      { realismMask: { data: new Int8Array(1), width: 1, height: 1, realism: 1 } },
      ShapeError,
      "realismMask: data must be",
    ],
    [
      { realismMask: { data: new Uint8Array(1), width: 1, height: 1, realims: 1 } },
      TypeError,
      'no option "realims". Did you mean "realism"?',
    ],
    [{ signal: "stop" }, TypeError, "signal must be an AbortSignal"],
    [{ onProgress: true }, TypeError, "onProgress must be a function"],
  ])("%o are refused before any work", async (options, type, message) => {
    const before = liveBytes();
    const call = model.upscale(image, options as UpscaleOptions);
    await expect(call).rejects.toThrow(type);
    await expect(call).rejects.toThrow(message);
    expect(liveBytes()).toBe(before);
  });

  it("of plan() are checked", () => {
    expect(() => model.plan({ width: 64, height: 64, tile: 3 })).toThrow(
      "plan: tile must be an integer ≥ 64 output pixels, got 3",
    );
    expect(() => model.plan({ width: 64.5, height: 64 })).toThrow("plan: width must be an integer");
  });

  it("all seeds are other pictures", async () => {
    const pictures = new Set<string>();
    for (const seed of [0, 1, 2 ** 31, 2 ** 32 - 1]) {
      pictures.add((await model.upscale(image, { seed })).image.data.join());
    }
    expect(pictures.size).toBe(4);
  });

  it.each<[object, string]>([
    [{ precison: "f16" }, 'loadModel: there is no option "precison". Did you mean "precision"?'],
    [{ precision: "fp16" }, 'precision must be "auto" or "f32" or "f16", got "fp16"'],
    [{ lowMemory: "yes" }, "lowMemory must be true or false"],
    [{ autotune: "yes" }, "autotune must be true, false or a table"],
    [{ tuningStore: {} }, "tuningStore must be an object with read() and write()"],
    [{ prepareFor: { width: 4, hight: 4 } }, 'prepareFor: there is no option "hight"'],
    [{ prepareFor: { width: 0, height: 4 } }, "prepareFor: width must be an integer ≥ 1, got 0"],
    [{ gpu: null }, "gpu must be an object, got null"],
  ])("of loading: %o are refused", async (options, message) => {
    const files = { name: "never opened", open: () => Promise.reject(new Error("opened")) };
    await expect(loadModel(files, options as LoadOptions)).rejects.toThrow(message);
  });
});

describe("sources of models", () => {
  it.each<[unknown, string]>([
    [null, "got null"],
    [undefined, "got undefined"],
    [3, "got 3"],
    [{}, "got Object"],
    [{ modle: "http://host/model" }, "got Object"],
    [{ model: "http://host/model", checkpont: "http://host/c.pkl" }, 'mean "checkpoint"?'],
    [{ model: "http://host/model", checkpoint: {} }, "got Object"],
    [{ model: "http://host/model", clip: 1 }, "got 1"],
  ])("%o is none", async (source, message) => {
    const loading = loadModel(source as string, { gpu: setup.gpu });
    await expect(loading).rejects.toThrow(TypeError);
    await expect(loading).rejects.toThrow(message);
  });

  it.each<[object, string]>([
    [{ powerPreference: "high" }, 'must be "low-power" or "high-performance", got "high"'],
    [{ withoutFeature: ["shader-f16"] }, 'Did you mean "withoutFeatures"?'],
    [{ defaultLimits: 1 }, "defaultLimits must be true or false"],
  ])("a device by %o is refused", async (options, message) => {
    await expect(requestGpu(options)).rejects.toThrow(message);
  });
});

describe("a signal", () => {
  const image = testImage(9, 7);
  const stages: readonly Stage[] = ["preprocess", "tokens", "encode", "unet", "decode", "color"];

  it.each(stages)(
    "ends a call within its stage %s, at once, and nothing is left",
    async (stage) => {
      await model.upscale(image);
      const before = liveBytes();
      const textures = vi.spyOn(setup.gpu.device, "createTexture");
      const controller = new AbortController();
      let abortedAt = 0;
      const call = model.upscale(image, {
        output: "texture",
        enlarged: true,
        reuse: false,
        signal: controller.signal,
        onProgress: (progress) => {
          if (progress.stage !== stage || abortedAt > 0) return;
          abortedAt = performance.now();
          controller.abort(new Error(`at ${stage}`));
        },
      });
      await expect(call).rejects.toThrow(`at ${stage}`);
      // Some milliseconds; a busy machine and its software adapter may stop the clock for longer.
      expect(performance.now() - abortedAt).toBeLessThan(1000);
      await model.upscale(image);
      expect(liveBytes()).toBe(before);
      for (const { value } of textures.mock.results) await expectDestroyed(value as GPUTexture);
    },
  );

  /** A destroyed texture cannot be copied from. */
  async function expectDestroyed(texture: GPUTexture): Promise<void> {
    const { device } = setup.gpu;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder();
    const target = device.createBuffer({ size: 256, usage: 0x8 });
    encoder.copyTextureToBuffer({ texture }, { buffer: target }, [1, 1]);
    device.queue.submit([encoder.finish()]);
    expect((await device.popErrorScope())?.message).toMatch(/destroyed texture/i);
    target.destroy();
  }

  it("that aborts with the last word ends the call too", async () => {
    const controller = new AbortController();
    const textures = vi.spyOn(setup.gpu.device, "createTexture");
    const call = model.upscale(image, {
      output: "texture",
      signal: controller.signal,
      onProgress: ({ fraction }) => {
        if (fraction === 1) controller.abort(new Error("at the end"));
      },
    });
    await expect(call).rejects.toThrow("at the end");
    await model.upscale(image);
    expect(textures.mock.results).toHaveLength(1);
    for (const { value } of textures.mock.results) await expectDestroyed(value as GPUTexture);
  });

  it("that was aborted before ends the call before it takes anything", async () => {
    const before = liveBytes();
    const texture = makeTexture(setup.gpu, 6, 6, testImage(6, 6, 4).data);
    const call = model.upscale(texture, { signal: AbortSignal.abort(new Error("early")) });
    expect(liveBytes()).toBe(before);
    await expect(call).rejects.toThrow("early");
    texture.destroy();
  });

  it("ends a call that waits, which then holds nothing", async () => {
    const texture = makeTexture(setup.gpu, 6, 6, testImage(6, 6, 4).data);
    await model.upscale(image);
    const before = liveBytes();
    const running = model.upscale(image);
    const controller = new AbortController();
    const waiting = model.upscale(texture, { signal: controller.signal });
    controller.abort(new Error("changed my mind"));
    await expect(waiting).rejects.toThrow("changed my mind");
    await running;
    await model.upscale(image);
    expect(liveBytes()).toBe(before);
    texture.destroy();
  });
});
