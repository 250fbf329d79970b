import { describe, expect, it } from "vitest";
import { outputGeometry, paddedGeometry } from "../../../src/rcod/images/geometry.ts";
import { checkMask, latentMask } from "../../../src/rcod/images/realism-mask.ts";
import { areaMean } from "../../reference/area-mean.ts";
import { uniformSource } from "../../support/random.ts";

const FACTOR = 8;
const exact = { upscale: 4, minSide: 16, multiple: FACTOR, mode: "exact" } as const;

function noise(width: number, height: number) {
  const next = uniformSource(width * 1000 + height);
  const data = Uint8Array.from({ length: width * height }, () => Math.floor(next() * 256));
  return { data, width, height, realism: 1 };
}

/** A span along an axis of `size` pixels; one that lies wholly outside is the pixel next to it. */
function reachable(from: number, to: number, size: number): readonly [number, number] {
  if (to <= 0) return [0, 1];
  return from >= size ? [size - 1, size] : [from, to];
}

/** Image width and height, mask width and height. */
const CASES = [
  [64, 48, 64, 48],
  [33, 21, 33, 21],
  [17, 50, 1, 1],
  [30, 20, 7, 3],
  [20, 30, 331, 173],
  [5, 9, 4, 4],
  [12, 12, 12, 12], // padding that ends with a latent pixel
] as const;

describe("latentMask", () => {
  it.each(CASES)("of a %i×%i image, mask %i×%i: means over areas", (width, height, w, h) => {
    const geometry = outputGeometry(width, height, exact);
    const mask = noise(w, h);
    const { picture, workWidth, workHeight } = geometry;
    const got = latentMask(mask, geometry, FACTOR) as Float32Array;
    const columns = workWidth / FACTOR;
    expect(got.length).toBe((columns * workHeight) / FACTOR);
    got.forEach((value, i) => {
      const x = (i % columns) * FACTOR - picture.x;
      const y = Math.floor(i / columns) * FACTOR - picture.y;
      const [kx, ky] = [w / picture.width, h / picture.height];
      const [x0, x1] = reachable(x * kx, (x + FACTOR) * kx, w);
      const [y0, y1] = reachable(y * ky, (y + FACTOR) * ky, h);
      const box = [x0, y0, x1, y1] as const;
      expect(value).toBeCloseTo(areaMean(mask, box) / 255, 6);
    });
  });

  it("in padding as wide as several latent pixels: the mask's edge", () => {
    const geometry = paddedGeometry(17, 16, { upscale: 4, multiple: 64 }); // 68 of 128 pixels
    const data = Uint8Array.from({ length: 17 * 16 }, (_, i) => (i % 17 === 16 ? 255 : 0));
    const mask = { data, width: 17, height: 16, realism: 1 };
    const got = latentMask(mask, geometry, FACTOR) as Float32Array;
    expect([...got.subarray(0, 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it("in padding that begins with a latent pixel: the mask's edge", () => {
    const geometry = paddedGeometry(18, 18, { upscale: 4, multiple: 64 }); // 72 of 128 pixels
    const data = Uint8Array.from({ length: 18 * 18 }, (_, i) => (i % 18 === 17 ? 255 : 0));
    const mask = { data, width: 18, height: 18, realism: 1 };
    const got = latentMask(mask, geometry, FACTOR) as Float32Array;
    const row = [0, 0, 0, 0, 0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1, 1, 1];
    expect([...got]).toEqual(Array.from({ length: 16 }, () => row).flat());
  });

  it("all 0 and all 255 are no masks", () => {
    const geometry = outputGeometry(20, 20, exact);
    const of = (value: number) =>
      latentMask(
        { data: new Uint8Array(6).fill(value), width: 3, height: 2, realism: 1 },
        geometry,
        FACTOR,
      );
    expect(of(0)).toBe(0);
    expect(of(255)).toBe(1);
    expect(of(254)).toBeInstanceOf(Float32Array);
  });
});

describe("checkMask", () => {
  it.each([
    [1, 1],
    [1, 3],
    [3, 1],
  ])("takes %i×%i", (width, height) => {
    for (const data of [new Uint8Array(width * height), new Uint8ClampedArray(width * height)])
      expect(() => checkMask({ data, width, height, realism: 1 })).not.toThrow();
  });
});
