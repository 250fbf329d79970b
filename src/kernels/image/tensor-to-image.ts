/**
 * A rectangle of a decoded map as RGBA8:  v = 0.5·clamp(x, −1, 1) + 0.5, level = floor(255·v) for
 * "truncate" (the reference, which loses half a level on average) or floor(255·v + 0.5) for "nearest".
 * Alpha is 255.
 *
 * Layout: NHWC with one quad of three channels in, packed RGBA8 out. The rectangle may lie anywhere in a larger image,
 * so that decoded tiles are assembled in place. Other pixels stay as they are. One invocation per pixel. NaN gives an
 * unspecified level.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, f32, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkRange,
  checkSides,
  imageByteLength,
  mapDispatch,
  RGBA8,
} from "./image-layout.ts";
import type { Rounding } from "./image-layout.ts";

/** Operands: `x` [srcHeight, srcWidth, 3], `image` (dstWidth × dstHeight pixels). */
export interface TensorToImageProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Columns of the source. */
  readonly srcWidth: number;
  /** Rows of the source. */
  readonly srcHeight: number;
  /** Column of the source at which the rectangle begins. */
  readonly srcX: number;
  /** Row of the source at which the rectangle begins. */
  readonly srcY: number;
  /** Columns of the rectangle. */
  readonly width: number;
  /** Rows of the rectangle. */
  readonly height: number;
  /** Columns of the destination. */
  readonly dstWidth: number;
  /** Rows of the destination. */
  readonly dstHeight: number;
  /** Column of the destination at which the rectangle begins. */
  readonly dstX: number;
  /** Row of the destination at which the rectangle begins. */
  readonly dstY: number;
  /** How results become 8-bit levels. */
  readonly rounding: Rounding;
}

const OP = "tensorToImage";

const STATEMENTS = /* wgsl */ `
  if (at.x >= params.width || at.y >= params.height) { return; }
  let source = (params.src_y + at.y) * params.src_width + params.src_x + at.x;
  let v = 0.5 * clamp(unpack(x[source]), vec4<f32>(-1.0), vec4<f32>(1.0)) + vec4<f32>(0.5);
  let levels = vec4<i32>(floor(255.0 * v + vec4<f32>(params.bias)));
  image[(params.dst_y + at.y) * params.dst_width + params.dst_x + at.x] =
    pack_rgba8(vec4<i32>(levels.xyz, 255));
`;

/** A rectangle of a decoded map as RGBA8. */
export const tensorToImage: Kernel<TensorToImageProblem, "pixel"> = defineKernel({
  name: OP,
  variants: ["pixel"],
  check({ srcWidth, srcHeight, width, height, dstWidth, dstHeight, ...at }) {
    checkSides(OP, { srcWidth, srcHeight, width, height, dstWidth, dstHeight });
    checkRange(OP, "source columns", at.srcX, width, srcWidth);
    checkRange(OP, "source rows", at.srcY, height, srcHeight);
    checkRange(OP, "image columns", at.dstX, width, dstWidth);
    checkRange(OP, "image rows", at.dstY, height, dstHeight);
  },
  dispatches(problem, caps) {
    const { dtype, srcWidth, srcHeight, width, height, dstWidth, dstHeight } = problem;
    const byteLengths = {
      x: srcWidth * srcHeight * 4 * dtypeByteLength(dtype),
      image: imageByteLength(dstWidth, dstHeight),
    };
    checkBindings(OP, byteLengths, caps, "Use a smaller image");
    const header = {
      caps,
      dtype,
      operands: [reads("x"), writes("image", "u32")],
      params: [
        u32("src_width", srcWidth),
        u32("src_x", problem.srcX),
        u32("src_y", problem.srcY),
        u32("width", width),
        u32("height", height),
        u32("dst_width", dstWidth),
        u32("dst_x", problem.dstX),
        u32("dst_y", problem.dstY),
        f32("bias", problem.rounding === "nearest" ? 0.5 : 0),
      ],
    };
    return [mapDispatch("tensor-to-image", header, [width, height], RGBA8, STATEMENTS)];
  },
  cost({ dtype, width, height }) {
    const pixels = width * height;
    const bytesRead = pixels * 4 * dtypeByteLength(dtype);
    return { flops: pixels * 15, bytesRead, bytesWritten: pixels * 4 };
  },
});
