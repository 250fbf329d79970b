/**
 * Colour fixes: give a decoded image the colours of the enlarged source (both packed RGBA8, same size).
 *
 * adainColorFix — per channel, over all pixels, in levels 0 … 255:
 *
 *   result = (p − mean_decoded)·σ_source/σ_decoded + mean_source,  σ = √(variance + 1e−5·255²)
 *
 * waveletColorFix — result = (decoded − low(decoded)) + low(source), low = five blurs [1 2 1]⊗[1 2 1]/16 with
 * dilation 1, 2, 4, 8, 16 and replicate padding. Blurs are linear, so this is decoded + low(source − decoded):
 * one chain instead of two. It runs in integers: values with 12 fractional bits, three to a vec2<u32> (21 bits
 * each; |source − decoded|·2¹² < 2²⁰). Four stored roundings of at most 2⁻¹³ stay below 1/2000 of a level. At
 * the same size packed halves would round by 0.06 a level and i16 (7 fractional bits) changed 0.6 % of the
 * truncated levels; vec4<f32> is twice as large.
 *
 * Both clamp and go to 8 bits by truncation (the reference) or to nearest; alpha is the decoded image's.
 *
 * Limits: AdaIN needs source, decoded and result within one binding each (33.5 megapixels at 128 MiB);
 * beyond that collect `colorMoments` by stripes and run `adainApply` by stripes. The wavelet holds 8 bytes
 * a pixel (16.7 megapixels = 4096²); beyond that run `waveletStripes`.
 */
import type { Caps } from "../../gpu/caps.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Dispatch, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, f32, i32, reads, u32, writes } from "../kernel.ts";
import { colorMerge, colorMoments, momentBlocks, MOMENTS_BYTES } from "./color-moments.ts";
import type { Rounding } from "./image-layout.ts";
import {
  checkBindings,
  checkRange,
  checkSides,
  MAP_ARGUMENTS,
  MAP_POSITION,
  MAP_WORKGROUP,
  mapGrid,
  RGBA8,
} from "./image-layout.ts";

/**
 * Operands of `adainColorFix`: `source`, `decoded`, `result`. Of `adainApply`: `decoded`, `sourceStats` and
 * `decodedStats` (see `color-moments.ts`), `result`. All images have `pixels` pixels.
 */
export interface AdainProblem {
  /** Pixels of each image. */
  readonly pixels: number;
  /** How results become 8-bit levels. */
  readonly rounding: Rounding;
}

const WORKGROUP = 64;
/** The reference adds 1e−5 to variances of values in 0 … 1. */
const VARIANCE_EPS = 1e-5 * 255 * 255;

function checkAdain({ pixels }: AdainProblem): void {
  if (!Number.isSafeInteger(pixels) || pixels < 1) {
    throw new ShapeError(`adainColorFix: pixels must be an integer ≥ 1, got ${pixels}`);
  }
}

function planAdainApply(problem: AdainProblem, caps: Caps): KernelPlan {
  checkAdain(problem);
  const { pixels, rounding } = problem;
  const advice = "Collect colorMoments and run adainApply by stripes";
  checkBindings("adainColorFix", { decoded: pixels * 4 }, caps, advice);
  const body = /* wgsl */ `${RGBA8}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * ${WORKGROUP}u + local;
  if (i >= params.pixels) { return; }
  let eps = vec3<f32>(params.eps);
  let gain = sqrt((sourceStats[1].xyz + eps) / (decodedStats[1].xyz + eps));
  let p = rgba8(decoded[i]);
  let value = (vec3<f32>(p.xyz) - decodedStats[0].xyz) * gain + sourceStats[0].xyz;
  let level = floor(clamp(value, vec3<f32>(0.0), vec3<f32>(255.0)) + vec3<f32>(params.bias));
  result[i] = pack_rgba8(vec4<i32>(vec3<i32>(level), p.w));
}
`;
  return {
    variant: "pixel",
    scratch: [],
    dispatches: [
      dispatch(
        "adain-apply",
        {
          caps,
          dtype: "f32",
          operands: [
            reads("decoded", "u32"),
            reads("sourceStats", "vec4<f32>"),
            reads("decodedStats", "vec4<f32>"),
            writes("result", "u32"),
          ],
          params: [
            u32("pixels", pixels),
            f32("eps", VARIANCE_EPS),
            f32("bias", rounding === "nearest" ? 0.5 : 0),
          ],
        },
        body,
        foldWorkgroups(Math.ceil(pixels / WORKGROUP)),
      ),
    ],
  };
}

function renamed(plan: KernelPlan, names: Readonly<Record<string, string>>): readonly Dispatch[] {
  return plan.dispatches.map((step) => ({
    ...step,
    operands: step.operands.map(({ name, access }) => ({ name: names[name] ?? name, access })),
  }));
}

