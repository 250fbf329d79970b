/** What people bring that is no photograph: cut-outs, plains, narrow strips. With the bundled model, by pixels. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderFiles } from "../../src/node/index.ts";
import type { RcodModel } from "../../src/rcod/model.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { useGpu } from "../support/gpu.ts";

const setup = useGpu();
let model: RcodModel;
beforeAll(async () => {
  const folder = folderFiles(new URL("../../models/rcod-tiny/", import.meta.url).pathname);
  model = await loadModel(folder, { gpu: setup.gpu });
});
afterAll(() => model.dispose());

type Color = readonly number[];

function picture(
  width: number,
  height: number,
  channels: 3 | 4,
  colorAt: (x: number, y: number) => Color,
): RawImage {
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    data.set(colorAt(i % width, Math.floor(i / width)), i * channels);
  }
  return { width, height, channels, data };
}

/** The largest difference of a colour to the expected one, over the pixels of `image` that count. */
function worst(
  { width, height, channels, data }: RawImage,
  expected: (x: number, y: number) => Color,
  counts: (x: number, y: number) => boolean = () => true,
): number {
  let most = 0;
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    if (!counts(x, y)) continue;
    expected(x, y).forEach((value, c) => {
      most = Math.max(most, Math.abs((data[i * channels + c] as number) - value));
    });
  }
  return most;
}

/** Over a background, as it is seen. */
function shown({ width, height, data }: RawImage, background: number): RawImage {
  const over = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const at = Math.floor(i / 3) * 4;
    const alpha = (data[at + 3] as number) / 255;
    return Math.round((data[at + (i % 3)] as number) * alpha + background * (1 - alpha));
  });
  return { width, height, channels: 3, data: over };
}

describe("a cut-out", () => {
  /** A red disc with a soft edge; nobody sees `hidden`. */
  const disc = (hidden: Color): RawImage =>
    picture(24, 24, 4, (x, y) => {
      const alpha = Math.round(255 * Math.min(Math.max(9 - Math.hypot(x - 11.5, y - 11.5), 0), 1));
      return alpha === 0 ? [...hidden, 0] : [220, 60, 40, alpha];
    });

  it("looks the same whatever colour is stored where it is transparent", async () => {
    const results: RawImage[] = [];
    for (const hidden of [
      [0, 0, 0],
      [0, 255, 0],
      [255, 255, 255],
    ]) {
      results.push((await model.upscale(disc(hidden))).image);
    }
    for (const background of [0, 128, 255]) {
      const [first, ...others] = results.map((result) => shown(result, background));
      const at = (x: number, y: number) => {
        const from = (y * 96 + x) * 3;
        return [...(first as RawImage).data.subarray(from, from + 3)];
      };
      for (const other of others) expect(worst(other, at)).toBeLessThanOrEqual(1);
    }
  });

  it("has its own colour up to the edge", async () => {
    const { image } = await model.upscale(disc([0, 255, 0]));
    const isSeen = (x: number, y: number) => (image.data[(y * 96 + x) * 4 + 3] as number) > 0;
    expect(worst(image, () => [220, 60, 40], isSeen)).toBeLessThanOrEqual(4);
  });
});

describe("areas of one colour", () => {
  const COLORS = [
    [128, 128, 128],
    [220, 60, 40],
    [40, 90, 200],
    [255, 255, 255],
    [0, 0, 0],
  ];
  it.each(COLORS)("a picture of (%i, %i, %i) has that colour in all corners", async (...color) => {
    for (const [width, height] of [
      [16, 16],
      [33, 20],
    ] as const) {
      const { image } = await model.upscale(picture(width, height, 3, () => color));
      expect(worst(image, () => color)).toBeLessThanOrEqual(2);
    }
  });

  it.each([
    ["upright", 24, 16],
    ["lying", 16, 24],
  ] as const)(
    "halves of two colours, %s, have them from 8 pixels beside the edge on",
    async (_, width, height) => {
      const isUpright = width > height;
      const isFirst = (x: number, y: number) => (isUpright ? x < width / 2 : y < height / 2);
      const colorAt = (x: number, y: number): Color =>
        isFirst(x, y) ? [30, 60, 200] : [240, 220, 40];
      const { image } = await model.upscale(picture(width, height, 3, colorAt));
      const distance = (x: number, y: number) =>
        Math.abs((isUpright ? x : y) + 0.5 - (4 * (isUpright ? width : height)) / 2);
      const expected = (x: number, y: number) => colorAt(x >> 2, y >> 2);
      expect(worst(image, expected, (x, y) => distance(x, y) > 8)).toBeLessThanOrEqual(2);
    },
  );
});

describe("a narrow picture", () => {
  it("costs by its pixels, and looks like the strip of a wide one", async () => {
    const levelAt = (y: number): Color => {
      const level = Math.round(128 + 100 * Math.sin(y / 9));
      return [level, level, 255 - level];
    };
    const strip = picture(1, 200, 3, (_, y) => levelAt(y));
    expect(model.plan({ width: 1, height: 200 }).networks).toEqual(
      model.plan({ width: 16, height: 200 }).networks,
    );
    const { image } = await model.upscale(strip);
    expect([image.width, image.height]).toEqual([4, 800]);
    const { image: wide } = await model.upscale(picture(16, 200, 3, (_, y) => levelAt(y)));
    const inTheMiddle = (x: number, y: number) => {
      const at = (y * 64 + 28 + x) * 3;
      return [...wide.data.subarray(at, at + 3)];
    };
    expect(worst(image, inTheMiddle)).toBe(0);
  });
});
