/** Results of any size up to ×4, end to end. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reducedPicture } from "../../src/rcod/deep/reduce-input.ts";
import type { Pipeline } from "../../src/rcod/pipeline.ts";
import type { RawImage, UpscaleOptions } from "../../src/rcod/settings/options.ts";
import { resize } from "../reference/resample.ts";
import { useGpu } from "../support/gpu.ts";
import { byteDifference } from "../support/image-fixture.ts";
import { makeTexture, readTexture } from "../support/texture.ts";
import { minimalPipeline, testImage } from "./support.ts";

const setup = useGpu();
let pipeline: Pipeline;
beforeAll(async () => {
  ({ pipeline } = await minimalPipeline(setup.gpu));
});
afterAll(() => pipeline.dispose());

/** A sharp picture with alpha. */
const sharp = testImage(12, 9, 4);

/** A picture without fine detail. */
const soft = (side: number): RawImage => {
  const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    const [x, y] = [pixel % side, Math.floor(pixel / side)];
    return 128 + 60 * Math.sin((x + 9 * (i % 3)) / 11) * Math.cos(y / 13);
  });
  return { width: side, height: side, channels: 3, data };
};

/** Pillow's Lanczos in integers. */
const reduced = (
  { width, height, channels, data }: RawImage,
  to: readonly [number, number],
): number[] => resize(data, [width, height, channels], to, "lanczos", "integer");

describe("scale", () => {
  it.each([
    [1, 12, 9],
    [1.5, 18, 14],
    [3.999, 48, 36],
    [3.9, 47, 35],
  ])("%f is the whole enlargement, reduced", async (scale, width, height) => {
    const large = await pipeline.upscale(sharp);
    const { image, reused, notes } = await pipeline.upscale(sharp, { scale });
    expect([image.width, image.height, image.channels]).toEqual([width, height, 4]);
    const expected = reduced(large.image, [width, height]);
    expect(byteDifference(image.data, expected)).toEqual({ count: 0, largest: 0 });
    expect(reused).toEqual(["preprocess", "tokens", "encode"]);
    expect(notes).toBeUndefined();
  });

  it("of 4 is what there is without it", async () => {
    const [plain, asked] = [
      await pipeline.upscale(sharp),
      await pipeline.upscale(sharp, { scale: 4 }),
    ];
    expect(asked.image).toEqual(plain.image);
  });

  it("of 16 bits is the same in floats", async () => {
    const large = await pipeline.upscale(sharp, { depth: 16 });
    const { image } = await pipeline.upscale(sharp, { scale: 1.5, depth: 16 });
    const clamp = (value: number): number => Math.min(Math.max(value, 0), 65_535);
    const wide = resize(large.image.data, [48, 36, 4], [18, 36], "lanczos", "double").map(clamp);
    const expected = resize(wide, [18, 36, 4], [18, 14], "lanczos", "double").map(clamp);
    // The enlargement was rounded once more to be read back.
    expect(byteDifference(image.data, expected).largest).toBeLessThan(1.5);
  });

  it("reduces textures alike", async () => {
    const { image } = await pipeline.upscale(sharp, { scale: 1.5 });
    const { texture, enlarged } = await pipeline.upscale(sharp, {
      scale: 1.5,
      output: "texture",
      enlarged: true,
    });
    expect(await readTexture(setup.gpu, texture)).toEqual(new Uint8Array(image.data));
    expect([enlarged?.width, enlarged?.height]).toEqual([18, 14]);
    const large = await pipeline.upscale(sharp, { enlarged: true });
    const bicubic = large.enlarged && (await readTexture(setup.gpu, large.enlarged));
    const whole: RawImage = {
      width: 48,
      height: 36,
      channels: 4,
      data: bicubic ?? new Uint8Array(),
    };
    const shown = enlarged && (await readTexture(setup.gpu, enlarged));
    expect(byteDifference(shown ?? [], reduced(whole, [18, 14]))).toEqual({ count: 0, largest: 0 });
    for (const each of [texture, enlarged, large.enlarged]) each?.destroy();
  });

  it("of regions is their enlargement, reduced", async () => {
    const picture = testImage(80, 8, 3);
    const asked = { region: 256, reduceInput: false };
    const large = await pipeline.upscale(picture, asked);
    const { image, regions } = await pipeline.upscale(picture, { ...asked, scale: 1.5 });
    expect([regions, image.width, image.height]).toEqual([2, 120, 12]);
    const expected = reduced(large.image, [120, 12]);
    const left = (row: ArrayLike<number>): number[] => Array.from(row).slice(0, 40 * 3); // where only one region is
    for (let y = 0; y < 12; y++) {
      const at = y * 120 * 3;
      expect(left(image.data.subarray(at))).toEqual(left(expected.slice(at)));
    }
  });
});

