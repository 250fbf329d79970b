/** Reductions against Pillow, and their parts against the whole. */
import { describe, expect, it } from "vitest";
import type { AxisPart } from "../../../src/kernels/image/resample-weights.ts";
import { inputsOf, wholeAxis } from "../../../src/kernels/image/resample-weights.ts";
import { reduceMap } from "../../../src/rcod/deep/float-map.ts";
import type { ReduceStep } from "../../../src/rcod/images/geometry.ts";
import { readImage, reduceImage, uploadImage } from "../../../src/rcod/images/image-ops.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { resize } from "../../reference/resample.ts";
import { useGpu } from "../../support/gpu.ts";
import {
  byteDifference,
  readTensors,
  rgbaFromRgb,
  rgbFromRgba,
} from "../../support/image-fixture.ts";
import { uniformArray, uniformSource } from "../../support/random.ts";

const setup = useGpu();
const fixture = readTensors(new URL("../../fixtures/image/reduce.safetensors", import.meta.url));

type Size = readonly [width: number, height: number];

const whole = ([width, height]: Size, [outWidth, outHeight]: Size): ReduceStep => ({
  kind: "reduce",
  across: wholeAxis(width, outWidth),
  down: wholeAxis(height, outHeight),
});

/** Hard edges and extremes in all four channels. */
function hardNoise(width: number, height: number): RawImage {
  const next = uniformSource(width * 1000 + height);
  const data = Uint8Array.from({ length: width * height * 4 }, () => {
    const value = next();
    return value < 0.3 ? 0 : value > 0.7 ? 255 : Math.floor(next() * 256);
  });
  return { width, height, channels: 4, data };
}

async function reduced(image: RawImage, step: ReduceStep): Promise<Uint8Array> {
  const { gpu } = setup;
  const before = gpu.memory.use().currentBytes;
  const source = uploadImage(gpu, image);
  const result = await reduceImage(gpu, source, step);
  expect([result.width, result.height]).toEqual([step.across.outSize, step.down.outSize]);
  const bytes = await readImage(gpu, result);
  gpu.memory.release(source.buffer);
  if (result !== source) gpu.memory.release(result.buffer);
  expect(gpu.memory.use().currentBytes).toBe(before);
  return bytes;
}

it.each(["to 1x", "to 1.5x", "to 3.999x", "one pixel", "one axis"])(
  "is Pillow's Lanczos bit for bit: %s",
  async (name) => {
    const [input, output] = [fixture(`${name}/inputs/image`), fixture(`${name}/outputs/image`)];
    const [height, width] = input.shape as [number, number];
    const [outHeight, outWidth] = output.shape as [number, number];
    const image = { width, height, channels: 4, data: rgbaFromRgb(input.data, 100) } as const;
    const got = await reduced(image, whole([width, height], [outWidth, outHeight]));
    expect(byteDifference(rgbFromRgba(got), output.data)).toEqual({ count: 0, largest: 0 });
  },
);

/** Sizes of a picture, enlarged and as the result. */
const SIZES: readonly (readonly [string, Size, Size])[] = [
  ["×1", [60, 44], [15, 11]],
  ["×1.5", [60, 44], [23, 17]],
  ["×3.999", [400, 12], [399, 11]],
  ["×4", [60, 44], [60, 44]],
  ["×4 across, ×1 down", [60, 44], [60, 11]],
  ["to one pixel", [52, 28], [1, 1]],
  ["one pixel wide", [4, 400], [1, 399]],
];

/** A part of an axis with just the inputs that it reads, and `spare` more where there are. */
function partOf(wholeIn: number, wholeOut: number, from: number, to: number, spare: number) {
  const part = { wholeIn, wholeOut, outFrom: from, outSize: to - from };
  const { start, end } = inputsOf(part, "lanczos");
  const inFrom = Math.max(0, start - spare);
  const axis: AxisPart = { ...part, inFrom };
  return { axis, inFrom, inSize: Math.min(wholeIn, end + spare) - inFrom };
}

/** Every way to cut an axis in two, thinned out, with its parts. */
const cuts = (size: number): number[] =>
  [...new Set([0, 1, Math.floor(size / 3), size - 1, size])].filter(
    (cut) => cut >= 0 && cut <= size,
  );

