/** Pictures that are made smaller for networks: which lose nothing, and what comes out. */
import { describe, expect, it } from "vitest";
import { halvedPicture, reducedPicture } from "../../../src/rcod/deep/reduce-input.ts";
import type { HostPicture } from "../../../src/rcod/deep/reduce-input.ts";
import type { ImageReader, PixelRectangle, RawImage } from "../../../src/rcod/settings/options.ts";
import { resize } from "../../reference/resample.ts";
import { uniformSource } from "../../support/random.ts";

type Channels = RawImage["channels"];

/** Levels of a function of place and channel; of 16 bits 257 times as high. */
function picture(
  width: number,
  height: number,
  channels: Channels,
  levelAt: (x: number, y: number, c: number) => number,
  depth: 8 | 16 = 8,
): RawImage {
  const unit = depth === 16 ? 257 : 1;
  const levels = Array.from({ length: width * height * channels }, (_, i) => {
    const pixel = Math.floor(i / channels);
    const level = levelAt(pixel % width, Math.floor(pixel / width), i % channels);
    return Math.round(unit * Math.min(Math.max(level, 0), 255));
  });
  const data = depth === 16 ? Uint16Array.from(levels) : Uint8Array.from(levels);
  return { width, height, channels, data };
}

/** Waves of a length of `pixels`, in two directions. */
const waves =
  (pixels: number, contrast = 100) =>
  (x: number, y: number, c: number): number => {
    const phase = (2 * Math.PI) / pixels;
    return 128 + (contrast / 2) * (Math.sin(phase * x + c) + Math.cos(phase * y - c));
  };

/** The picture as a reader that counts what it gives. */
function readerOf(image: RawImage): ImageReader & { readonly rectangles: PixelRectangle[] } {
  const { width: rowPixels, channels, data, ...form } = image;
  const rectangles: PixelRectangle[] = [];
  return {
    ...form,
    width: rowPixels,
    channels,
    depth: data.BYTES_PER_ELEMENT === 2 ? 16 : 8,
    rectangles,
    read(rectangle) {
      rectangles.push(rectangle);
      const { x, y, width, height } = rectangle;
      const rows = Array.from({ length: height }, (_, row) => {
        const at = ((y + row) * rowPixels + x) * channels;
        return [...data.subarray(at, at + width * channels)];
      });
      const levels = rows.flat();
      const part =
        data.BYTES_PER_ELEMENT === 2 ? Uint16Array.from(levels) : Uint8Array.from(levels);
      return { width, height, channels, data: part };
    },
  };
}

const pixelsOf = async (from: HostPicture | null): Promise<RawImage> => {
  if (from === null) throw new Error("nothing was made");
  const { width, height } = from;
  return "read" in from ? from.read({ x: 0, y: 0, width, height }) : from;
};

/** The largest difference of two pictures, in levels of the first's depth. */
function largest(a: RawImage, b: ArrayLike<number>): number {
  expect(a.data.length).toBe(b.length);
  return Math.max(...Array.from(a.data, (value, i) => Math.abs(value - (b[i] as number))));
}

describe("reducing", () => {
  it.each<[number, number, number, number, Channels, 8 | 16]>([
    [40, 30, 20, 15, 3, 8],
    [41, 33, 17, 29, 1, 8],
    [41, 33, 17, 29, 3, 16],
    [300, 4, 3, 4, 3, 8],
    [4, 300, 1, 1, 1, 8],
  ])(
    "%i×%i to %i×%i, %i channels of %i bits, is Lanczos",
    async (w, h, ow, oh, channels, depth) => {
      const next = uniformSource(w * h);
      const image = picture(w, h, channels, () => 255 * next(), depth);
      const reduced = await pixelsOf(await reducedPicture(image, { width: ow, height: oh }));
      const exact = resize(image.data, [w, h, channels], [ow, oh], "lanczos", "double");
      const most = depth === 16 ? 65_535 : 255;
      const expected = exact.map((value) => Math.min(Math.max(value, 0), most));
      // Rounding; Pillow and we keep within the range also between the axes.
      expect(largest(reduced, expected)).toBeLessThanOrEqual(depth === 16 ? 3000 : 12);
      const calm = picture(w, h, channels, waves(50, 60), depth);
      const calmer = await pixelsOf(await reducedPicture(calm, { width: ow, height: oh }));
      const inRange = resize(calm.data, [w, h, channels], [ow, oh], "lanczos", "double");
      expect(largest(calmer, inRange)).toBeLessThanOrEqual(0.502);
    },
  );

  it("of a reader gives for any rectangle what it gives for pixels", async () => {
    const image = picture(61, 47, 4, waves(7));
    const size = { width: 23, height: 31 };
    const expected = await pixelsOf(await reducedPicture(image, size));
    const reader = await reducedPicture(readerOf(image), size);
    if (!("read" in reader)) throw new Error("pixels of a reader");
    expect(await pixelsOf(reader)).toEqual(expected);
    const { data } = await reader.read({ x: 5, y: 9, width: 7, height: 3 });
    for (let y = 0; y < 3; y++) {
      const at = ((9 + y) * 23 + 5) * 4;
      expect(data.subarray(y * 28, y * 28 + 28)).toEqual(expected.data.subarray(at, at + 28));
    }
  });

  it("does not mix in what alpha hides", async () => {
    // Green that is seen beside red that is not.
    const level = (x: number, _: number, c: number): number => {
      if (c === 3) return x < 9 ? 255 : 0;
      return 255 * Number(c === (x < 9 ? 1 : 0));
    };
    const { data } = await pixelsOf(
      await reducedPicture(picture(20, 6, 4, level), { width: 10, height: 3 }),
    );
    for (let i = 0; i < data.length; i += 4) {
      if ((data[i + 3] as number) > 0) expect([...data.subarray(i, i + 3)]).toEqual([0, 255, 0]);
    }
  });

  it("reads a large picture in bands", async () => {
    const reader = readerOf(picture(3000, 700, 1, () => 100));
    await pixelsOf(await reducedPicture(reader, { width: 3, height: 2 }));
    expect(
      Math.max(...reader.rectangles.map(({ width, height }) => width * height)),
    ).toBeLessThanOrEqual(2 ** 19);
  });
});

