/** Pixels on the host, at the values where roundings and edges decide. */
import { describe, expect, it } from "vitest";
import { hostPixels, toRgba8, withChannels } from "../../../src/rcod/images/host-pixels.ts";
import { uploadImage } from "../../../src/rcod/images/image-ops.ts";
import { levelOf, pixelAt } from "../../reference/image-tensor.ts";
import { useGpu } from "../../support/gpu.ts";
import { testImage } from "../support.ts";

const setup = useGpu();

describe("toRgba8", () => {
  /** Halfway between two levels there is one value that f32 holds exactly: 0, which is 127.5. */
  it.each([
    ["nearest", 128],
    ["truncate", 127],
  ] as const)("%s of 127.5 is %i", (rounding, level) => {
    expect([...toRgba8(new Float32Array(3), 1, 1, 1, rounding)]).toEqual([
      level,
      level,
      level,
      255,
    ]);
  });

  it.each(["nearest", "truncate"] as const)("%s on both sides of every step", (rounding) => {
    const half = rounding === "nearest" ? 0.5 : 0;
    const steps = Array.from({ length: 255 }, (_, level) => level + 1 - half);
    const values = Float32Array.from(
      steps.flatMap((step) => [-1e-3, 1e-3, 0.5].map((by) => (2 * (step + by)) / 255 - 1)),
    );
    const got = toRgba8(values, 255, 255, 1, rounding);
    const expected = Array.from(values, (value) => Math.floor(levelOf(value) + half));
    expect([...got].filter((_, i) => i % 4 !== 3)).toEqual(expected);
  });

  it("keeps values beyond −1 … 1 within the levels, and crops to the top left", () => {
    const row = [-1.5, -1.001, -1, 1, 1.001, 1e9];
    const map = Float32Array.from([...row, 0, 0, 0, ...row.map((value) => -value), 0, 0, 0]);
    const got = toRgba8(map, 3, 2, 2, "nearest");
    const [black, white] = [
      [0, 0, 0, 255],
      [255, 255, 255, 255],
    ];
    expect([...got]).toEqual([black, white, white, black].flat());
  });
});

it("hostPixels are levels in −1 … 1, edges repeated into the padding", async () => {
  const image = testImage(5, 3);
  image.data.set([0, 255, 128]);
  const source = uploadImage(setup.gpu, image);
  try {
    const got = await hostPixels(setup.gpu, source, 4, 8);
    const rgba = Array.from({ length: 15 }, (_, i) => [
      ...image.data.subarray(3 * i, 3 * i + 3),
      255,
    ]);
    const expected = Array.from({ length: 4 * 8 }, (_, i) =>
      pixelAt(rgba.flat(), 5, 3, i % 8, Math.floor(i / 8)).map((level) => level / 127.5 - 1),
    ).flat();
    expect([...got]).toEqual(expected.map(Math.fround));
    expect([...got.subarray(0, 2)]).toEqual([-1, 1]);
  } finally {
    setup.gpu.memory.release(source.buffer);
  }
});

describe("withChannels", () => {
  it.each([
    [[0, 0, 1], 0],
    [[0, 1, 1], 1],
    [[255, 255, 254], 255],
    [[10, 20, 30], 20],
  ])("grey of %j is the nearest level to the mean, %i", (color, grey) => {
    const rgba = Uint8Array.from([...color, 77]);
    expect([...withChannels(rgba, 1)]).toEqual([grey]);
    expect([...withChannels(rgba, 2)]).toEqual([grey, 77]);
    expect([...withChannels(rgba, 3)]).toEqual(color);
    expect(withChannels(rgba, 4)).toBe(rgba);
  });
});
