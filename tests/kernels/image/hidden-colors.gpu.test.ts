import { describe, expect, it } from "vitest";
import { hiddenColors } from "../../../src/kernels/image/hidden-colors.ts";
import { hiddenColors as reference } from "../../reference/hidden-colors.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { noiseBytes } from "../../support/random.ts";

const setup = useGpu();

/** Noise whose pixels are hidden where `isHidden` says so. */
function picture(
  width: number,
  height: number,
  isHidden: (x: number, y: number) => boolean,
): Uint8Array<ArrayBuffer> {
  const bytes = noiseBytes(width * height * 4, width + height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const alpha = (y * width + x) * 4 + 3;
      bytes[alpha] = isHidden(x, y) ? 0 : Math.max(1, bytes[alpha] as number);
    }
  }
  return bytes;
}

async function filled(image: Uint8Array<ArrayBuffer>, width: number, height: number) {
  const plan = hiddenColors.plan({ width, height }, setup.caps);
  const got = await runKernel(setup.gpu, plan, { image }, { image: image.length });
  return got["image"] as Uint8Array;
}

describe("hiddenColors", () => {
  const isOutsideDisc = (x: number, y: number) => (x - 11.5) ** 2 + (y - 11.5) ** 2 > 64;
  it.each([
    ["one visible pixel", 1, 1, () => false],
    ["one hidden pixel", 1, 1, () => true],
    ["one visible among many", 37, 21, (x: number, y: number) => x !== 3 || y !== 17],
    ["a disc", 24, 24, isOutsideDisc],
    ["a checkerboard", 65, 33, (x: number, y: number) => (x + y) % 2 === 0],
    ["a column", 1, 130, (_: number, y: number) => y % 7 > 0],
  ] as const)("%s", async (_, width, height, isHidden) => {
    const image = picture(width, height, isHidden);
    const got = await filled(image, width, height);
    const expected = reference(image, width, height);
    got.forEach((value, i) => {
      if (i % 4 === 3 || image[i - (i % 4) + 3] !== 0) expect(value).toBe(image[i]);
      // f32 sums of a few thousand levels err by less than 1e-3 of one, so only a half may round the other way.
      else expect(Math.abs(value - (expected[i] as number))).toBeLessThan(0.501);
    });
  });

  it("does not look at what is hidden", async () => {
    const image = picture(24, 24, isOutsideDisc);
    const other = image.map((value, i) =>
      image[i - (i % 4) + 3] === 0 && i % 4 < 3 ? 255 - value : value,
    );
    expect(await filled(other, 24, 24)).toEqual(await filled(image, 24, 24));
  });
});
