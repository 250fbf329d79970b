/** Pictures that are computed in regions. Regions of the minimal model are small, and so is the work. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DeviceLostError } from "../../../src/gpu/errors.ts";
import { requestNodeGpu } from "../../../src/node/gpu.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { RcodModel } from "../../../src/rcod/model.ts";
import type { Progress, RawImage, ResultRegion } from "../../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { makeTexture, readTexture } from "../../support/texture.ts";
import { pictureReader } from "../picture-reader.ts";
import { rcodSFiles } from "../rcod-s-sample.ts";
import { minimalFiles, testImage } from "../support.ts";

const setup = useGpu();
const files = minimalFiles({ vaeWidths: [8, 8, 8, 8], midAttention: false, mem: [8] });
let model: RcodModel;
beforeAll(async () => {
  model = await loadModel(memoryFiles(await files), { gpu: setup.gpu });
});
afterAll(() => model.dispose());

const REGION = { region: 256 } as const;
const image = testImage(110, 70, 3);
/** One row of three regions, for what needs no more. */
const strip = testImage(110, 64, 3);

/** Root of the mean square of differences, in levels of 8 bits. */
function rmsOf(a: RawImage, b: RawImage): number {
  const level = ({ data }: RawImage, i: number): number =>
    (data[i] as number) / (data.BYTES_PER_ELEMENT === 2 ? 257 : 1);
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (level(a, i) - level(b, i)) ** 2;
  return Math.sqrt(sum / a.data.length);
}

/** Pastes parts, counting how often each pixel came. */
function pasted(width: number, height: number, channels: number, parts: readonly ResultRegion[]) {
  const data = new Uint8Array(width * height * channels);
  const times = new Uint8Array(width * height);
  for (const part of parts) {
    for (let row = 0; row < part.height; row++) {
      const to = (part.y + row) * width + part.x;
      const from = row * part.width * channels;
      const pixels = part.data?.subarray(from, from + part.width * channels) ?? [];
      data.set(pixels, to * channels);
      for (let i = 0; i < part.width; i++) times[to + i] = (times[to + i] as number) + 1;
    }
  }
  expect(times.every((count) => count === 1)).toBe(true);
  return data;
}

