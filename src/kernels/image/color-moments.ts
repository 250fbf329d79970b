/**
 * Mean and unbiased variance of each colour of an RGBA8 image, in two kernels and without a readback:
 *
 *   colorMoments   blocks of 4,096 pixels → partials: mean, pixel count, M2 = Σ(p − mean)² of each block
 *   colorMerge     all partials → stats: mean and M2/(n − 1)  (n = 1 gives 0)
 *
 * Within a block all sums are exact: Σp and Σp² of 8-bit values fit u32. Σ(p − m)² about the integer m next to the
 * mean follows from them without rounding, so that no E[p²] − E[p]² cancellation arises. Blocks are merged in f32
 * with Chan's formula in a fixed order. The result is deterministic, and exact for constant images.
 *
 * Layout: image packed RGBA8. Each partial is two vec4<f32>: (mean r g b, n) and (M2 r g b, 0). stats has the same
 * shape: (mean, n) and (variance, 0), in levels (0 … 255).
 */
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import { checkBindings, RGBA8 } from "./image-layout.ts";

/** Operands: `image` (pixels), `partials` (`momentBlocks`). */
export interface ColorMomentsProblem {
  /** Pixels of the image. */
  readonly pixels: number;
}

/** Operands: `partials` (blocks), `stats`. */
export interface ColorMergeProblem {
  /** Number of partials. */
  readonly blocks: number;
}

const MOMENTS_WORKGROUP = 256;
/** Pixels of a block: 16 per invocation. Σp² ≤ 4096·255² < 2³². */
const BLOCK_PIXELS = 4096;
const MERGE_WORKGROUP = 64;

/** Bytes of one block's partial and of the final statistics. */
export const MOMENTS_BYTES = 32;

/** Blocks of an image of `pixels` pixels. */
export function momentBlocks(pixels: number): number {
  return Math.ceil(pixels / BLOCK_PIXELS);
}

const MOMENTS_BODY = /* wgsl */ `${RGBA8}
var<workgroup> sums: array<vec3<u32>, WORKGROUP>;
var<workgroup> squares: array<vec3<u32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let block = flat_group(group, counts);
  // Surplus groups of a folded grid have nothing to add, but must reach the barriers.
  let begin = min(block * BLOCK_PIXELS, params.pixels);
  let end = min(begin + min(BLOCK_PIXELS, params.pixels - begin), params.pixels);
  var sum = vec3<u32>(0u);
  var square = vec3<u32>(0u);
  for (var i = begin + local; i < end; i += WORKGROUP) {
    let p = vec3<u32>(rgba8(image[i]).xyz);
    sum += p;
    square += p * p;
  }
  sums[local] = sum;
  squares[local] = square;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half >>= 1u) {
    if (local < half) {
      sums[local] += sums[local + half];
      squares[local] += squares[local + half];
    }
    workgroupBarrier();
  }
  if (local == 0u && begin < end) {
    let n = end - begin;
    let pivot = (sums[0] + vec3<u32>(n / 2u)) / n;
    let shifted = vec3<f32>(vec3<i32>(sums[0]) - vec3<i32>(pivot * n)); // Σ(p − pivot), |…| ≤ n/2
    let about_pivot = vec3<f32>(squares[0] - 2u * pivot * sums[0] + n * pivot * pivot);
    let count = f32(n);
    let m2 = max(about_pivot - shifted * shifted / count, vec3<f32>(0.0));
    partials[block * 2u] = vec4<f32>(vec3<f32>(pivot) + shifted / count, count);
    partials[block * 2u + 1u] = vec4<f32>(m2, 0.0);
  }
}
`;

/** Mean and squared deviations of each colour of an RGBA8 image, by blocks of pixels. */
export const colorMoments: Kernel<ColorMomentsProblem, "block"> = defineKernel({
  name: "colorMoments",
  variants: ["block"],
  check({ pixels }) {
    if (isShape([pixels]) && pixels < 2 ** 32) return;
    throw new ShapeError(`colorMoments: pixels must be an integer in 1 … 2³² − 1, got ${pixels}`);
  },
  dispatches({ pixels }, caps) {
    const blocks = momentBlocks(pixels);
    const byteLengths = { image: pixels * 4, partials: blocks * MOMENTS_BYTES };
    checkBindings("colorMoments", byteLengths, caps, "Use a smaller image");
    const header = {
      caps,
      dtype: "f32",
      operands: [reads("image", "u32"), writes("partials", "vec4<f32>")],
      params: [u32("pixels", pixels)],
      constants: { WORKGROUP: MOMENTS_WORKGROUP, BLOCK_PIXELS },
    } as const;
    return [dispatch("color-moments", header, MOMENTS_BODY, foldWorkgroups(blocks))];
  },
  cost: ({ pixels }) => ({
    flops: pixels * 9,
    bytesRead: pixels * 4,
    bytesWritten: momentBlocks(pixels) * MOMENTS_BYTES,
  }),
});

const MERGE_BODY = /* wgsl */ `
struct Moments { mean: vec3<f32>, count: f32, m2: vec3<f32> }

var<workgroup> held: array<Moments, WORKGROUP>;

fn merged(a: Moments, b: Moments) -> Moments {
  if (b.count == 0.0) { return a; }
  let count = a.count + b.count;
  let delta = b.mean - a.mean;
  return Moments(
    a.mean + delta * (b.count / count),
    count,
    a.m2 + b.m2 + delta * delta * (a.count * (b.count / count)),
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  var own = Moments(vec3<f32>(0.0), 0.0, vec3<f32>(0.0));
  for (var block = local; block < params.blocks; block += WORKGROUP) {
    let first = partials[2u * block];
    own = merged(own, Moments(first.xyz, first.w, partials[2u * block + 1u].xyz));
  }
  held[local] = own;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half >>= 1u) {
    if (local < half) { held[local] = merged(held[local], held[local + half]); }
    workgroupBarrier();
  }
  if (local == 0u) {
    let all = held[0];
    stats[0] = vec4<f32>(all.mean, all.count);
    stats[1] = vec4<f32>(all.m2 / max(all.count - 1.0, 1.0), 0.0);
  }
}
`;

/** The partials of `colorMoments` as one mean and variance of each colour. */
export const colorMerge: Kernel<ColorMergeProblem, "tree"> = defineKernel({
  name: "colorMerge",
  variants: ["tree"],
  check({ blocks }) {
    if (isShape([blocks])) return;
    throw new ShapeError(`colorMerge: blocks must be an integer ≥ 1, got ${blocks}`);
  },
  dispatches({ blocks }, caps) {
    const partials = blocks * MOMENTS_BYTES;
    checkBindings("colorMerge", { partials }, caps, "The image is too large");
    const header = {
      caps,
      dtype: "f32",
      operands: [reads("partials", "vec4<f32>"), writes("stats", "vec4<f32>")],
      params: [u32("blocks", blocks)],
      constants: { WORKGROUP: MERGE_WORKGROUP },
    } as const;
    return [dispatch("color-merge", header, MERGE_BODY, [1, 1, 1])];
  },
  cost: ({ blocks }) => ({
    flops: blocks * 30,
    bytesRead: blocks * MOMENTS_BYTES,
    bytesWritten: MOMENTS_BYTES,
  }),
});