describe("large pictures", () => {
  /** Only its size is looked at. */
  const reader = (width: number, height: number) => ({
    width,
    height,
    channels: 3 as const,
    depth: 8 as const,
    read: () => {
      throw new Error("read");
    },
  });

  it("may have any size, ×4 as ×1", () => {
    const once = pipeline.plan({ width: 9000, height: 7000 }, { scale: 1, region: 1024 });
    expect(once).toMatchObject({ outWidth: 9000, outHeight: 7000 });
    expect(once.workWidth).toBeLessThanOrEqual(1024);
    const most = pipeline.plan({ width: 25_000, height: 24_999 }, { region: 1024 });
    expect(most).toMatchObject({ outWidth: 100_000, outHeight: 99_996 });
  });

  it("are refused where the result is too large for one piece, and only then", async () => {
    const call = pipeline.upscale(reader(12_000, 12_000));
    await expect(call).rejects.toThrow(
      'image: a result in one piece must have at most 536870912 pixels, got 48000×48000. Take output: "regions"',
    );
    const smaller = pipeline.upscale(reader(12_000, 12_000), { scale: 1.1, region: 1024 });
    await expect(smaller).rejects.toThrow("read");
  });
});

describe("size", () => {
  it("below the picture's is that of the picture, reduced first", async () => {
    const small = (await reducedPicture(sharp, { width: 6, height: 5 })) as RawImage;
    const expected = await pipeline.upscale(small, { scale: 1 });
    const { image } = await pipeline.upscale(sharp, { size: { width: 6 } });
    expect(image).toEqual(expected.image);
  });

  it("of a texture too, which leaves nothing on the device", async () => {
    const texture = makeTexture(setup.gpu, 12, 9, sharp.data);
    const asked = { size: { width: 6 }, reuse: false };
    const { image } = await pipeline.upscale(texture, asked);
    const before = setup.gpu.memory.use().currentBytes;
    await pipeline.upscale(texture, asked);
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
    expect([image.width, image.height]).toEqual([6, 5]);
    texture.destroy();
  });

  it.each<[UpscaleOptions, new () => Error, string]>([
    [{ size: { width: 49 } }, RangeError, "at most 4 times the picture, 48×36 for 12×9, got 49×37"],
    [{ size: { width: 0 } }, RangeError, "size: width must be an integer ≥ 1 pixels, got 0"],
    [{ size: { height: 2.5 } }, RangeError, "size: height must be an integer"],
    [{ size: { widht: 3 } as object }, TypeError, 'no option "widht". Did you mean "width"?'],
    [
      { size: { width: 3, fit: "cover" as "fill" } },
      RangeError,
      '"inside" or "outside" or "fill", got "cover"',
    ],
    [{ scale: "2" as unknown as number }, TypeError, 'scale must be a number, got "2"'],
    [{ scale: 5 }, RangeError, "scale: must be a number in 1 … 4, got 5"],
    [
      { reduceInput: 1 as unknown as boolean },
      TypeError,
      "reduceInput must be true or false, got 1",
    ],
    [{ region: 255 }, RangeError, "region must be an integer ≥ 256"],
    [
      { regionOrder: "columns" as "rows" },
      RangeError,
      'regionOrder must be "rows", "middle" or a point',
    ],
    [{ regionOrder: { x: 0, y: 1.5 } }, RangeError, "regionOrder must be"],
    [{ output: "regions" as "image" }, TypeError, "onRegion: must be a function"],
    [
      { output: "regions" as "image", onRegion: () => undefined, enlarged: true },
      RangeError,
      "enlarged: is a texture",
    ],
  ])("refuses %j", async (options, type, message) => {
    const call = pipeline.upscale(sharp, options);
    await expect(call).rejects.toThrow(message);
    await expect(call).rejects.toBeInstanceOf(type);
  });

  it("is planned", () => {
    const plan = pipeline.plan({ width: 12, height: 9 }, { scale: 1.5 });
    expect(plan).toMatchObject({ outWidth: 18, outHeight: 14, workWidth: 48, workHeight: 36 });
    const small = pipeline.plan({ width: 12, height: 9 }, { size: { width: 6 } });
    expect(small).toMatchObject({ outWidth: 6, outHeight: 5, workWidth: 24, workHeight: 20 });
  });
});