describe("regions", () => {
  it("give every pixel once, the same pixels in any order and with any output", async () => {
    const progress: Progress[] = [];
    const parts: ResultRegion[] = [];
    const result = await model.upscale(image, {
      ...REGION,
      onRegion: (part) => void parts.push(part),
      onProgress: (state) => progress.push(state),
    });
    expect(result.regions).toBe(6);
    expect([result.image.width, result.image.height, result.image.channels]).toEqual([440, 280, 3]);
    expect(pasted(440, 280, 3, parts)).toEqual(result.image.data);
    const fractions = progress.map(({ fraction }) => fraction);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(fractions.at(-1)).toBe(1);
    // The regions that were told overlap, and their union is the result.
    const told = new Map(progress.map(({ region }) => [JSON.stringify(region), region]));
    const regions = [...told.values()].filter((region) => region !== undefined);
    expect(regions).toHaveLength(6);
    expect(Math.max(...regions.map(({ x, width }) => x + width))).toBe(440);
    expect(Math.max(...regions.map(({ y, height }) => y + height))).toBe(280);
    const rows: ResultRegion[] = [];
    const alone = await model.upscale(image, {
      ...REGION,
      output: "regions",
      onRegion: (part) => void rows.push(part),
    });
    expect(pasted(440, 280, 3, rows)).toEqual(result.image.data);
    expect([alone.width, alone.height, alone.channels]).toEqual([440, 280, 3]);
    expect("image" in alone).toBe(false);
    const { texture } = await model.upscale(image, {
      ...REGION,
      output: "texture",
      regionOrder: { x: 1, y: 0 },
    });
    const rgba = await readTexture(setup.gpu, texture);
    texture.destroy();
    expect(rgba.filter((_, i) => i % 4 < 3)).toEqual(result.image.data);
  });

  it.each([1, 2, 4] as const)("take %i channels, from a reader too", async (channels) => {
    const four = testImage(80, 64, 4);
    const own = { ...four, channels, data: four.data.slice(0, 80 * 64 * channels) };
    const expected = await model.upscale(own, REGION);
    expect(expected.regions).toBe(2);
    expect(expected.image.channels).toBe(channels);
    const read = await model.upscale(pictureReader(own), REGION);
    expect(read.image).toEqual(expected.image);
  });

  it("take 16 bits", async () => {
    const deep = { ...strip, data: Uint16Array.from(strip.data, (level) => level * 257) };
    const [eight, sixteen] = [
      await model.upscale(strip, REGION),
      await model.upscale(deep, REGION),
    ];
    expect(sixteen.image.data).toBeInstanceOf(Uint16Array);
    // Its networks see colours that were not rounded; random ones make 3.7 levels of that. Other pixels are 42 off.
    expect(rmsOf(sixteen.image, eight.image)).toBeLessThan(8);
  });

  it("of a texture are those of its pixels", async () => {
    const rgba = testImage(80, 64, 4);
    const texture = makeTexture(setup.gpu, 80, 64, rgba.data);
    const expected = await model.upscale(rgba, REGION);
    const result = await model.upscale(texture, REGION);
    texture.destroy();
    expect(result.image).toEqual(expected.image);
  });

  it("read each region once, and the whole once for what it is", async () => {
    let pixels = 0;
    await model.upscale(
      pictureReader(image, ({ width, height }) => (pixels += width * height)),
      REGION,
    );
    const { networks, regions } = model.plan({ width: 110, height: 70, ...REGION });
    expect(regions).toBe(6);
    expect(networks.map(({ name, runs }) => [name, runs])).toEqual([
      ["tokens", 1],
      ["encode", 6],
      ["mem", 6],
      ["unet", 6],
      ["decode", 6],
    ]);
    expect(pixels).toBeLessThan(110 * 70 * 3.2);
  });

  it("have one timestep for all under auto", async () => {
    const { predictedMetric, timestep } = await model.upscale(strip, {
      ...REGION,
      realism: "auto",
    });
    expect(predictedMetric).toBeGreaterThanOrEqual(0);
    expect([249, 499, 749]).toContain(timestep);
  });

  it("take their part of a mask", async () => {
    const mask = { width: 2, height: 1, data: Uint8Array.of(0, 255), realism: 1 };
    const [zero, one, both] = [
      await model.upscale(strip, { ...REGION, realism: 0 }),
      await model.upscale(strip, { ...REGION, realism: 1 }),
      await model.upscale(strip, { ...REGION, realism: 0, realismMask: mask }),
    ];
    const differs = (other: RawImage, from: number, to: number): number => {
      let sum = 0;
      for (let y = 0; y < 256; y++) {
        for (let x = from; x < to; x++) {
          const at = (y * 440 + x) * 3;
          sum += Math.abs((both.image.data[at] as number) - (other.data[at] as number));
        }
      }
      return sum / (256 * (to - from));
    };
    expect(both.maskTimestep).toBe(749);
    expect(differs(zero.image, 0, 120)).toBeLessThan(0.5 * differs(one.image, 0, 120));
    expect(differs(one.image, 300, 440)).toBeLessThan(0.5 * differs(zero.image, 300, 440));
  });

  it("sample with a seed, the same again", async () => {
    const flat = { ...strip, data: new Uint8Array(strip.data.length).map((_, i) => 100 + (i % 2)) };
    const [first, again] = [
      await model.upscale(flat, { ...REGION, seed: 7 }),
      await model.upscale(flat, { ...REGION, seed: 7 }),
    ];
    expect(first.image.data).toEqual(again.image.data);
  });

  it("leave nothing on the device", async () => {
    await model.upscale(strip, REGION);
    const before = setup.gpu.memory.use().currentBytes;
    await model.upscale(strip, REGION);
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it.each(["enlarged", "reference"] as const)("refuse %s before any work", async (option) => {
    const submit = vi.spyOn(setup.gpu.device.queue, "submit");
    await expect(model.upscale(strip, { ...REGION, [option]: true })).rejects.toThrow(RangeError);
    expect(submit).not.toHaveBeenCalled();
    submit.mockRestore();
  });
});

describe("a call in regions", () => {
  it("waits for onRegion, and ends with what it throws", async () => {
    let isOpen = false;
    let count = 0;
    await model.upscale(strip, {
      ...REGION,
      output: "regions",
      async onRegion() {
        expect(isOpen).toBe(false);
        isOpen = true;
        await new Promise((resolve) => setTimeout(resolve, 5));
        isOpen = false;
        count++;
      },
    });
    expect(count).toBe(5);
    const full = new Error("disk full");
    const call = model.upscale(strip, {
      ...REGION,
      output: "regions",
      onRegion: () => Promise.reject(full),
    });
    await expect(call).rejects.toBe(full);
    await expect(model.upscale(strip, REGION)).resolves.toBeDefined();
  });

  it("ends at once with its signal", async () => {
    const abort = new AbortController();
    let endedMs = Infinity;
    let abortedAt = 0;
    const call = model
      .upscale(strip, {
        ...REGION,
        signal: abort.signal,
        onRegion() {
          abortedAt = performance.now();
          abort.abort();
        },
      })
      .catch((error: unknown) => {
        endedMs = performance.now() - abortedAt;
        return error;
      });
    expect(await call).toBe(abort.signal.reason);
    expect(endedMs).toBeLessThan(100);
  });

  it("tells what a reader throws", async () => {
    const broken = new Error("unreadable");
    const reader = { ...pictureReader(strip), read: () => Promise.reject(broken) };
    await expect(model.upscale(reader, REGION)).rejects.toBe(broken);
  });

  it("goes on with another model where the device is lost", async () => {
    const expected = await model.upscale(strip, REGION);
    const gpu = await requestNodeGpu();
    const dying = await loadModel(memoryFiles(await files), { gpu });
    const parts: ResultRegion[] = [];
    const options = {
      ...REGION,
      output: "regions",
      onRegion(part: ResultRegion) {
        parts.push(part);
        if (parts.length === 3) gpu.device.destroy();
      },
    } as const;
    const lost: unknown = await dying.upscale(strip, options).catch((error: unknown) => error);
    expect(lost).toBeInstanceOf(DeviceLostError);
    const { resume } = lost as DeviceLostError;
    if (resume === undefined) throw new Error("nothing to go on with");
    const before = parts.length;
    const progress: number[] = [];
    const result = await model.upscale(strip, {
      ...options,
      resume,
      onProgress: ({ fraction }) => progress.push(fraction),
    });
    expect(progress[0]).toBeGreaterThan(0.3);
    expect(progress.at(-1)).toBe(1);
    expect(parts.length).toBeGreaterThan(before);
    expect(pasted(440, 256, 3, parts)).toEqual(expected.image.data);
    expect(result.regions).toBe(3);
    const other = model.upscale(testImage(90, 64, 3), { ...options, resume });
    await expect(other).rejects.toThrow(RangeError);
    dying.dispose();
  });
});

describe("regions of RCOD_S", () => {
  it("share the scores of the whole picture, also in low memory", async () => {
    const source = memoryFiles(await rcodSFiles());
    const picture = testImage(90, 64, 3);
    const results: RawImage[] = [];
    for (const lowMemory of [false, true]) {
      const rcodS = await loadModel(source, { gpu: setup.gpu, lowMemory });
      const { image: result, regions } = await rcodS.upscale(picture, REGION);
      expect(regions).toBe(2);
      results.push(result);
      rcodS.dispose();
    }
    const [high, low] = results as [RawImage, RawImage];
    expect([high.width, high.height]).toEqual([360, 256]);
    expect(rmsOf(high, low)).toBeLessThan(0.1);
  });
});
