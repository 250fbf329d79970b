/**
 * One pass of Pillow's 8-bit resize along one axis:
 *
 *   dst[i] = clamp((2²¹ + Σ_k weights[i, k] · src[starts[i] + k]) >> 22, 0, 255)
 *
 * Layout: packed RGBA8 (see `image-layout.ts`); all four channels are treated alike. Pillow itself
 * premultiplies RGBA by alpha before a resize; for images with alpha < 255 the caller decides.
 * One invocation per output pixel; integer arithmetic only, so the result is exact: bit for bit Pillow's
 * when the passes of `pillowResizePasses` run in order with an 8-bit image between them.
 *
 * Limit: source and destination each fit one binding (33.5 megapixels at the 128 MiB default). Above
 * that run stripes of rows (`resizeStripes`): rows are independent in the horizontal pass, and in the
 * vertical pass `srcOffset` / `dstOffset` say which rows the buffers hold.
 */
import type { Caps } from "../../gpu/caps.ts";
import { ShapeError } from "../../gpu/shape.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkSides,
  imageByteLength,
  MAP_ARGUMENTS,
  MAP_POSITION,
  MAP_WORKGROUP,
  mapGrid,
  RGBA8,
} from "./image-layout.ts";
import type { PillowFilter, ResampleTable } from "./resample-weights.ts";
import { inputRange, quantisedTable, WEIGHT_BITS } from "./resample-weights.ts";

/**
 * Operands: `src` (width × height pixels), `starts` and `weights` (i32, the whole table of the axis),
 * `dst`: outSize × height pixels (horizontal) or width × outSize (vertical).
 */
export interface ResizeU8Problem {
  /** The axis that changes its size. */
  readonly axis: "horizontal" | "vertical";
  /** Pixels that `src` holds. */
  readonly width: number;
  /** Rows that `src` holds. */
  readonly height: number;
  /** Outputs to compute along the axis. */
  readonly outSize: number;
  /** Weights of one output. */
  readonly taps: number;
  /** Position on the axis of the first pixel in `src`; 0 for a whole image. */
  readonly srcOffset: number;
  /** Output of the table that is written first; 0 for a whole image. */
  readonly dstOffset: number;
}

/** A pass of `pillowResizePasses`: the problem and its table. */
export interface ResizePass {
  readonly problem: ResizeU8Problem;
  readonly table: ResampleTable<Int32Array<ArrayBuffer>>;
}

/** The passes of a whole-image resize in order: horizontal first; none for a side that keeps its length. */
export function pillowResizePasses(
  inWidth: number,
  inHeight: number,
  outWidth: number,
  outHeight: number,
  filter: PillowFilter,
): readonly ResizePass[] {
  checkSides("resizeU8", { inWidth, inHeight, outWidth, outHeight });
  const passes: ResizePass[] = [];
  const whole = { srcOffset: 0, dstOffset: 0 };
  if (outWidth !== inWidth) {
    const table = quantisedTable(inWidth, outWidth, filter);
    const size = { width: inWidth, height: inHeight, outSize: outWidth, taps: table.taps };
    passes.push({ problem: { axis: "horizontal", ...size, ...whole }, table });
  }
  if (outHeight !== inHeight) {
    const table = quantisedTable(inHeight, outHeight, filter);
    const size = { width: outWidth, height: inHeight, outSize: outHeight, taps: table.taps };
    passes.push({ problem: { axis: "vertical", ...size, ...whole }, table });
  }
  return passes;
}

/** Output rows `[outFrom, outTo)` and the input rows `[inFrom, inTo)` they need. */
export interface ResizeStripe {
  readonly outFrom: number;
  readonly outTo: number;
  readonly inFrom: number;
  readonly inTo: number;
}

/**
 * Splits a resize into stripes whose source, intermediate and destination each stay within `maxBytes`.
 * Of each stripe run the horizontal pass on rows `[inFrom, inTo)`, then the vertical pass with
 * `srcOffset = inFrom`, `dstOffset = outFrom`, `outSize = outTo − outFrom`.
 */
