/**
 * A rectangle of an RGBA8 image as activations:  y = scale·(p/255) + offset, alpha dropped.
 *
 * Layout: packed RGBA8 in, NHWC with one quad (three channels and a zero) out. Where the rectangle reaches beyond the
 * image, the nearest edge pixel is read (replicate padding). RCOD's networks take scale 2, offset −1. One invocation
 * per pixel.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError } from "../../gpu/shape.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, f32, i32, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkSides,
  imageByteLength,
  mapDispatch,
  MAX_IMAGE_SIDE,
  RGBA8,
} from "./image-layout.ts";

/** Operands: `image` (imageWidth × imageHeight pixels), `y` [height, width, 3]. */
export interface ImageToTensorProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Columns of the image. */
  readonly imageWidth: number;
  /** Rows of the image. */
  readonly imageHeight: number;
  /** Image position of the rectangle's first pixel; may be negative. */
  readonly x0: number;
  /** Row of the rectangle's first pixel; may be negative. */
  readonly y0: number;
  /** Columns of the rectangle. */
  readonly width: number;
  /** Rows of the rectangle. */
  readonly height: number;
  /** Factor of p/255. */
  readonly scale: number;
  /** Added after the scale. */
  readonly offset: number;
}

const STATEMENTS = /* wgsl */ `
  if (at.x >= params.width || at.y >= params.height) { return; }
  let x = clamp(i32(at.x) + params.x0, 0, i32(params.image_width) - 1);
  let row = clamp(i32(at.y) + params.y0, 0, i32(params.image_height) - 1);
  let levels = vec3<f32>(rgba8(image[u32(row) * params.image_width + u32(x)]).xyz);
  let value = params.scale * (levels / 255.0) + vec3<f32>(params.offset);
  y[at.y * params.width + at.x] = pack(vec4<f32>(value, 0.0));
`;

/** A rectangle of an RGBA8 image as activations, edges repeated beyond the image. */
export const imageToTensor: Kernel<ImageToTensorProblem, "pixel"> = defineKernel({
  name: "imageToTensor",
  variants: ["pixel"],
  check({ imageWidth, imageHeight, x0, y0, width, height }) {
    checkSides("imageToTensor", { imageWidth, imageHeight, width, height });
    for (const [name, value] of Object.entries({ x0, y0 })) {
      if (!Number.isSafeInteger(value) || Math.abs(value) > MAX_IMAGE_SIDE) {
        throw new ShapeError(
          `imageToTensor: ${name} must be an integer of at most ±${MAX_IMAGE_SIDE}, got ${value}`,
        );
      }
    }
  },
  dispatches({ dtype, imageWidth, imageHeight, x0, y0, width, height, scale, offset }, caps) {
    const byteLengths = {
      image: imageByteLength(imageWidth, imageHeight),
      y: width * height * 4 * dtypeByteLength(dtype),
    };
    checkBindings("imageToTensor", byteLengths, caps, "Use a smaller image");
    const header = {
      caps,
      dtype,
      operands: [reads("image", "u32"), writes("y")],
      params: [
        u32("image_width", imageWidth),
        u32("image_height", imageHeight),
        i32("x0", x0),
        i32("y0", y0),
        u32("width", width),
        u32("height", height),
        f32("scale", scale),
        f32("offset", offset),
      ],
    };
    return [mapDispatch("image-to-tensor", header, [width, height], RGBA8, STATEMENTS)];
  },
  cost({ dtype, width, height }) {
    const pixels = width * height;
    const bytesWritten = pixels * 4 * dtypeByteLength(dtype);
    return { flops: pixels * 9, bytesRead: pixels * 4, bytesWritten };
  },
});
