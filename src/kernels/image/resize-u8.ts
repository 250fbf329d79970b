/**
 * One pass of Pillow's 8-bit resize along one axis:
 *
 *   dst[i] = clamp((2²¹ + Σ_k weights[i, k] · src[starts[i] + k]) >> 22, 0, 255)
 *
 * Layout: packed RGBA8 (see `image-layout.ts`). All four channels are treated alike. Pillow itself premultiplies
 * RGBA by alpha before a resize; for images with alpha < 255 the caller decides.
 *
 * One invocation per output pixel. Integer arithmetic only, so the result is exact: bit for bit Pillow's when the
 * passes of `pillowResizePasses` run in order with an 8-bit image between them.
 *
 * Limit: source and destination each fit one binding (33.5 megapixels at the 128 MiB default).
 */
import type { Kernel } from "../kernel.ts";
import { defineKernel, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkSides,
  checkTaps,
  imageByteLength,
  mapDispatch,
  RGBA8,
} from "./image-layout.ts";
import type { AxisPart, PillowFilter, ResampleTable } from "./resample-weights.ts";
import { quantisedPart, WEIGHT_BITS, wholeAxis } from "./resample-weights.ts";

/**
 * Operands: `src` (width × height pixels), `starts` and `weights` (i32, the table of the axis),
 * `dst`: outSize × height pixels (horizontal) or width × outSize (vertical).
 */
export interface ResizeU8Problem {
  /** The axis that changes its size. */
  readonly axis: "horizontal" | "vertical";
  /** Columns of the source. */
  readonly width: number;
  /** Rows of the source. */
  readonly height: number;
  /** Size of the destination along the axis. */
  readonly outSize: number;
  /** Weights of one output. */
  readonly taps: number;
}

/** A pass of `pillowResizePasses`: the problem and its table. */
export interface ResizePass {
  readonly problem: ResizeU8Problem;
  readonly table: ResampleTable<Int32Array<ArrayBuffer>>;
}

/** The passes of a resize in order: horizontal first; none for a side that keeps its length. */
export function pillowResizePasses(
  inWidth: number,
  inHeight: number,
  outWidth: number,
  outHeight: number,
  filter: PillowFilter,
): readonly ResizePass[] {
  checkSides("resizeU8", { inWidth, inHeight, outWidth, outHeight });
  const [across, down] = [wholeAxis(inWidth, outWidth), wholeAxis(inHeight, outHeight)];
  return pillowPartPasses(inWidth, inHeight, across, down, filter);
}

/** The same for parts of both axes, of an image that has `inWidth` × `inHeight` of the inputs. */
export function pillowPartPasses(
  inWidth: number,
  inHeight: number,
  across: AxisPart,
  down: AxisPart,
  filter: PillowFilter,
): readonly ResizePass[] {
  const passes: ResizePass[] = [];
  let width = inWidth;
  if (across.wholeOut !== across.wholeIn) {
    const table = quantisedPart(across, inWidth, filter);
    width = across.outSize;
    const size = { width: inWidth, height: inHeight, outSize: width, taps: table.taps };
    passes.push({ problem: { axis: "horizontal", ...size }, table });
  }
  if (down.wholeOut !== down.wholeIn) {
    const table = quantisedPart(down, inHeight, filter);
    const size = { width, height: inHeight, outSize: down.outSize, taps: table.taps };
    passes.push({ problem: { axis: "vertical", ...size }, table });
  }
  return passes;
}

function outputSize({ axis, width, height, outSize }: ResizeU8Problem): readonly [number, number] {
  return axis === "horizontal" ? [outSize, height] : [width, outSize];
}

/** WGSL of `output`, its number along the axis, and of `base`, the first pixel of its window. */
const WINDOW = {
  horizontal: /* wgsl */ `let output = at.x;
  let start = u32(starts[output]);
  let base = at.y * params.width + start;`,
  vertical: /* wgsl */ `let output = at.y;
  let start = u32(starts[output]);
  let base = start * params.width + at.x;`,
};

function statements(axis: ResizeU8Problem["axis"]): string {
  const index = axis === "horizontal" ? "base + k" : "base + k * params.width";
  return /* wgsl */ `
  if (at.x >= params.out_width || at.y >= params.out_height) { return; }
  ${WINDOW[axis]}
  var acc = vec4<i32>(i32(HALF));
  for (var k = 0u; k < params.taps; k++) {
    acc += weights[output * params.taps + k] * rgba8(src[${index}]);
  }
  let value = clamp(acc >> vec4<u32>(WEIGHT_BITS), vec4<i32>(0), vec4<i32>(255));
  dst[at.y * params.out_width + at.x] = pack_rgba8(value);
`;
}

/** One pass of Pillow's 8-bit resize along one axis, bit for bit. */
export const resizeU8: Kernel<ResizeU8Problem, "pixel"> = defineKernel({
  name: "resizeU8",
  variants: ["pixel"],
  check({ axis, width, height, outSize, taps }) {
    checkSides("resizeU8", { width, height, outSize });
    checkTaps("resizeU8", taps, axis === "horizontal" ? width : height);
  },
  dispatches(problem, caps) {
    const { axis, width, height, outSize, taps } = problem;
    const size = outputSize(problem);
    const [outWidth, outHeight] = size;
    const byteLengths = {
      src: imageByteLength(width, height),
      weights: outSize * taps * 4,
      dst: imageByteLength(outWidth, outHeight),
    };
    checkBindings("resizeU8", byteLengths, caps, "Use a smaller image");
    const header = {
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
        u32("taps", taps),
      ],
      constants: { WEIGHT_BITS, HALF: 2 ** (WEIGHT_BITS - 1) },
    } as const;
    return [mapDispatch(`resize-u8 ${axis}`, header, size, RGBA8, statements(axis))];
  },
  cost(problem) {
    const { width, height, outSize, taps } = problem;
    const [outWidth, outHeight] = outputSize(problem);
    return {
      flops: outWidth * outHeight * 4 * 2 * taps,
      bytesRead: imageByteLength(width, height) + outSize * (taps + 1) * 4,
      bytesWritten: imageByteLength(outWidth, outHeight),
    };
  },
});
