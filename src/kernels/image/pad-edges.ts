/**
 * An image in a larger one, whose other pixels repeat its edges:
 *
 *   dst[y, x] = src[clamp(y − top, 0, srcHeight − 1), clamp(x − left, 0, srcWidth − 1)]
 *
 * Layout: packed RGBA8 on both sides; one invocation per pixel of `dst`. Exact.
 */
import type { Kernel } from "../kernel.ts";
import { defineKernel, i32, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkRange,
  checkSides,
  imageByteLength,
  mapDispatch,
} from "./image-layout.ts";

/** Operands: `src` → `dst`. */
export interface PadEdgesProblem {
  /** Columns of the source. */
  readonly srcWidth: number;
  /** Rows of the source. */
  readonly srcHeight: number;
  /** Column of `dst` at which the source begins. */
  readonly left: number;
  /** Row of `dst` at which the source begins. */
  readonly top: number;
  /** Columns of `dst`. */
  readonly width: number;
  /** Rows of `dst`. */
  readonly height: number;
}

const STATEMENTS = /* wgsl */ `
  if (at.x >= params.width || at.y >= params.height) { return; }
  let place = vec2<i32>(at) - vec2<i32>(params.left, params.top);
  let source = vec2<u32>(clamp(place, vec2<i32>(0), vec2<i32>(params.src_width, params.src_height) - 1));
  dst[at.y * params.width + at.x] = src[source.y * u32(params.src_width) + source.x];
`;

/** Puts an image into a larger one that repeats its edges. */
export const padEdges: Kernel<PadEdgesProblem, "pixel"> = defineKernel({
  name: "padEdges",
  variants: ["pixel"],
  check({ srcWidth, srcHeight, left, top, width, height }) {
    checkSides("padEdges", { srcWidth, srcHeight, width, height });
    checkRange("padEdges", "columns", left, srcWidth, width);
    checkRange("padEdges", "rows", top, srcHeight, height);
  },
  dispatches({ srcWidth, srcHeight, left, top, width, height }, caps) {
    checkBindings("padEdges", { dst: imageByteLength(width, height) }, caps, "Use a smaller image");
    const header = {
      caps,
      dtype: "f32",
      operands: [reads("src", "u32"), writes("dst", "u32")],
      params: [
        i32("src_width", srcWidth),
        i32("src_height", srcHeight),
        i32("left", left),
        i32("top", top),
        u32("width", width),
        u32("height", height),
      ],
    } as const;
    return [mapDispatch("pad-edges", header, [width, height], "", STATEMENTS)];
  },
  cost: ({ width, height }) => ({
    flops: 0,
    bytesRead: imageByteLength(width, height),
    bytesWritten: imageByteLength(width, height),
  }),
});