describe("a picture that can be halved", () => {
  const picture = soft(40);

  it("is computed from the half, and from the quarter where that is enough", async () => {
    const half = (await reducedPicture(picture, { width: 20, height: 20 })) as RawImage;
    const quarter = (await reducedPicture(half, { width: 10, height: 10 })) as RawImage;
    const twice = await pipeline.upscale(picture, { scale: 2 });
    expect(twice.image).toEqual((await pipeline.upscale(half)).image);
    expect(twice.notes).toEqual([
      "The picture was computed from 20×20 instead of 40×40 pixels, which at this size of the result loses nothing that can be " +
        "seen. With reduceInput: false it is computed from all",
    ]);
    const once = await pipeline.upscale(picture, { scale: 1 });
    expect(once.image).toEqual((await pipeline.upscale(quarter)).image);
    const more = await pipeline.upscale(picture, { scale: 2.1 });
    expect(more.notes).toBeUndefined();
  });

  it("is not where that is not wanted, and not for a texture", async () => {
    const all = await pipeline.upscale(picture, { scale: 1, reduceInput: false });
    expect(all.notes).toBeUndefined();
    const four = await pipeline.upscale(picture);
    expect(byteDifference(all.image.data, reduced(four.image, [40, 40])).largest).toBe(0);
  });

  it("keeps its encoding over sizes that need as much of it", async () => {
    await pipeline.upscale(picture, { scale: 2 });
    expect((await pipeline.upscale(picture, { scale: 1.3 })).reused).toHaveLength(3);
    expect((await pipeline.upscale(picture, { scale: 3 })).reused).toHaveLength(0);
    expect((await pipeline.upscale(picture, { scale: 4 })).reused).toHaveLength(3);
  });

  it("may be a reader", async () => {
    const { data, ...form } = picture;
    const reader = {
      ...form,
      depth: 8 as const,
      read: ({ x, y, width, height }: { x: number; y: number; width: number; height: number }) => {
        const part = new Uint8Array(width * height * 3);
        for (let row = 0; row < height; row++) {
          const at = ((y + row) * 40 + x) * 3;
          part.set(data.subarray(at, at + width * 3), row * width * 3);
        }
        return { width, height, channels: 3 as const, data: part };
      },
    };
    const expected = await pipeline.upscale(picture, { scale: 1 });
    const read = await pipeline.upscale(reader, { scale: 1 });
    expect(read.image).toEqual(expected.image);
    expect(read.notes).toEqual(expected.notes);
  });

  it("is not where half of it would have to be padded", async () => {
    const { notes } = await pipeline.upscale(soft(7), { scale: 1 });
    expect(notes).toHaveLength(1); // 4 pixels are the least of this model
    expect((await pipeline.upscale(soft(6), { scale: 1 })).notes).toBeUndefined();
  });
});
