/**
 * Colour fixes: give a decoded image the colours of the enlarged source (both packed RGBA8, same size).
 *
 * adainColorFix — per channel, over all pixels, in levels 0 … 255:
 *
 *   result = (p − mean_decoded)·σ_source/σ_decoded + mean_source,  σ = √(variance + 1e−5·255²)
 *
 * waveletColorFix — result = (decoded − low(decoded)) + low(source), where low is five blurs [1 2 1]⊗[1 2 1]/16 with
 * dilation 1, 2, 4, 8, 16 and replicate padding. Blurs are linear, so this is decoded + low(source − decoded): one
 * chain of blurs instead of two.
 *
 * The chain runs in integers with 12 fractional bits, three to a vec2<u32> (21 bits each; |source − decoded|·2¹² <
 * 2²⁰). Its four stored roundings of at most 2⁻¹³ stay below 1/2000 of a level. Rejected: packed halves, of the same
 * size, round by 0.06 of a level. i16 (7 fractional bits) changed 0.6 % of the truncated levels. vec4<f32> is twice
 * as large.
 *
 * Both clamp and go to 8 bits by truncation (the reference) or to nearest. Alpha is the decoded image's.
 *
 * Limits: AdaIN needs source, decoded and result within one binding each (33.5 megapixels at 128 MiB). The wavelet
 * holds 8 bytes a pixel in one binding (16.7 megapixels = 4096²).
 */
import type { Caps } from "../../gpu/caps.ts";
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Dispatch, Kernel } from "../kernel.ts";
import { defineKernel, dispatch, f32, i32, reads, u32, writes } from "../kernel.ts";
import { colorMerge, colorMoments, momentBlocks, MOMENTS_BYTES } from "./color-moments.ts";
import type { Rounding } from "./image-layout.ts";
import { checkBindings, checkSides, mapDispatch, RGBA8 } from "./image-layout.ts";

/** Operands: `source`, `decoded`, `result`, each of `pixels` pixels. */
export interface AdainProblem {
  /** Pixels of each image. */
  readonly pixels: number;
  /** How results become 8-bit levels. */
  readonly rounding: Rounding;
}

const WORKGROUP = 64;
/** The reference adds 1e−5 to variances of values in 0 … 1. */
const VARIANCE_EPS = 1e-5 * 255 * 255;
const IMAGES = ["source", "decoded"] as const;

const ADAIN_BODY = /* wgsl */ `${RGBA8}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.pixels) { return; }
  let eps = vec3<f32>(params.eps);
  let gain = sqrt((sourceStats[1].xyz + eps) / (decodedStats[1].xyz + eps));
  let p = rgba8(decoded[i]);
  let value = (vec3<f32>(p.xyz) - decodedStats[0].xyz) * gain + sourceStats[0].xyz;
  let level = floor(clamp(value, vec3<f32>(0.0), vec3<f32>(255.0)) + vec3<f32>(params.bias));
  result[i] = pack_rgba8(vec4<i32>(vec3<i32>(level), p.w));
}
`;

/** The dispatches of a kernel on other operands: `names` gives the new name by the kernel's own. */
const renamed = (dispatches: readonly Dispatch[], names: Readonly<Record<string, string>>) =>
  dispatches.map((step) => ({
    ...step,
    operands: step.operands.map(({ name, access }) => ({ name: names[name] ?? name, access })),
  }));

/** Gives an image the mean and deviation of each colour of another, of the same size. */
export const adainColorFix: Kernel<AdainProblem, "statistics"> = defineKernel({
  name: "adainColorFix",
  variants: ["statistics"],
  check({ pixels }) {
    if (isShape([pixels])) return;
    throw new ShapeError(`adainColorFix: pixels must be an integer ≥ 1, got ${pixels}`);
  },
  dispatches({ pixels, rounding }, caps) {
    checkBindings("adainColorFix", { decoded: pixels * 4 }, caps, "Use a smaller image");
    const moments = colorMoments.plan({ pixels }, caps).dispatches;
    const merge = colorMerge.plan({ blocks: momentBlocks(pixels) }, caps).dispatches;
    const header = {
      caps,
      dtype: "f32",
      operands: [
        reads("decoded", "u32"),
        ...IMAGES.map((name) => reads(`${name}Stats`, "vec4<f32>")),
        writes("result", "u32"),
      ],
      params: [
        u32("pixels", pixels),
        f32("eps", VARIANCE_EPS),
        f32("bias", rounding === "nearest" ? 0.5 : 0),
      ],
      constants: { WORKGROUP },
    } as const;
    const workgroups = foldWorkgroups(Math.ceil(pixels / WORKGROUP));
    return [
      ...IMAGES.flatMap((name) => renamed(moments, { image: name, partials: `${name}Partials` })),
      ...IMAGES.flatMap((name) =>
        renamed(merge, { partials: `${name}Partials`, stats: `${name}Stats` }),
      ),
      dispatch("adain-apply", header, ADAIN_BODY, workgroups),
    ];
  },
  scratch: ({ pixels }) => [
    ...IMAGES.map((name) => ({
      name: `${name}Partials`,
      byteLength: momentBlocks(pixels) * MOMENTS_BYTES,
    })),
    ...IMAGES.map((name) => ({ name: `${name}Stats`, byteLength: MOMENTS_BYTES })),
  ],
  cost: ({ pixels }) => ({ flops: pixels * 30, bytesRead: pixels * 8, bytesWritten: pixels * 4 }),
});

