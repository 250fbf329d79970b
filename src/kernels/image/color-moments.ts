/**
 * Mean and unbiased variance of each colour of an RGBA8 image, in two kernels and without a readback:
 *
 *   colorMoments   blocks of 4,096 pixels → partials: mean, pixel count, M2 = Σ(p − mean)² of each block
 *   colorMerge     all partials → stats: mean and M2/(n − 1)  (n = 1 gives 0)
 *
 * Within a block sums are exact: Σp and Σp² of 8-bit values fit u32, and Σ(p − m)² about the integer m next
 * to the mean follows from them without a rounding, so that no E[p²] − E[p]² cancellation arises. Blocks are
 * merged in f32 with Chan's formula in a fixed order: deterministic, and exact for constant images.
 *
 * Layout: image packed RGBA8; partials two vec4<f32> per block, (mean r g b, n) and (M2 r g b, 0); stats the
 * same shape, (mean, n) and (variance, 0), in levels (0 … 255). An image held in stripes adds its blocks
 * one stripe after another (`firstBlock`) and is merged once.
 */
import type { Caps } from "../../gpu/caps.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import { checkBindings, RGBA8 } from "./image-layout.ts";

/** Operands: `image` (pixels), `partials`: blocks from `firstBlock` on are written. */
export interface ColorMomentsProblem {
  /** Pixels of the image. */
  readonly pixels: number;
  /** Number of the first block of pixels among the partials. */
  readonly firstBlock: number;
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

/** Blocks that an image (or stripe) of `pixels` pixels gives. */
export function momentBlocks(pixels: number): number {
  return Math.ceil(pixels / BLOCK_PIXELS);
}

function checkMoments({ pixels, firstBlock }: ColorMomentsProblem): void {
  if (!Number.isSafeInteger(pixels) || pixels < 1 || pixels >= 2 ** 32) {
    throw new ShapeError(`colorMoments: pixels must be an integer in 1 … 2³² − 1, got ${pixels}`);
  }
  if (!Number.isSafeInteger(firstBlock) || firstBlock < 0) {
    throw new ShapeError(`colorMoments: firstBlock must be an integer ≥ 0, got ${firstBlock}`);
  }
}

function planMoments(problem: ColorMomentsProblem, caps: Caps): KernelPlan {
  checkMoments(problem);
  const { pixels, firstBlock } = problem;
  const blocks = momentBlocks(pixels);
  const partials = (firstBlock + blocks) * MOMENTS_BYTES;
  checkBindings("colorMoments", { image: pixels * 4, partials }, caps, "Run it on stripes of rows");
  const body = /* wgsl */ `${RGBA8}
var<workgroup> sums: array<vec3<u32>, ${MOMENTS_WORKGROUP}>;
var<workgroup> squares: array<vec3<u32>, ${MOMENTS_WORKGROUP}>;

@compute @workgroup_size(${MOMENTS_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let block = flat_group(group, counts);
  // Surplus groups of a folded grid have nothing to add, but must reach the barriers.
  let begin = min(block * BLOCK_PIXELS, params.pixels);
  let end = min(begin + min(BLOCK_PIXELS, params.pixels - begin), params.pixels);
  var sum = vec3<u32>(0u);
  var square = vec3<u32>(0u);
  for (var i = begin + local; i < end; i += ${MOMENTS_WORKGROUP}u) {
    let p = vec3<u32>(rgba8(image[i]).xyz);
    sum += p;
    square += p * p;
  }
  sums[local] = sum;
  squares[local] = square;
  workgroupBarrier();
  for (var half = ${MOMENTS_WORKGROUP / 2}u; half > 0u; half >>= 1u) {
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
    let index = (params.first_block + block) * 2u;
    partials[index] = vec4<f32>(vec3<f32>(pivot) + shifted / count, count);
    partials[index + 1u] = vec4<f32>(m2, 0.0);
  }
}
`;
  return {
    variant: "block",
    scratch: [],
    dispatches: [
      dispatch(
        "color-moments",
        {
          caps,
          dtype: "f32",
          operands: [reads("image", "u32"), writes("partials", "vec4<f32>")],
          params: [u32("pixels", pixels), u32("first_block", firstBlock)],
          constants: { BLOCK_PIXELS },
        },
        body,
        foldWorkgroups(blocks),
      ),
    ],
  };
}

function momentsCost({ pixels }: ColorMomentsProblem): Cost {
  return {
    flops: pixels * 9,
    bytesRead: pixels * 4,
    bytesWritten: momentBlocks(pixels) * MOMENTS_BYTES,
  };
}

/** Mean and squared deviations of each colour of an RGBA8 image, by blocks of pixels. */
export const colorMoments: Kernel<ColorMomentsProblem, "block"> = {
  name: "colorMoments",
  variants: ["block"],
  check: checkMoments,
  select: () => "block",
  plan: planMoments,
  cost: momentsCost,
};

function checkMerge({ blocks }: ColorMergeProblem): void {
  if (!Number.isSafeInteger(blocks) || blocks < 1) {
    throw new ShapeError(`colorMerge: blocks must be an integer ≥ 1, got ${blocks}`);
  }
}

function planMerge(problem: ColorMergeProblem, caps: Caps): KernelPlan {
  checkMerge(problem);
  const { blocks } = problem;
  checkBindings("colorMerge", { partials: blocks * MOMENTS_BYTES }, caps, "The image is too large");
  const body = /* wgsl */ `
struct Moments { mean: vec3<f32>, count: f32, m2: vec3<f32> }

var<workgroup> held: array<Moments, ${MERGE_WORKGROUP}>;

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

@compute @workgroup_size(${MERGE_WORKGROUP})
fn main(@builtin(local_invocation_index) local: u32) {
  var own = Moments(vec3<f32>(0.0), 0.0, vec3<f32>(0.0));
  for (var block = local; block < params.blocks; block += ${MERGE_WORKGROUP}u) {
    let first = partials[2u * block];
    own = merged(own, Moments(first.xyz, first.w, partials[2u * block + 1u].xyz));
  }
  held[local] = own;
  workgroupBarrier();
  for (var half = ${MERGE_WORKGROUP / 2}u; half > 0u; half >>= 1u) {
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
  return {
    variant: "tree",
    scratch: [],
    dispatches: [
      dispatch(
        "color-merge",
        {
          caps,
          dtype: "f32",
          operands: [reads("partials", "vec4<f32>"), writes("stats", "vec4<f32>")],
          params: [u32("blocks", blocks)],
        },
        body,
        [1, 1, 1],
      ),
    ],
  };
}

/** The partials of `colorMoments` as one mean and variance of each colour. */
export const colorMerge: Kernel<ColorMergeProblem, "tree"> = {
  name: "colorMerge",
  variants: ["tree"],
  check: checkMerge,
  select: () => "tree",
  plan: planMerge,
  cost: ({ blocks }) => ({
    flops: blocks * 30,
    bytesRead: blocks * MOMENTS_BYTES,
    bytesWritten: MOMENTS_BYTES,
  }),
};
