/** What `model.estimate` says of calls, and what they then take. */
import { describe, expect, it } from "vitest";
import type { RcodModel } from "../../../src/rcod/model.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { LoadOptions } from "../../../src/rcod/model.ts";
import type { UpscaleOptions } from "../../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { rcodSFiles } from "../rcod-s-sample.ts";
import { minimalFiles, testImage } from "../support.ts";

const setup = useGpu();

/** The minimal model with wider maps, so that pictures and activations outweigh what is not planned. */
const FILES = await minimalFiles({ vaeWidths: [16, 16], midAttention: false, mem: [8] });

async function loaded(options: LoadOptions = {}, files = FILES): Promise<RcodModel> {
  return loadModel(memoryFiles(files), { gpu: setup.gpu, precision: "f32", ...options });
}

/** What of the device's memory others use: this file's tests share it. */
const others = (): number => setup.gpu.memory.use().currentBytes;

async function compared(
  model: RcodModel,
  before: number,
  width: number,
  height: number,
  options: UpscaleOptions = {},
): Promise<number> {
  const estimate = await model.estimate({ width, height, ...options });
  const result = await model.upscale(testImage(width, height), options);
  expect([estimate.outWidth, estimate.outHeight]).toEqual([
    result.image.width,
    result.image.height,
  ]);
  expect(estimate.regions).toBe(result.regions);
  return (estimate.peakBytes - before) / (result.peakBytes - before) - 1;
}

describe("memory is foreseen within 15 %", () => {
  it.each<[string, number, number, UpscaleOptions]>([
    ["a picture", 40, 32, {}],
    ["a wide one", 100, 7, {}],
    ["with wavelets", 40, 32, { colorFix: "wavelet" }],
    ["in tiles", 48, 32, { tile: 128 }],
    ["in 16 bits", 40, 32, { depth: 16 }],
    ["in regions", 100, 64, { region: 256 }],
  ])("%s", async (_, width, height, options) => {
    const before = others();
    const model = await loaded();
    try {
      expect(Math.abs(await compared(model, before, width, height, options))).toBeLessThan(0.15);
    } finally {
      model.dispose();
    }
  });

  it("of a small picture after a large one, whose memory is kept", async () => {
    const before = others();
    const model = await loaded();
    try {
      await model.upscale(testImage(56, 48));
      expect(Math.abs(await compared(model, before, 16, 16))).toBeLessThan(0.15);
    } finally {
      model.dispose();
    }
  });

  it.each<[string, LoadOptions]>([
    ["in low memory", { lowMemory: true }],
    ["in halves", { precision: "f16" }],
  ])("%s", async (_, options) => {
    const before = others();
    const model = await loaded(options);
    try {
      expect(Math.abs(await compared(model, before, 40, 32))).toBeLessThan(0.15);
    } finally {
      model.dispose();
    }
  });

  it("of RCOD_S", async () => {
    const before = others();
    const model = await loaded({}, await rcodSFiles());
    try {
      expect(Math.abs(await compared(model, before, 32, 32))).toBeLessThan(0.15);
    } finally {
      model.dispose();
    }
  });
});

describe("time", () => {
  it("is known after a call, for other sizes too, and includes shaders until they are compiled", async () => {
    let stored: string | null = null;
    const tuningStore = {
      read: async () => stored,
      write: async (text: string) => void (stored = text),
    };
    const model = await loaded({ tuningStore });
    const size = { width: 32, height: 24 };
    const unknown = await model.estimate(size);
    expect(unknown).not.toHaveProperty("timeMs");
    expect(unknown).not.toHaveProperty("firstRunMs");
    await model.upscale(testImage(32, 24));
    const { timeMs = NaN } = await model.estimate(size);
    expect(timeMs).toBeGreaterThan(0);
    expect((await model.estimate({ width: 128, height: 96 })).timeMs).toBeGreaterThan(2 * timeMs);
    expect((await model.estimate(size)).firstRunMs).toBeUndefined();
    model.dispose();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const next = await loaded({ tuningStore });
    const { timeMs: later = NaN, firstRunMs } = await next.estimate(size);
    expect(later / timeMs).toBeCloseTo(1, 2); // four digits are stored
    expect(firstRunMs).toBeGreaterThanOrEqual(later);
    next.dispose();
  });

  it("left is told from the beginning of the second call", async () => {
    const model = await loaded();
    const left: (number | undefined)[] = [];
    const image = testImage(24, 24);
    await model.upscale(image);
    await model.upscale(image, { reuse: false, onProgress: ({ leftMs }) => left.push(leftMs) });
    expect(left.every((ms) => ms !== undefined && ms >= 0)).toBe(true);
    expect(left.at(-1)).toBe(0);
    model.dispose();
  });
});

describe("advice is what the estimate of the other call says", () => {
  it("for regions and fewer pixels", async () => {
    const model = await loaded();
    const { advice, work } = await model.estimate({ width: 400, height: 300 });
    const [region] = advice.flatMap((text) => /"region: (\d+)"/.exec(text)?.[1] ?? []);
    const cut = await model.estimate({ width: 400, height: 300, region: Number(region) });
    const total = (sum: Readonly<Record<string, number>>): number =>
      Object.values(sum).reduce((a, b) => a + b, 0);
    expect(cut.regions).toBeGreaterThan(1);
    expect(advice.join("\n")).toContain(`in ${cut.regions} regions`);
    const half = await model.estimate({ width: 200, height: 150 });
    const percent = Math.round((100 * total(half.work)) / total(work));
    expect(advice.join("\n")).toContain(`half the width and height takes ${percent} % of the work`);
    model.dispose();
  });

  it("for a mask and tiles", async () => {
    const model = await loaded();
    const data = new Uint8Array(4).map((_, i) => (i % 2) * 255);
    const realismMask = { data, width: 2, height: 2, realism: 1 };
    const { advice } = await model.estimate({ width: 100, height: 100, realismMask, tile: 64 });
    expect(advice.join("\n")).toMatch(
      /Without "tile" it takes \d+ % of the work[^]*Without "realismMask"/,
    );
    model.dispose();
  });
});

it.each([
  [{ width: 0, height: 4 }, RangeError],
  [{ width: 4 }, Error],
  [{ width: 4, height: 4, scales: 2 }, TypeError],
  [{ width: 4, height: 4, tile: 3 }, RangeError],
  [{ width: 1e6, height: 1e6 }, Error],
  [{ width: 4, height: 4, realism: "much" }, Error],
  [{ width: 4, height: 4, realismMask: { data: [], width: 1, height: 1, realism: 0 } }, Error],
  [null, TypeError],
])("%j is refused", async (options, error) => {
  const model = await loaded();
  await expect(model.estimate(options as never)).rejects.toThrow(error);
  model.dispose();
});
