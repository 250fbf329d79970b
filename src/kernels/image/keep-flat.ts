/**
 * Lets areas of one colour keep it, in pictures that consist of such areas for the most part: logos, charts, screenshots, cut-outs
 * on white. Networks with zeros around the map darken its corners, and shift the colours of areas beside each other.
 *
 * A pixel of the source is flat to 1 where its 3 × 3 neighbours have its colour, to 2 where its 5 × 5 have; beyond the border
 * they repeat. Where at least half of all pixels are flat, or as many as the caller says, the enlarged pixels of a flat one become
 *
 *   flat to 1: the mean of the result and the source's colour;   flat to 2: the source's colour
 *
 * so that there is no edge where the rule ends. Photographs have hardly a flat pixel: nothing changes.
 *
 * Layout: `source` packed RGBA8 [height, width]; `image` packed RGBA8 [scale·height, scale·width], in place, alpha stays. The count
 * is of integers, so that its order does not matter.
 */
import type { Kernel } from "../kernel.ts";
import { defineKernel, i32, reads, u32, writes } from "../kernel.ts";
import { checkBindings, checkSides, imageByteLength, mapDispatch, RGBA8 } from "./image-layout.ts";

/** Operands: `source`, and `image`, which is read and written. */
export interface KeepFlatProblem {
  /** Columns of the source. */
  readonly width: number;
  /** Rows of the source. */
  readonly height: number;
  /** Pixels of the image for one of the source, along each axis. */
  readonly scale: number;
  /** Flat pixels from which on the rule holds. Default: half of all. */
  readonly least?: number;
}

const FLATNESS = /* wgsl */ `
  if (at.x >= u32(params.width) || at.y >= u32(params.height)) { return; }
  let center = vec2<i32>(at);
  let last = vec2<i32>(params.width, params.height) - 1;
  let color = source[center.y * params.width + center.x] & 0xffffffu;
  var flat = 2u;
  for (var dy = -2; dy <= 2; dy++) {
    for (var dx = -2; dx <= 2; dx++) {
      let place = clamp(center + vec2<i32>(dx, dy), vec2<i32>(0), last);
      if ((source[place.y * params.width + place.x] & 0xffffffu) != color) {
        flat = min(flat, select(1u, 0u, max(abs(dx), abs(dy)) < 2));
      }
    }
  }
  flatness[center.y * params.width + center.x] = flat;
  if (flat > 0u) { atomicAdd(&count[0], 1u); }
`;

const APPLY = /* wgsl */ `
  if (at.x >= params.width * params.scale || at.y >= params.height * params.scale) { return; }
  if (count[0] < params.least) { return; }
  let place = (at.y / params.scale) * params.width + at.x / params.scale;
  let flat = flatness[place];
  if (flat == 0u) { return; }
  let index = at.y * (params.width * params.scale) + at.x;
  let old = rgba8(image[index]);
  let color = rgba8(source[place]);
  let blended = select((old.xyz + color.xyz + 1) / 2, color.xyz, flat == 2u);
  image[index] = pack_rgba8(vec4<i32>(blended, old.w));
`;

/** Gives areas of one colour that colour again. */
export const keepFlat: Kernel<KeepFlatProblem, "pixel"> = defineKernel({
  name: "keepFlat",
  variants: ["pixel"],
  check: ({ width, height, scale }) => checkSides("keepFlat", { width, height, scale }),
  dispatches({ width, height, scale, least = Math.ceil((width * height) / 2) }, caps) {
    const size = [scale * width, scale * height] as const;
    checkBindings("keepFlat", { image: imageByteLength(...size) }, caps, "Use a smaller image");
    const header = { caps, dtype: "f32" } as const;
    const look = {
      ...header,
      operands: [reads("source", "u32"), writes("flatness", "u32"), writes("count", "atomic<u32>")],
      params: [i32("width", width), i32("height", height)],
    };
    const apply = {
      ...header,
      operands: [
        reads("source", "u32"),
        reads("flatness", "u32"),
        reads("count", "u32"),
        writes("image", "u32"),
      ],
      params: [
        u32("width", width),
        u32("height", height),
        u32("scale", scale),
        u32("least", least),
      ],
    };
    return [
      mapDispatch("flatness", look, [width, height], "", FLATNESS),
      mapDispatch("keep-flat", apply, size, RGBA8, APPLY),
    ];
  },
  scratch: ({ width, height }) => [
    { name: "flatness", byteLength: imageByteLength(width, height) },
    { name: "count", byteLength: 4 },
  ],
  cost: ({ width, height, scale }) => ({
    flops: 0,
    bytesRead: imageByteLength(width, height) * (2 + scale * scale),
    bytesWritten: imageByteLength(width, height) * (1 + scale * scale),
  }),
});
