import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { imageToTensor } from "../../../src/kernels/image/image-to-tensor.ts";
import { tensorToImage } from "../../../src/kernels/image/tensor-to-image.ts";
import { levelOf, pixelAt } from "../../reference/image-tensor.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray, uniformSource } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();
const DTYPES: readonly DType[] = ["f32", "f16"];

function noise(width: number, height: number, seed: number): Uint8Array<ArrayBuffer> {
  const next = uniformSource(seed);
  return Uint8Array.from({ length: width * height * 4 }, () => Math.floor(next() * 256));
}

/** Image width and height, x0, y0, width and height of the rectangle. */
const RECTANGLES: readonly (readonly [string, number, number, number, number, number, number])[] = [
  ["1×1", 1, 1, 0, 0, 1, 1],
  ["whole 3×5", 3, 5, 0, 0, 3, 5],
  ["inner crop", 37, 19, 11, 7, 17, 5],
  ["padding on the right and below", 13, 6, 0, 0, 16, 8],
  ["beyond all sides", 5, 4, -3, -9, 12, 20],
  ["wholly outside", 5, 4, 100, -100, 3, 3],
];

describe.each(DTYPES)("imageToTensor %s", (dtype) => {
  it.each(RECTANGLES)("%s", async (_, imageWidth, imageHeight, x0, y0, width, height) => {
    const image = noise(imageWidth, imageHeight, 11);
    const { y } = await runKernel(
      setup.gpu,
      imageToTensor.plan(
        { dtype, imageWidth, imageHeight, x0, y0, width, height, scale: 2, offset: -1 },
        setup.caps,
      ),
      { image },
      { y: width * height * 4 * (dtype === "f32" ? 4 : 2) },
    );
    const expected: number[] = [];
    for (let row = 0; row < height; row++) {
      for (let x = 0; x < width; x++) {
        for (const p of pixelAt(image, imageWidth, imageHeight, x0 + x, y0 + row)) {
          expected.push(2 * (p / 255) - 1);
        }
      }
    }
    const got = unpackRows(y as Uint8Array<ArrayBuffer>, 3, dtype);
    expectClose(got, expected, [height, width, 3], pointwise(dtype));
  });

  it("takes another scale and offset", async () => {
    const image = Uint8Array.from([0, 51, 255, 9]);
    const { y } = await runKernel(
      setup.gpu,
      imageToTensor.plan(
        {
          dtype,
          imageWidth: 1,
          imageHeight: 1,
          x0: 0,
          y0: 0,
          width: 1,
          height: 1,
          scale: -4,
          offset: 3,
        },
        setup.caps,
      ),
      { image },
      { y: dtype === "f32" ? 16 : 8 },
    );
    const got = unpackRows(y as Uint8Array<ArrayBuffer>, 3, dtype);
    expectClose(got, [3, 2.2, -1], [3], pointwise(dtype));
  });
});

describe.each(DTYPES)("tensorToImage %s", (dtype) => {
  it.each(["truncate", "nearest"] as const)("%s into a larger image", async (rounding) => {
    const [srcWidth, srcHeight, dstWidth, dstHeight] = [19, 11, 23, 14];
    const rectangle = { srcX: 2, srcY: 1, width: 15, height: 9, dstX: 5, dstY: 4 };
    // Beyond ±1 too: decoders overshoot.
    const x = uniformArray(srcWidth * srcHeight * 3, 4, 1.3).map((v) => roundToDtype(v, dtype));
    const before = noise(dstWidth, dstHeight, 8);
    const { image } = await runKernel(
      setup.gpu,
      tensorToImage.plan(
        { dtype, srcWidth, srcHeight, dstWidth, dstHeight, ...rectangle, rounding },
        setup.caps,
      ),
      { x: packRows(x, 3, dtype), image: before },
      { image: before.byteLength },
    );
    const bias = rounding === "nearest" ? 0.5 : 0;
    const wrong: string[] = [];
    for (let row = 0; row < dstHeight; row++) {
      for (let column = 0; column < dstWidth; column++) {
        const at = (row * dstWidth + column) * 4;
        const [u, v] = [column - rectangle.dstX, row - rectangle.dstY];
        const isInside = u >= 0 && v >= 0 && u < rectangle.width && v < rectangle.height;
        for (let c = 0; c < 4; c++) {
          const got = (image as Uint8Array)[at + c] as number;
          let allowed: (number | undefined)[];
          if (!isInside) allowed = [before[at + c]];
          else if (c === 3) allowed = [255];
          else {
            const source = (v + rectangle.srcY) * srcWidth + u + rectangle.srcX;
            const exact = levelOf(x[source * 3 + c] as number) + bias;
            // Within 1e-4 of a step either side is right: f32 rounding decides.
            allowed = [Math.floor(exact - 1e-4), Math.floor(exact + 1e-4)];
          }
          if (!allowed.includes(got)) wrong.push(`(${column}, ${row}) ${c}: ${got} not ${allowed}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it("nearest brings every level of 8 bits back", async () => {
    const levels = Float64Array.from({ length: 256 * 3 }, (_, i) => Math.floor(i / 3));
    const x = levels.map((level) => roundToDtype((2 * level) / 255 - 1, dtype));
    const size = {
      srcWidth: 16,
      srcHeight: 16,
      dstWidth: 16,
      dstHeight: 16,
      width: 16,
      height: 16,
    };
    const start = { srcX: 0, srcY: 0, dstX: 0, dstY: 0 };
    const { image } = await runKernel(
      setup.gpu,
      tensorToImage.plan({ dtype, ...size, ...start, rounding: "nearest" }, setup.caps),
      { x: packRows(x, 3, dtype) },
      { image: 1024 },
    );
    expect((image as Uint8Array).filter((_, i) => i % 4 === 0)).toEqual(
      Uint8Array.from({ length: 256 }, (_, level) => level),
    );
  });
});