/** Operands: `source`, `decoded`, `result`, each of width × height pixels. */
export interface WaveletProblem {
  /** Columns of the images. */
  readonly width: number;
  /** Rows of the images. */
  readonly height: number;
  /** How results become 8-bit levels. */
  readonly rounding: Rounding;
}

const DILATIONS = [1, 2, 4, 8, 16];
const LAST_LEVEL = DILATIONS.length - 1;
const LOW_BYTES = 8;
const FRACTION_BITS = 12;
const ONE = 2 ** FRACTION_BITS;

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

/** WGSL of the functions and the statements of a level. */
function waveletWgsl(isFirst: boolean, isLast: boolean): readonly [string, string] {
  const low = isFirst
    ? `(rgba8(source[index]).xyz - rgba8(decoded[index]).xyz) * ${ONE}`
    : "unpack_i21x3(low[index])";
  const store = isLast
    ? /* wgsl */ `let p = rgba8(decoded[index]);
  let value = (p.xyz * ${ONE} + low_next + vec3<i32>(params.bias)) >> vec3<u32>(FRACTION_BITS);
  result[index] = pack_rgba8(vec4<i32>(clamp(value, vec3<i32>(0), vec3<i32>(255)), p.w));`
    : "next[index] = pack_i21x3(low_next);";
  const functions = /* wgsl */ `${RGBA8}${I21X3}
fn low_at(index: i32) -> vec3<i32> { return ${low}; }
${BLUR}`;
  const statements = /* wgsl */ `
  if (at.x >= params.width || at.y >= params.height) { return; }
  let low_next = blurred(vec2<i32>(at));
  let index = at.y * params.width + at.x;
  ${store}
`;
  return [functions, statements];
}

/** One blur. The levels take turns with two scratch buffers; the last one writes the result. */
function waveletStep({ width, height, rounding }: WaveletProblem, caps: Caps, level: number) {
  const [isFirst, isLast] = [level === 0, level === LAST_LEVEL];
  const [before, after] = level % 2 === 0 ? ["lowB", "lowA"] : ["lowA", "lowB"];
  const header = {
    caps,
    dtype: "f32",
    operands: [
      isFirst ? reads("source", "u32") : { ...reads("low", "vec2<u32>"), boundTo: before },
      ...(isFirst || isLast ? [reads("decoded", "u32")] : []),
      isLast ? writes("result", "u32") : { ...writes("next", "vec2<u32>"), boundTo: after },
    ],
    params: [
      u32("width", width),
      u32("height", height),
      i32("dilation", DILATIONS[level] as number),
      i32("bias", rounding === "nearest" ? ONE / 2 : 0),
    ],
    constants: { FRACTION_BITS },
  } as const;
  const wgsl = waveletWgsl(isFirst, isLast);
  return mapDispatch(`wavelet level ${level}`, header, [width, height], ...wgsl);
}

/** Gives an image the low frequencies of another, of the same size. */
export const waveletColorFix: Kernel<WaveletProblem, "integer"> = defineKernel({
  name: "waveletColorFix",
  variants: ["integer"],
  check: ({ width, height }) => checkSides("waveletColorFix", { width, height }),
  dispatches(problem, caps) {
    const low = problem.width * problem.height * LOW_BYTES;
    checkBindings("waveletColorFix", { low }, caps, 'Use colorFix "adain" or a smaller image');
    return DILATIONS.map((_, level) => waveletStep(problem, caps, level));
  },
  scratch: ({ width, height }) =>
    ["lowA", "lowB"].map((name) => ({ name, byteLength: width * height * LOW_BYTES })),
  cost: ({ width, height }) => ({
    flops: width * height * 3 * 5 * 18,
    bytesRead: width * height * 8,
    bytesWritten: width * height * 4,
  }),
});
