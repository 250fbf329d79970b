import { expect, it } from "vitest";
import { keepFlat } from "../../../src/kernels/image/keep-flat.ts";
import { keepFlat as reference } from "../../reference/keep-flat.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { noiseBytes } from "../../support/random.ts";

const setup = useGpu();

type ColorAt = (x: number, y: number) => number;

/** A picture of grey levels, opaque. */
function picture(width: number, height: number, levelAt: ColorAt): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    bytes.fill(levelAt(i % width, Math.floor(i / width)), i * 4, i * 4 + 3);
  }
  return bytes;
}

const halves: ColorAt = (x) => (x < 9 ? 30 : 200);
it.each([
  ["one colour", 16, 16, 4, () => 77],
  ["halves", 19, 7, 4, halves],
  ["one pixel", 1, 1, 4, () => 5],
  ["a dot on a plain", 31, 33, 3, (x: number, y: number) => (x === 20 && y === 4 ? 0 : 255)],
  ["exactly half", 8, 4, 2, (x: number, y: number) => (x < 5 ? 9 : (x * 7 + y * 13) % 251)],
  ["noise", 20, 20, 4, (x: number, y: number) => (x * 37 + y * 101) % 251],
] as const)("keepFlat of %s", async (_, width, height, scale, levelAt) => {
  const source = picture(width, height, levelAt);
  const image = noiseBytes(source.length * scale * scale, 3);
  const plan = keepFlat.plan({ width, height, scale }, setup.caps);
  const got = await runKernel(setup.gpu, plan, { source, image }, { image: image.length });
  expect(got["image"]).toEqual(Uint8Array.from(reference(source, [width, height], scale, image)));
});

it("refuses an empty source", () => {
  expect(() => keepFlat.check({ width: 0, height: 4, scale: 4 })).toThrow(
    "keepFlat: width must be an integer in 1 … 1000000, got 0",
  );
});
