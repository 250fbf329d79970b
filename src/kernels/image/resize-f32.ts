/**
 * One pass of a float resize of a map along one axis:  dst[i] = Σ_k weights[i, k] · src[starts[i] + k]
 *
 * With `triangleTable` weights, horizontal then vertical with an f32 map between them, this is PyTorch's
 * antialiased bilinear resize: the visual prompt's 224 × 224 input. Layout: NHWC quads, N = 1. One
 * invocation per quad, f32 sums. Source and destination dtypes are independent. An `rgba8` source is a
 * packed image read as 2·p/255 − 1 (three channels), so that no float copy of a large image is needed.
 *
 * Limit: source and destination each fit one binding. The horizontal pass can run on stripes of rows:
 * bind the rows of source and destination with an offset.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { quadCount, ShapeError } from "../../gpu/shape.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkSides,
  MAP_ARGUMENTS,
  MAP_POSITION,
  MAP_WORKGROUP,
  mapGrid,
  RGBA8,
} from "./image-layout.ts";
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
  return [
    {
      problem: {
        srcType: from.srcType,
        dstDType: "f32",
        axis: "horizontal",
        width: from.width,
        height: from.height,
        channels,
        outSize: to.width,
        taps: across.taps,
      },
      table: across,
    },
    {
      problem: {
        srcType: "f32",
        dstDType: to.dstDType,
        axis: "vertical",
        width: to.width,
        height: from.height,
        channels,
        outSize: to.height,
        taps: down.taps,
      },
      table: down,
    },
  ];
}

function check(problem: ResizeF32Problem): void {
  const { srcType, axis, width, height, channels, outSize, taps } = problem;
  checkSides("resizeF32", { width, height, outSize, channels });
  const inSize = axis === "horizontal" ? width : height;
  if (!Number.isSafeInteger(taps) || taps < 1 || taps > inSize) {
    throw new ShapeError(`resizeF32: taps must be an integer in 1 … ${inSize}, got ${taps}`);
  }
  if (srcType === "rgba8" && channels !== 3) {
    throw new ShapeError(`resizeF32: channels must be 3 for an rgba8 source, got ${channels}`);
  }
}

function byteLengths(problem: ResizeF32Problem): { src: number; weights: number; dst: number } {
  const { srcType, dstDType, axis, width, height, channels, outSize, taps } = problem;
  const quads = quadCount(channels) * 4;
  const lines = axis === "horizontal" ? height : width;
  return {
    src: width * height * (srcType === "rgba8" ? 4 : quads * dtypeByteLength(srcType)),
    weights: outSize * taps * 4,
    dst: lines * outSize * quads * dtypeByteLength(dstDType),
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

function plan(problem: ResizeF32Problem, caps: Caps): KernelPlan {
  check(problem);
  checkBindings(
    "resizeF32",
    byteLengths(problem),
    caps,
    "Run the horizontal pass in stripes of rows",
  );
  const { srcType, dstDType, axis, width, height, outSize } = problem;
  const quads = quadCount(problem.channels);
  const horizontal = axis === "horizontal";
  const outWidth = horizontal ? outSize : width;
  const outHeight = horizontal ? height : outSize;
  // The header's Quad is the half type when either side is f16; an f32 side is vec4<f32> as it stands.
  const element = (type: DType) => (type === "f16" ? "Quad" : "vec4<f32>");
  // One row of the grid is one row of the map; x runs over pixels and their quads.
  const body = /* wgsl */ `${MAP_POSITION}${srcType === "rgba8" ? RGBA8 : ""}
@compute @workgroup_size(${MAP_WORKGROUP})
fn main(${MAP_ARGUMENTS}) {
  let at = map_position(group, counts, local);
  if (at.x >= params.out_width * QUADS || at.y >= params.out_height) { return; }
  let pixel = at.x / QUADS;
  let quad = at.x % QUADS;
  let output = ${horizontal ? "pixel" : "at.y"};
  let start = u32(starts[output]);
  let base = ${horizontal ? "(at.y * params.width + start) * QUADS + quad" : "start * params.width * QUADS + at.x"};
  let step = ${horizontal ? "QUADS" : "params.width * QUADS"};
  var sum = vec4<f32>(0.0);
  for (var k = 0u; k < params.taps; k++) {
    sum += weights[output * params.taps + k] * ${loadExpression(srcType, "base + k * step")};
  }
  dst[at.y * params.out_width * QUADS + at.x] = ${dstDType === "f16" ? "pack(sum)" : "sum"};
}
`;
  return {
    variant: "quad",
    scratch: [],
    dispatches: [
      dispatch(
        `resize-f32 ${axis}`,
        {
          caps,
          dtype: srcType === "f16" || dstDType === "f16" ? "f16" : "f32",
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
            u32("taps", problem.taps),
          ],
          constants: { QUADS: quads },
        },
        body,
        mapGrid(outWidth * quads, outHeight),
      ),
    ],
  };
}

function cost(problem: ResizeF32Problem): Cost {
  const { src, weights, dst } = byteLengths(problem);
  const outputs = dst / dtypeByteLength(problem.dstDType);
  return {
    flops: outputs * 2 * problem.taps,
    bytesRead: src + weights + problem.outSize * 4,
    bytesWritten: dst,
  };
}

/** One pass of a float resize along one axis, by a table of weights. */
export const resizeF32: Kernel<ResizeF32Problem, "quad"> = {
  name: "resizeF32",
  variants: ["quad"],
  check,
  select: () => "quad",
  plan,
  cost,
};
