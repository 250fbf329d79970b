/** The one look at a whole picture that is computed in regions. */
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/gpu/shape.ts";
import { readRectangle } from "../../../src/rcod/images/image-reader.ts";
import { surveyPicture } from "../../../src/rcod/images/survey.ts";
import type { ImageReader, RawImage } from "../../../src/rcod/settings/options.ts";
import { uniformSource } from "../../support/random.ts";
import { pictureReader } from "../picture-reader.ts";

const random = uniformSource(5);
const noise = (length: number, levels: number): Uint8Array =>
  Uint8Array.from({ length }, () => Math.floor(((random() + 1) / 2) * levels));

/** By the definition, for the 3 × 3 neighbours that there are. */
function isMostlyFlat({ width, height, channels, data }: RawImage): boolean {
  const colors = channels < 3 ? 1 : 3;
  let flat = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let isFlat = true;
      for (let j = Math.max(y - 1, 0); j <= Math.min(y + 1, height - 1); j++) {
        for (let i = Math.max(x - 1, 0); i <= Math.min(x + 1, width - 1); i++) {
          for (let c = 0; c < colors; c++) {
            if (data[(j * width + i) * channels + c] !== data[(y * width + x) * channels + c]) {
              isFlat = false;
            }
          }
        }
      }
      if (isFlat) flat++;
    }
  }
  return 2 * flat >= width * height;
}

describe("surveyPicture", () => {
  it("counts flat pixels as their definition does", async () => {
    let mostly = 0;
    for (let trial = 0; trial < 200; trial++) {
      const [width, height] = [1 + (trial % 9), 1 + (trial % 7)];
      const channels = ([1, 2, 3, 4] as const)[trial % 4] ?? 1;
      const data = noise(width * height * channels, 1.1 + (trial % 5) * 0.02);
      const image = { width, height, channels, data };
      const { isFlat } = await surveyPicture(pictureReader(image), 100, undefined);
      expect(isFlat, `trial ${trial}`).toBe(isMostlyFlat(image));
      if (isFlat) mostly++;
    }
    expect(mostly).toBeGreaterThan(20);
    expect(mostly).toBeLessThan(180);
  });

  it("counts across the bands that it reads", async () => {
    const image = { width: 3, height: 700, channels: 1, data: new Uint8Array(2100) } as const;
    const striped = {
      ...image,
      data: image.data.map((_, i) => (Math.floor(i / 3) % 256 < 1 ? 9 : 0)),
    };
    expect((await surveyPicture(pictureReader(striped), 100, undefined)).isFlat).toBe(true);
    const every = { ...image, data: image.data.map((_, i) => (Math.floor(i / 3) % 5 < 1 ? 9 : 0)) };
    expect((await surveyPicture(pictureReader(every), 100, undefined)).isFlat).toBe(
      isMostlyFlat(every),
    );
  });

  it("shrinks by means over squares, of what is visible", async () => {
    const image: RawImage = {
      width: 5,
      height: 3,
      channels: 2,
      data: Uint8Array.from(
        [
          [10, 255, 20, 255, 200, 0, 100, 100, 7, 0],
          [30, 255, 41, 255, 200, 0, 200, 0, 9, 0],
          [1, 255, 2, 255, 3, 255, 5, 255, 6, 255],
        ].flat(),
      ),
    };
    const { preview } = await surveyPicture(pictureReader(image), 3, undefined);
    expect([preview.width, preview.height, preview.channels]).toEqual([3, 2, 2]);
    expect([...preview.data]).toEqual([25, 255, 100, 25, 0, 0, 2, 255, 4, 255, 6, 255]);
    const deep = { ...image, data: Uint16Array.from(image.data, (level) => level * 257) };
    expect((await surveyPicture(pictureReader(deep), 3, undefined)).preview).toEqual(preview);
  });
});

describe("readRectangle", () => {
  const asked = { x: 1, y: 0, width: 2, height: 2 };
  const reader = (given: unknown): ImageReader => ({
    width: 4,
    height: 4,
    channels: 3,
    depth: 8,
    read: () => given as RawImage,
  });

  it.each([
    ["nothing", undefined],
    ["another size", { width: 2, height: 1, channels: 3, data: new Uint8Array(6) }],
    ["other channels", { width: 2, height: 2, channels: 4, data: new Uint8Array(16) }],
    ["another depth", { width: 2, height: 2, channels: 3, data: new Uint16Array(12) }],
    ["too few values", { width: 2, height: 2, channels: 3, data: new Uint8Array(11) }],
  ])("refuses %s", async (_, given) => {
    await expect(readRectangle(reader(given), asked)).rejects.toThrow(ShapeError);
  });
});