export function resizeStripes(
  inWidth: number,
  inHeight: number,
  outWidth: number,
  outHeight: number,
  filter: PillowFilter,
  maxBytes: number,
): readonly ResizeStripe[] {
  checkSides("resizeU8", { inWidth, inHeight, outWidth, outHeight });
  const identity = outHeight === inHeight;
  const table = identity ? null : quantisedTable(inHeight, outHeight, filter);
  const range = (from: number, to: number) => (table ? inputRange(table, from, to) : [from, to]);
  const rowLimit = (width: number) => Math.floor(maxBytes / imageByteLength(width, 1));
  const outRows = rowLimit(outWidth);
  const inRows = rowLimit(Math.max(inWidth, outWidth));
  const stripes: ResizeStripe[] = [];
  for (let outFrom = 0; outFrom < outHeight;) {
    let outTo = Math.min(outFrom + outRows, outHeight);
    let [inFrom, inTo] = range(outFrom, Math.max(outTo, outFrom + 1)) as [number, number];
    // Largest stripe whose input fits: the input end never decreases, so search by halving.
    if (inTo - inFrom > inRows) {
      let fits = outFrom;
      let fails = outTo;
      while (fails - fits > 1) {
        const middle = (fits + fails) >> 1;
        const [a, b] = range(outFrom, middle) as [number, number];
        if (b - a <= inRows) fits = middle;
        else fails = middle;
      }
      outTo = fits;
    }
    if (outTo <= outFrom) {
      throw new ShapeError(
        `resizeU8: one output row must fit ${maxBytes} bytes with the rows it reads, got ` +
          `${inWidth}×${inHeight} → ${outWidth}×${outHeight} (${inTo - inFrom} rows)`,
      );
    }
    [inFrom, inTo] = range(outFrom, outTo) as [number, number];
    stripes.push({ outFrom, outTo, inFrom, inTo });
    outFrom = outTo;
  }
  return stripes;
}

function check(problem: ResizeU8Problem): void {
  const { axis, width, height, outSize, taps, srcOffset, dstOffset } = problem;
  checkSides("resizeU8", { width, height, outSize });
  const inSize = axis === "horizontal" ? width : height;
  if (!Number.isSafeInteger(taps) || taps < 1 || taps > inSize) {
    throw new ShapeError(`resizeU8: taps must be an integer in 1 … ${inSize}, got ${taps}`);
  }
  for (const [name, value] of Object.entries({ srcOffset, dstOffset })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new ShapeError(`resizeU8: ${name} must be an integer ≥ 0, got ${value}`);
    }
  }
}

function outputSize({ axis, width, height, outSize }: ResizeU8Problem): readonly [number, number] {
  return axis === "horizontal" ? [outSize, height] : [width, outSize];
}

function plan(problem: ResizeU8Problem, caps: Caps): KernelPlan {
  check(problem);
  const { axis, width, height } = problem;
  const [outWidth, outHeight] = outputSize(problem);
  checkBindings(
    "resizeU8",
    {
      src: imageByteLength(width, height),
      weights: (problem.dstOffset + problem.outSize) * problem.taps * 4,
      dst: imageByteLength(outWidth, outHeight),
    },
    caps,
    "Run it in stripes of rows, see resizeStripes",
  );
  const horizontal = axis === "horizontal";
  const body = /* wgsl */ `${MAP_POSITION}${RGBA8}
@compute @workgroup_size(${MAP_WORKGROUP})
fn main(${MAP_ARGUMENTS}) {
  let at = map_position(group, counts, local);
  if (at.x >= params.out_width || at.y >= params.out_height) { return; }
  let output = params.dst_offset + at.${horizontal ? "x" : "y"};
  let start = u32(starts[output]) - params.src_offset;
  let base = ${horizontal ? "at.y * params.width + start" : "start * params.width + at.x"};
  var acc = vec4<i32>(i32(HALF));
  for (var k = 0u; k < params.taps; k++) {
    acc += weights[output * params.taps + k] * rgba8(src[base + k${horizontal ? "" : " * params.width"}]);
  }
  let value = clamp(acc >> vec4<u32>(WEIGHT_BITS), vec4<i32>(0), vec4<i32>(255));
  dst[at.y * params.out_width + at.x] = pack_rgba8(value);
}
`;
  return {
    variant: "pixel",
    scratch: [],
    dispatches: [
      dispatch(
        `resize-u8 ${axis}`,
        {
          caps,
          dtype: "f32",
          operands: [
            reads("src", "u32"),
            reads("starts", "i32"),
            reads("weights", "i32"),
            writes("dst", "u32"),
          ],
          params: [
            u32("width", width),
            u32("out_width", outWidth),
            u32("out_height", outHeight),
            u32("taps", problem.taps),
            u32("src_offset", problem.srcOffset),
            u32("dst_offset", problem.dstOffset),
          ],
          constants: { WEIGHT_BITS, HALF: 2 ** (WEIGHT_BITS - 1) },
        },
        body,
        mapGrid(outWidth, outHeight),
      ),
    ],
  };
}

function cost(problem: ResizeU8Problem): Cost {
  const [outWidth, outHeight] = outputSize(problem);
  return {
    flops: outWidth * outHeight * 4 * 2 * problem.taps,
    bytesRead:
      imageByteLength(problem.width, problem.height) + problem.outSize * (problem.taps + 1) * 4,
    bytesWritten: imageByteLength(outWidth, outHeight),
  };
}

/** One pass of Pillow's 8-bit resize along one axis, bit for bit. */
export const resizeU8: Kernel<ResizeU8Problem, "pixel"> = {
  name: "resizeU8",
  variants: ["pixel"],
  check,
  select: () => "pixel",
  plan,
  cost,
};