function cutOut(
  data: Uint8Array | Float32Array,
  width: number,
  channels: number,
  [x, y, columns, rows]: readonly [number, number, number, number],
): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const at = ((y + row) * width + x) * channels;
    return [...data.subarray(at, at + columns * channels)];
  }).flat();
}

describe.each(SIZES)("parts of %s", (_, [width, height], [outWidth, outHeight]) => {
  const parts = cuts(outWidth).flatMap((x) =>
    cuts(outHeight).flatMap((y) =>
      [0, 3].map((spare) => ({ x, y, right: outWidth, bottom: outHeight, spare })),
    ),
  );
  const proper = [
    ...parts.filter(({ x, y }) => x < outWidth && y < outHeight),
    ...parts
      .filter(({ x, y }) => x > 0 && y > 0)
      .map(({ x, y, spare }) => ({ x: 0, y: 0, right: x, bottom: y, spare })),
  ];

  it("equal the rectangle of the whole, which is integer arithmetic", async () => {
    const image = hardNoise(width, height);
    const expected = resize(
      image.data,
      [width, height, 4],
      [outWidth, outHeight],
      "lanczos",
      "integer",
    );
    const all = await reduced(image, whole([width, height], [outWidth, outHeight]));
    expect(byteDifference(all, expected)).toEqual({ count: 0, largest: 0 });
    for (const { x, y, right, bottom, spare } of proper) {
      const across = partOf(width, outWidth, x, right, spare);
      const down = partOf(height, outHeight, y, bottom, spare);
      const rectangle = [across.inFrom, down.inFrom, across.inSize, down.inSize] as const;
      const data = Uint8Array.from(cutOut(image.data as Uint8Array, width, 4, rectangle));
      const piece: RawImage = { width: across.inSize, height: down.inSize, channels: 4, data };
      const got = await reduced(piece, { kind: "reduce", across: across.axis, down: down.axis });
      const wanted = cutOut(all, outWidth, 4, [x, y, right - x, bottom - y]);
      expect(byteDifference(got, wanted), `${x},${y} … ${right},${bottom}`).toEqual({
        count: 0,
        largest: 0,
      });
    }
  });

  it("equal it in floats", () => {
    const data = Float32Array.from(uniformArray(width * height * 3, width, 0.1, 0.5));
    const map = { width, height, channels: 3, data };
    const all = reduceMap(map, whole([width, height], [outWidth, outHeight]));
    const expected = resize(data, [width, height, 3], [outWidth, outHeight], "lanczos", "double");
    all.data.forEach((value, i) => expect(value).toBeCloseTo(expected[i] as number, 6)); // too grey to clamp
    for (const { x, y, right, bottom, spare } of proper) {
      const across = partOf(width, outWidth, x, right, spare);
      const down = partOf(height, outHeight, y, bottom, spare);
      const rectangle = [across.inFrom, down.inFrom, across.inSize, down.inSize] as const;
      const piece = {
        width: across.inSize,
        height: down.inSize,
        channels: 3,
        data: Float32Array.from(cutOut(data, width, 3, rectangle)),
      };
      const got = reduceMap(piece, { kind: "reduce", across: across.axis, down: down.axis });
      expect([...got.data]).toEqual(cutOut(all.data, outWidth, 3, [x, y, right - x, bottom - y]));
    }
  });
});

it("gives the image itself where nothing changes", async () => {
  const source = uploadImage(setup.gpu, hardNoise(5, 3));
  expect(await reduceImage(setup.gpu, source, whole([5, 3], [5, 3]))).toBe(source);
  setup.gpu.memory.release(source.buffer);
});

it("refuses a part whose inputs are not there", async () => {
  const source = uploadImage(setup.gpu, hardNoise(10, 4));
  const across = { wholeIn: 40, wholeOut: 10, inFrom: 12, outFrom: 4, outSize: 2 };
  const step = { kind: "reduce", across, down: wholeAxis(4, 4) } as const;
  await expect(reduceImage(setup.gpu, source, step)).rejects.toThrow(
    "internal: output 4 reads inputs 6",
  );
  setup.gpu.memory.release(source.buffer);
});