describe("halving", () => {
  const isHalved = async (image: RawImage): Promise<boolean> => {
    const half = await halvedPicture(image);
    const read = await halvedPicture(readerOf(image));
    expect(read === null).toBe(half === null);
    if (half && read) expect(await pixelsOf(read)).toEqual(half);
    return half !== null;
  };

  it.each<[string, boolean, RawImage]>([
    ["waves of 24 pixels", true, picture(70, 50, 3, waves(24, 60))],
    ["waves of 3 pixels", false, picture(70, 50, 3, waves(3))],
    ["waves of 16 pixels, grey, 16 bits", true, picture(70, 50, 1, waves(16, 60), 16)],
    ["waves of 3 pixels, 16 bits", false, picture(70, 50, 3, waves(3), 16)],
    ["one colour", true, picture(33, 1, 3, () => 90)],
    ["one pixel", true, picture(1, 1, 4, () => 90)],
    [
      "a pixel of another colour",
      false,
      picture(64, 64, 3, (x, y) => (x === 40 && y === 63 ? 160 : 90)),
    ],
    ["a line of one pixel", false, picture(64, 64, 3, (x) => (x === 40 ? 120 : 90))],
    ["an edge", false, picture(64, 64, 3, (x) => (x < 40 ? 200 : 20))],
    [
      "a chequerboard of equal brightness",
      false,
      picture(40, 40, 3, (x, y, c) => (c === (x + y) % 2 ? 120 : 0)),
    ],
    [
      "waves of 3 pixels in the last square only",
      false,
      picture(66, 66, 3, (x, y, c) => (x + y > 124 ? waves(3, 200)(x, y, c) : 90)),
    ],
  ])("%s: %s", async (_, expected, image) => {
    expect(await isHalved(image)).toBe(expected);
  });

  it("keeps noise above two levels, and not below one", async () => {
    const noisy = (deviation: number): RawImage => {
      const next = uniformSource(5);
      return picture(
        96,
        96,
        3,
        (x, y, c) => waves(40)(x, y, c) + deviation * Math.sqrt(12) * (next() - 0.5),
      );
    };
    expect(await isHalved(noisy(1))).toBe(true);
    expect(await isHalved(noisy(4))).toBe(false);
  });

  it("does not look at what alpha hides, and does at alpha", async () => {
    const hidden = picture(40, 40, 4, (x, y, c) => (c === 3 ? 0 : waves(3)(x, y, c)));
    expect(await isHalved(hidden)).toBe(true);
    expect(
      await isHalved(picture(40, 40, 4, (x, y, c) => (c === 3 ? waves(3)(x, y, 0) : 90))),
    ).toBe(false);
    expect(
      await isHalved(picture(40, 40, 2, (x, y, c) => (c === 1 ? waves(3)(x, y, 0) : 90))),
    ).toBe(false);
  });

  it("stops at the first band that loses something", async () => {
    const reader = readerOf(picture(2000, 1100, 1, (x, y) => (y < 300 ? waves(3)(x, y, 0) : 90)));
    expect(await halvedPicture(reader)).toBeNull();
    expect(Math.max(...reader.rectangles.map(({ y, height }) => y + height))).toBeLessThan(300);
  });

  it("ends when it is aborted, between bands", async () => {
    const stop = new AbortController();
    const reader = readerOf(picture(2000, 1100, 1, () => 90));
    const halving = halvedPicture(reader, stop.signal);
    setTimeout(() => stop.abort(new Error("enough")));
    await expect(halving).rejects.toThrow("enough");
    expect(Math.max(...reader.rectangles.map(({ y, height }) => y + height))).toBeLessThan(1100);
  });

  it("refuses what a reader gives instead of what it says", async () => {
    const reader = {
      ...readerOf(picture(40, 40, 3, () => 90)),
      read: () => picture(3, 3, 3, () => 90),
    };
    await expect(halvedPicture(reader)).rejects.toThrow("image: read() must give 40×");
  });
});