function planAdain(problem: AdainProblem, caps: Caps): KernelPlan {
  const apply = planAdainApply(problem, caps);
  const blocks = momentBlocks(problem.pixels);
  const moments = colorMoments.plan({ pixels: problem.pixels, firstBlock: 0 }, caps);
  const merge = colorMerge.plan({ blocks }, caps);
  const images = ["source", "decoded"] as const;
  return {
    variant: "statistics",
    scratch: [
      ...images.map((name) => ({ name: `${name}Partials`, byteLength: blocks * MOMENTS_BYTES })),
      ...images.map((name) => ({ name: `${name}Stats`, byteLength: MOMENTS_BYTES })),
    ],
    dispatches: [
      ...images.flatMap((name) => renamed(moments, { image: name, partials: `${name}Partials` })),
      ...images.flatMap((name) =>
        renamed(merge, { partials: `${name}Partials`, stats: `${name}Stats` }),
      ),
      ...apply.dispatches,
    ],
  };
}

function adainApplyCost({ pixels }: AdainProblem): Cost {
  return { flops: pixels * 12, bytesRead: pixels * 4 + 64, bytesWritten: pixels * 4 };
}

/** The last step of `adainColorFix`, from statistics that are there already. */
export const adainApply: Kernel<AdainProblem, "pixel"> = {
  name: "adainApply",
  variants: ["pixel"],
  check: checkAdain,
  select: () => "pixel",
  plan: planAdainApply,
  cost: adainApplyCost,
};

/** Gives an image the mean and deviation of each colour of another, of the same size. */
export const adainColorFix: Kernel<AdainProblem, "statistics"> = {
  name: "adainColorFix",
  variants: ["statistics"],
  check: checkAdain,
  select: () => "statistics",
  plan: planAdain,
  cost: ({ pixels }) => ({ flops: pixels * 30, bytesRead: pixels * 8, bytesWritten: pixels * 4 }),
};

/**
 * Operands: `source` and `decoded` (width × height pixels), `result` (width × rows pixels): rows
 * `firstRow … firstRow + rows` of the fixed image. A whole image has firstRow 0 and rows = height.
 */
export interface WaveletProblem {
  /** Columns of the images. */
  readonly width: number;
  /** Rows of the images. */
  readonly height: number;
  /** First row to compute. */
  readonly firstRow: number;
  /** Number of rows to compute. */
  readonly rows: number;
  /** How results become 8-bit levels. */
  readonly rounding: Rounding;
}

const DILATIONS = [1, 2, 4, 8, 16] as const;
/** Pixels that the five blurs reach to each side. */
const WAVELET_REACH = DILATIONS.reduce((sum, dilation) => sum + dilation, 0);
const LOW_BYTES = 8;
const FRACTION_BITS = 12;

/** Rows `[inFrom, inTo)` to give to the kernel, and the rows `[outFrom, outTo)` that come out right. */
export interface WaveletStripe {
  readonly inFrom: number;
  readonly inTo: number;
  readonly outFrom: number;
  readonly outTo: number;
}

/**
 * Stripes of full rows with a halo of 31 rows, each within `maxBytes` for its largest buffer (8 bytes a
 * pixel). Run a stripe with height = inTo − inFrom, firstRow = outFrom − inFrom, rows = outTo − outFrom.
 */
export function waveletStripes(
  height: number,
  width: number,
  maxBytes: number,
): readonly WaveletStripe[] {
  checkSides("waveletColorFix", { width, height });
  const rows = Math.floor(maxBytes / (width * LOW_BYTES));
  if (rows >= height) return [{ inFrom: 0, inTo: height, outFrom: 0, outTo: height }];
  const core = rows - 2 * WAVELET_REACH;
  if (core < 1) {
    const needed = Math.min(height, 2 * WAVELET_REACH + 1) * width * LOW_BYTES;
    throw new ShapeError(
      `waveletColorFix: a stripe of width ${width} must fit ${needed} bytes, got maxBytes ${maxBytes}`,
    );
  }
  const stripes: WaveletStripe[] = [];
  for (let outFrom = 0; outFrom < height; outFrom += core) {
    const outTo = Math.min(outFrom + core, height);
    const inFrom = Math.max(0, outFrom - WAVELET_REACH);
    const inTo = Math.min(height, outTo + WAVELET_REACH);
    stripes.push({ inFrom, inTo, outFrom, outTo });
  }
  return stripes;
}

function checkWavelet({ width, height, firstRow, rows }: WaveletProblem): void {
  checkSides("waveletColorFix", { width, height, rows });
  checkRange("waveletColorFix", "result rows", firstRow, rows, height);
}

/**
 * WGSL: three signed 21-bit values in a vec2<u32>: the first at bit 0, the second at 21 across the words, the
 * third at bit 10 of the second word.
 */
