/**
 * Gives the pixels of alpha 0 the colours of their visible neighbours, because nobody saw what is stored there and networks
 * would spread it over the edge. Colours of other pixels and all alpha stay.
 *
 * Push and pull over a pyramid (S. Gortler et al., "The lumigraph", 1996). Each level is half as large: a pixel is the mean of
 * four, weighted by alpha, and the sum of their weights. Then from the coarsest level down, pixels without weight take the colour
 * of the next level, interpolated between four. So a colour comes from as near as there is one. A picture without a visible pixel
 * becomes black.
 *
 * Layout: packed RGBA8, in place; levels f32 [height, width] of (r, g, b in 0 … 255, weight). The first level has as many bytes as
 * the image.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { Dispatch, Kernel } from "../kernel.ts";
import { defineKernel, i32, reads, u32, writes } from "../kernel.ts";
import { checkBindings, checkSides, imageByteLength, mapDispatch, RGBA8 } from "./image-layout.ts";

/** Operand `image`. */
export interface HiddenColorsProblem {
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

type Size = readonly [width: number, height: number];

/** Sizes of all levels of the pyramid above the image, down to one pixel. */
function levels({ width, height }: HiddenColorsProblem): Size[] {
  const sizes: Size[] = [];
  let size: Size = [width, height];
  do {
    size = [Math.ceil(size[0] / 2), Math.ceil(size[1] / 2)];
    sizes.push(size);
  } while (size[0] > 1 || size[1] > 1);
  return sizes;
}

const levelName = (index: number): string => `level${index}`;

/** WGSL `fine_at(index)`: a pixel with its weight, of the image or of a level. */
const fineAt = (isImage: boolean): string =>
  isImage
    ? /* wgsl */ `${RGBA8}
fn fine_at(index: u32) -> vec4<f32> {
  let pixel = vec4<f32>(rgba8(image[index]));
  return vec4<f32>(pixel.xyz, pixel.w / 255.0);
}
`
    : "fn fine_at(index: u32) -> vec4<f32> { return fine[index]; }\n";

const PUSH = /* wgsl */ `
  if (at.x >= params.width || at.y >= params.height) { return; }
  var sum = vec4<f32>(0.0);
  for (var y = 2u * at.y; y < min(2u * at.y + 2u, params.fine_height); y++) {
    for (var x = 2u * at.x; x < min(2u * at.x + 2u, params.fine_width); x++) {
      let pixel = fine_at(y * params.fine_width + x);
      sum += vec4<f32>(pixel.xyz * pixel.w, pixel.w);
    }
  }
  if (sum.w > 0.0) { sum = vec4<f32>(sum.xyz / sum.w, sum.w); }
  coarse[at.y * params.width + at.x] = sum;
`;

/** Of the four nearest pixels of the coarse level: 9, 3, 3 and 1 sixteenths. */
const COARSE_COLOR = /* wgsl */ `
fn coarse_color(at: vec2<u32>) -> vec3<f32> {
  let last = vec2<i32>(params.width, params.height) - 1;
  let near = vec2<i32>(at / 2u);
  let far = clamp(near + select(vec2<i32>(-1), vec2<i32>(1), (at & vec2<u32>(1u)) == vec2<u32>(1u)), vec2<i32>(0), last);
  let width = params.width;
  return 0.5625 * coarse[near.y * width + near.x].xyz + 0.1875 * coarse[near.y * width + far.x].xyz
    + 0.1875 * coarse[far.y * width + near.x].xyz + 0.0625 * coarse[far.y * width + far.x].xyz;
}
`;

const PULL = /* wgsl */ `
  if (at.x >= params.fine_width || at.y >= params.fine_height) { return; }
  let index = at.y * params.fine_width + at.x;
  if (fine[index].w == 0.0) { fine[index] = vec4<f32>(coarse_color(at), 0.0); }
`;
const PULL_IMAGE = /* wgsl */ `
  if (at.x >= params.fine_width || at.y >= params.fine_height) { return; }
  let index = at.y * params.fine_width + at.x;
  if ((image[index] >> 24u) == 0u) { image[index] = pack_rgba8(vec4<i32>(vec3<i32>(round(coarse_color(at))), 0)); }
`;

/** The step between level `index` − 1, or the image, and level `index`. */
function step(
  kind: "push" | "pull",
  index: number,
  [fineWidth, fineHeight]: Size,
  [width, height]: Size,
  caps: Caps,
): Dispatch {
  const isImage = index === 0;
  const isPush = kind === "push";
  const fine = isImage
    ? [isPush ? reads("image", "u32") : writes("image", "u32")]
    : [{ ...(isPush ? reads : writes)("fine", "vec4<f32>"), boundTo: levelName(index - 1) }];
  const coarse = (isPush ? writes : reads)("coarse", "vec4<f32>");
  const size = isPush ? u32 : i32;
  const header = {
    caps,
    dtype: "f32",
    operands: [...fine, { ...coarse, boundTo: levelName(index) }],
    params: [
      u32("fine_width", fineWidth),
      u32("fine_height", fineHeight),
      size("width", width),
      size("height", height),
    ],
  } as const;
  const label = `hidden-colors ${kind}${isImage ? " image" : ""}`;
  return isPush
    ? mapDispatch(label, header, [width, height], fineAt(isImage), PUSH)
    : mapDispatch(
        label,
        header,
        [fineWidth, fineHeight],
        `${isImage ? RGBA8 : ""}${COARSE_COLOR}`,
        isImage ? PULL_IMAGE : PULL,
      );
}

/** Spreads visible colours to the pixels of alpha 0. */
export const hiddenColors: Kernel<HiddenColorsProblem, "pyramid"> = defineKernel({
  name: "hiddenColors",
  variants: ["pyramid"],
  check: ({ width, height }) => checkSides("hiddenColors", { width, height }),
  dispatches(problem, caps) {
    const { width, height } = problem;
    const [first] = levels(problem) as [Size];
    const byteLengths = { image: imageByteLength(width, height), level0: first[0] * first[1] * 16 };
    checkBindings("hiddenColors", byteLengths, caps, "Use a smaller image");
    const sizes: Size[] = [[width, height], ...levels(problem)];
    const steps = sizes.slice(1).map((size, index) => [index, sizes[index] as Size, size] as const);
    return [
      ...steps.map(([index, fine, coarse]) => step("push", index, fine, coarse, caps)),
      ...steps.toReversed().map(([index, fine, coarse]) => step("pull", index, fine, coarse, caps)),
    ];
  },
  scratch: (problem) =>
    levels(problem).map(([width, height], index) => ({
      name: levelName(index),
      byteLength: width * height * 16,
    })),
  cost: ({ width, height }) => ({
    flops: width * height * 12,
    bytesRead: imageByteLength(width, height) * 6,
    bytesWritten: imageByteLength(width, height) * 3,
  }),
});
