/**
 * One pass of a float resize of a map along one axis:  dst[i] = Σ_k weights[i, k] · src[starts[i] + k]
 *
 * With `triangleTable` weights, horizontal then vertical with an f32 map between them, this is PyTorch's antialiased
 * bilinear resize, which makes the 224 × 224 input of the visual prompt.
 *
 * Layout: NHWC quads, N = 1. One invocation per quad, f32 sums. The dtypes of source and destination are independent.
 * An `rgba8` source is a packed image that is read as 2·p/255 − 1 (three channels), so that a large image needs no copy
 * in floats.
 *
 * Limit: source and destination each fit one binding.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { paddedChannels, quadCount, ShapeError } from "../../gpu/shape.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, reads, u32, writes } from "../kernel.ts";
import { checkBindings, checkSides, checkTaps, mapDispatch, RGBA8 } from "./image-layout.ts";
import type { ResampleTable } from "./resample-weights.ts";
import { triangleTable } from "./resample-weights.ts";

/** Operands: `src` [height, width, channels], `starts` (i32), `weights` (f32, [outSize, taps]), `dst`. */
export interface ResizeF32Problem {
  /** Storage of the source: a map, or a packed image. */
  readonly srcType: DType | "rgba8";
  /** Storage of the destination. */
  readonly dstDType: DType;
  /** The axis that changes its size. */
  readonly axis: "horizontal" | "vertical";
  /** Columns of the source. */
  readonly width: number;
  /** Rows of the source. */
  readonly height: number;
  /** Channels of source and destination; 3 for `rgba8`. */
  readonly channels: number;
  /** Size of the destination along the axis. */
  readonly outSize: number;
  /** Weights of one output. */
  readonly taps: number;
}

/** A pass of `bilinearPasses`: the problem and its table. */
export interface ResizeF32Pass {
  readonly problem: ResizeF32Problem;
  readonly table: ResampleTable<Float32Array<ArrayBuffer>>;
}

/** Both passes of an antialiased bilinear resize, in order; the map between them is f32. */
export function bilinearPasses(
  from: { readonly srcType: DType | "rgba8"; readonly width: number; readonly height: number },
  to: { readonly dstDType: DType; readonly width: number; readonly height: number },
  channels: number,
): readonly [ResizeF32Pass, ResizeF32Pass] {
  const across = triangleTable(from.width, to.width);
  const down = triangleTable(from.height, to.height);
  const horizontal: ResizeF32Problem = {
    ...from,
    dstDType: "f32",
    axis: "horizontal",
    channels,
    outSize: to.width,
    taps: across.taps,
  };
  const vertical: ResizeF32Problem = {
    srcType: "f32",
    dstDType: to.dstDType,
    axis: "vertical",
    width: to.width,
    height: from.height,
    channels,
    outSize: to.height,
    taps: down.taps,
  };
  return [
    { problem: horizontal, table: across },
    { problem: vertical, table: down },
  ];
}

function byteLengths(problem: ResizeF32Problem): { src: number; weights: number; dst: number } {
  const { srcType, dstDType, axis, width, height, channels, outSize, taps } = problem;
  const quadChannels = paddedChannels(channels);
  const lines = axis === "horizontal" ? height : width;
  return {
    src: width * height * (srcType === "rgba8" ? 4 : quadChannels * dtypeByteLength(srcType)),
    weights: outSize * taps * 4,
    dst: lines * outSize * quadChannels * dtypeByteLength(dstDType),
  };
}

/** WGSL expression of `src[index]` as vec4<f32>. */
function loadExpression(srcType: DType | "rgba8", index: string): string {
  switch (srcType) {
    case "f32":
      return `src[${index}]`;
    case "f16":
      return `unpack(src[${index}])`;
    case "rgba8":
      return `vec4<f32>(vec3<f32>(rgba8(src[${index}]).xyz) * (2.0 / 255.0) - vec3<f32>(1.0), 0.0)`;
    default:
      return srcType satisfies never;
  }
}

/** WGSL of `output`, its number along the axis, of `base`, the first quad of its window, and of the `step` to the next. */
const WINDOW = {
  horizontal: /* wgsl */ `let output = pixel;
  let start = u32(starts[output]);
  let base = (at.y * params.width + start) * QUADS + quad;
  let step = QUADS;`,
  vertical: /* wgsl */ `let output = at.y;
  let start = u32(starts[output]);
  let base = start * params.width * QUADS + at.x;
  let step = params.width * QUADS;`,
};

/** One row of the grid is one row of the map; x runs over pixels and their quads. */
function statements({ srcType, dstDType, axis }: ResizeF32Problem): string {
  return /* wgsl */ `
  if (at.x >= params.out_width * QUADS || at.y >= params.out_height) { return; }
  let pixel = at.x / QUADS;
  let quad = at.x % QUADS;
  ${WINDOW[axis]}
  var sum = vec4<f32>(0.0);
  for (var k = 0u; k < params.taps; k++) {
    sum += weights[output * params.taps + k] * ${loadExpression(srcType, "base + k * step")};
  }
  dst[at.y * params.out_width * QUADS + at.x] = ${dstDType === "f16" ? "pack(sum)" : "sum"};
`;
}

/** One pass of a float resize along one axis, by a table of weights. */
export const resizeF32: Kernel<ResizeF32Problem, "quad"> = defineKernel({
  name: "resizeF32",
  variants: ["quad"],
  check({ srcType, axis, width, height, channels, outSize, taps }) {
    checkSides("resizeF32", { width, height, outSize, channels });
    checkTaps("resizeF32", taps, axis === "horizontal" ? width : height);
    if (srcType === "rgba8" && channels !== 3) {
      throw new ShapeError(`resizeF32: channels must be 3 for an rgba8 source, got ${channels}`);
    }
  },
  dispatches(problem, caps) {
    checkBindings("resizeF32", byteLengths(problem), caps, "Use a smaller image");
    const { srcType, dstDType, axis, width, height, outSize, taps } = problem;
    const QUADS = quadCount(problem.channels);
    const [outWidth, outHeight] = axis === "horizontal" ? [outSize, height] : [width, outSize];
    // The header's Quad is the half type when either side is f16; an f32 side is vec4<f32> as it stands.
    const element = (type: DType) => (type === "f16" ? "Quad" : "vec4<f32>");
    const header = {
      caps,
      dtype: srcType === "f16" ? "f16" : dstDType,
      operands: [
        reads("src", srcType === "rgba8" ? "u32" : element(srcType)),
        reads("starts", "i32"),
        reads("weights", "f32"),
        writes("dst", element(dstDType)),
      ],
      params: [
        u32("width", width),
        u32("out_width", outWidth),
        u32("out_height", outHeight),
        u32("taps", taps),
      ],
      constants: { QUADS },
    };
    const functions = srcType === "rgba8" ? RGBA8 : "";
    const map = [outWidth * QUADS, outHeight] as const;
    return [mapDispatch(`resize-f32 ${axis}`, header, map, functions, statements(problem))];
  },
  cost(problem) {
    const { src, weights, dst } = byteLengths(problem);
    return {
      flops: (dst / dtypeByteLength(problem.dstDType)) * 2 * problem.taps,
      bytesRead: src + weights + problem.outSize * 4,
      bytesWritten: dst,
    };
  },
});
