/**
 * Copies a rectangle of one map into another, bit for bit: cutting a tile out, or putting one back.
 *
 * Layout: NHWC quads on both sides, same dtype and channels, N = 1; the rest of the destination stays
 * untouched. One invocation per quad. Quads move as u32 words, so that not even a NaN changes.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, reads, u32, writes } from "../kernel.ts";
import { checkBindings, checkRange, checkSides, mapDispatch } from "./image-layout.ts";

/** Operands: `src` [srcHeight, srcWidth, channels], `dst` [dstHeight, dstWidth, channels]. */
export interface CropProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Channels, without padding. */
  readonly channels: number;
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
}

const STATEMENTS = /* wgsl */ `
  if (at.x >= params.row_quads || at.y >= params.height) { return; }
  dst[params.dst_start + at.y * params.dst_stride + at.x] =
    src[params.src_start + at.y * params.src_stride + at.x];
`;

/** Copies a rectangle of one map into another, bit for bit. */
export const crop: Kernel<CropProblem, "quad"> = defineKernel({
  name: "crop",
  variants: ["quad"],
  check({ channels, srcWidth, srcHeight, width, height, dstWidth, dstHeight, ...at }) {
    checkSides("crop", { channels, srcWidth, srcHeight, width, height, dstWidth, dstHeight });
    checkRange("crop", "source columns", at.srcX, width, srcWidth);
    checkRange("crop", "source rows", at.srcY, height, srcHeight);
    checkRange("crop", "destination columns", at.dstX, width, dstWidth);
    checkRange("crop", "destination rows", at.dstY, height, dstHeight);
  },
  dispatches(problem, caps) {
    const { dtype, srcWidth, srcHeight, width, height, dstWidth, dstHeight } = problem;
    const quads = quadCount(problem.channels);
    const pixelBytes = quads * 4 * dtypeByteLength(dtype);
    const byteLengths = {
      src: srcWidth * srcHeight * pixelBytes,
      dst: dstWidth * dstHeight * pixelBytes,
    };
    checkBindings("crop", byteLengths, caps, "Use smaller tiles");
    const words = dtype === "f32" ? "vec4<u32>" : "vec2<u32>";
    const header = {
      caps,
      dtype: "f32",
      operands: [reads("src", words), writes("dst", words)],
      // In quads.
      params: [
        u32("row_quads", width * quads),
        u32("height", height),
        u32("src_start", (problem.srcY * srcWidth + problem.srcX) * quads),
        u32("src_stride", srcWidth * quads),
        u32("dst_start", (problem.dstY * dstWidth + problem.dstX) * quads),
        u32("dst_stride", dstWidth * quads),
      ],
    } as const;
    return [mapDispatch("crop", header, [width * quads, height], "", STATEMENTS)];
  },
  cost({ dtype, channels, width, height }) {
    const bytes = width * height * quadCount(channels) * 4 * dtypeByteLength(dtype);
    return { flops: 0, bytesRead: bytes, bytesWritten: bytes };
  },
});
