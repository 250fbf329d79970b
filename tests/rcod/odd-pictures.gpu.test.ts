/** What people bring that is no photograph: cut-outs, plains, narrow strips. With the bundled model, by pixels. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderFiles } from "../../src/node/index.ts";
import type { RcodModel } from "../../src/rcod/model.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { useGpu } from "../support/gpu.ts";
import { uniformSource } from "../support/random.ts";

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

describe("16 bits a channel", () => {
  const photo = (channels: 1 | 2 | 3 | 4): RawImage => {
    const next = uniformSource(7);
    const data = Uint8Array.from({ length: 24 * 20 * channels }, (_, i) => {
      const [x, y] = [Math.floor(i / channels) % 24, Math.floor(i / channels / 24)];
      return Math.round(120 + 60 * Math.sin(x / 3) + 40 * Math.cos(y / 4) + 30 * next());
    });
    return { width: 24, height: 20, channels, data };
  };
  const deep = (image: RawImage): RawImage => ({
    ...image,
    data: Uint16Array.from(image.data, (value) => value * 257),
  });

  it.each([1, 2, 3, 4] as const)(
    "of %i channels: the same picture as of 8 bits",
    async (channels) => {
      const { image: plain } = await model.upscale(photo(channels));
      const { image: wide } = await model.upscale(deep(photo(channels)));
      expect([plain.channels, wide.channels]).toEqual([channels, channels]);
      expect(plain.data).toBeInstanceOf(Uint8Array);
      expect(wide.data).toBeInstanceOf(Uint16Array);
      expect(wide.data.length).toBe(plain.data.length);
      // 8 bits round the enlarged source before the networks see it, which amplify that at edges.
      const errors = Array.from(wide.data, (value, i) =>
        Math.abs(value / 257 - (plain.data[i] as number)),
      );
      expect(Math.max(...errors)).toBeLessThan(4);
      expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.5);
    },
  );

  it("are those of the input, or as the call says", async () => {
    const depthOf = async (image: RawImage, depth?: 8 | 16) =>
      (await model.upscale(image, depth ? { depth } : {})).image.data.BYTES_PER_ELEMENT * 8;
    expect(await depthOf(photo(3), 16)).toBe(16);
    expect(await depthOf(deep(photo(3)), 8)).toBe(8);
    expect(await depthOf(deep(photo(3)))).toBe(16);
    const again = model.upscale(photo(3), { depth: 16, reference: true });
    await expect(again).rejects.toThrow("not for reference, got reference");
    const texture = model.upscale(photo(3), { depth: 16, output: "texture" });
    await expect(texture).rejects.toThrow('got output "texture"');
  });

  it("keep a shallow ramp smooth: more levels than 8 bits have, in order", async () => {
    const ramp: RawImage = {
      width: 64,
      height: 16,
      channels: 1,
      data: Uint16Array.from({ length: 64 * 16 }, (_, i) => 30_000 + 16 * (i % 64)),
    };
    const { image } = await model.upscale(ramp);
    const row = [...image.data.subarray(32 * 256, 33 * 256)];
    const inside = row.slice(16, -16);
    expect(new Set(inside).size).toBeGreaterThan(150); // 8 bits: 5 levels
    inside.forEach((value, i) =>
      expect(Math.abs(value - (30_000 + 4 * (i + 16) - 6))).toBeLessThan(257),
    );
  });

  it("stay flat where the source is", async () => {
    const color = [20_001, 40_003, 333];
    const data = Uint16Array.from({ length: 16 * 16 * 3 }, (_, i) => color[i % 3] as number);
    const { image } = await model.upscale({ width: 16, height: 16, channels: 3, data });
    expect(worst(image, () => color)).toBeLessThanOrEqual(1);
  });

  it("hide what alpha 0 hides", async () => {
    const withHidden = (hidden: number): RawImage => {
      const image = deep(photo(4));
      const data = image.data.slice();
      for (let i = 0; i < data.length; i += 4) {
        if ((i / 4) % 24 < 12) data.set([hidden, hidden, hidden, 0], i);
        else data[i + 3] = 65_535;
      }
      return { ...image, data };
    };
    const [{ image: first }, { image: second }] = [
      await model.upscale(withHidden(0)),
      await model.upscale(withHidden(65_535)),
    ];
    expect(second.data).toEqual(first.data);
    expect([...first.data.subarray(3, 4), ...first.data.subarray(-1)]).toEqual([0, 65_535]);
  });
});

it("a result says which colours its input had", async () => {
  const image = picture(16, 16, 3, (x, y) => [x * 9, y * 9, 77]);
  const { image: wide } = await model.upscale({ ...image, colorSpace: "display-p3" });
  const { image: plain } = await model.upscale(image);
  expect(wide).toEqual({ ...plain, colorSpace: "display-p3" });
});

describe("a canvas", () => {
  const pixels = picture(16, 16, 4, (x, y) => [x * 9, y * 9, 77, 255]);
  const canvasOf = (context: unknown): OffscreenCanvas =>
    ({ width: 16, height: 16, getContext: () => context }) as unknown as OffscreenCanvas;

  it("is read in its own colour space, which the result says", async () => {
    const canvas = canvasOf({
      getContextAttributes: () => ({ colorSpace: "display-p3" }),
      getImageData: (_x: number, _y: number, width: number, height: number, settings: object) => ({
        width,
        height,
        data: pixels.data,
        ...settings,
      }),
    });
    const { image } = await model.upscale(canvas);
    const { image: plain } = await model.upscale(pixels);
    expect(image).toEqual({ ...plain, colorSpace: "display-p3" });
  });

  it("of another kind is refused", async () => {
    await expect(async () => model.upscale(canvasOf(null))).rejects.toThrow(
      "image: a canvas must have a 2d context, got one of another kind",
    );
  });
});