const I21X3 = /* wgsl */ `
fn unpack_i21x3(q: vec2<u32>) -> vec3<i32> {
  let top = vec3<u32>(q.x << 11u, ((q.x >> 21u) << 11u) | (q.y << 22u), q.y << 1u);
  return vec3<i32>(top) >> vec3<u32>(11u); // arithmetic shift: extends the sign
}
fn pack_i21x3(v: vec3<i32>) -> vec2<u32> {
  let u = vec3<u32>(v) & vec3<u32>(0x1fffffu);
  return vec2<u32>(u.x | (u.y << 21u), (u.y >> 11u) | (u.z << 10u));
}
`;

/** WGSL: one dilated blur at `at` of what `low_at(index)` gives; in and out with 12 fractional bits. */
const BLUR = /* wgsl */ `
fn blurred(at: vec2<i32>) -> vec3<i32> {
  let last = vec2<i32>(i32(params.width), i32(params.height)) - vec2<i32>(1);
  var sum = vec3<i32>(8); // half of 16: rounds to nearest
  for (var dy = -1; dy <= 1; dy++) {
    let row = clamp(at.y + dy * params.dilation, 0, last.y) * i32(params.width);
    for (var dx = -1; dx <= 1; dx++) {
      let column = clamp(at.x + dx * params.dilation, 0, last.x);
      sum += (2 - abs(dx)) * (2 - abs(dy)) * low_at(row + column);
    }
  }
  return sum >> vec3<u32>(4u);
}
`;

function waveletStep(problem: WaveletProblem, caps: Caps, level: 0 | 1 | 2 | 3 | 4): Dispatch {
  const { width, height, firstRow, rows, rounding } = problem;
  const isFirst = level === 0;
  const isLast = level === 4;
  const body = /* wgsl */ `${MAP_POSITION}${RGBA8}${I21X3}
fn low_at(index: i32) -> vec3<i32> {
  return ${
    isFirst
      ? `(rgba8(source[index]).xyz - rgba8(decoded[index]).xyz) * ${2 ** FRACTION_BITS}`
      : "unpack_i21x3(low[index])"
  };
}
${BLUR}
@compute @workgroup_size(${MAP_WORKGROUP})
fn main(${MAP_ARGUMENTS}) {
  let at = map_position(group, counts, local);
  if (at.x >= params.width || at.y >= params.rows) { return; }
  let row = at.y + params.first_row;
  let low_next = blurred(vec2<i32>(i32(at.x), i32(row)));
${
  isLast
    ? `  let p = rgba8(decoded[row * params.width + at.x]);
  let value = (p.xyz * ${2 ** FRACTION_BITS} + low_next + vec3<i32>(params.bias)) >> vec3<u32>(${FRACTION_BITS}u);
  result[at.y * params.width + at.x] = pack_rgba8(vec4<i32>(clamp(value, vec3<i32>(0), vec3<i32>(255)), p.w));`
    : "  next[at.y * params.width + at.x] = pack_i21x3(low_next);"
}
}
`;
  const built = dispatch(
    `wavelet level ${level}`,
    {
      caps,
      dtype: "f32",
      operands: [
        ...(isFirst ? [reads("source", "u32")] : [reads("low", "vec2<u32>")]),
        ...(isFirst || isLast ? [reads("decoded", "u32")] : []),
        isLast ? writes("result", "u32") : writes("next", "vec2<u32>"),
      ],
      params: [
        u32("width", width),
        u32("height", height),
        u32("first_row", isLast ? firstRow : 0),
        u32("rows", isLast ? rows : height),
        i32("dilation", DILATIONS[level]),
        i32("bias", rounding === "nearest" ? 2 ** (FRACTION_BITS - 1) : 0),
      ],
    },
    body,
    mapGrid(width, isLast ? rows : height),
  );
  const names: Readonly<Record<string, string>> =
    level % 2 === 0 ? { low: "lowB", next: "lowA" } : { low: "lowA", next: "lowB" };
  return {
    ...built,
    operands: built.operands.map(({ name, access }) => ({ name: names[name] ?? name, access })),
  };
}

function planWavelet(problem: WaveletProblem, caps: Caps): KernelPlan {
  checkWavelet(problem);
  const byteLength = problem.width * problem.height * LOW_BYTES;
  checkBindings(
    "waveletColorFix",
    { low: byteLength },
    caps,
    "Run it in stripes, see waveletStripes",
  );
  return {
    variant: "integer",
    scratch: [
      { name: "lowA", byteLength },
      { name: "lowB", byteLength },
    ],
    dispatches: ([0, 1, 2, 3, 4] as const).map((level) => waveletStep(problem, caps, level)),
  };
}

/** Gives an image the low frequencies of another, of the same size. */
export const waveletColorFix: Kernel<WaveletProblem, "integer"> = {
  name: "waveletColorFix",
  variants: ["integer"],
  check: checkWavelet,
  select: () => "integer",
  plan: planWavelet,
  cost: ({ width, height, rows }) => ({
    flops: width * height * 3 * 5 * 18,
    bytesRead: width * height * 8,
    bytesWritten: width * rows * 4,
  }),
};
