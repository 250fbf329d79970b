/**
 * How conv2d and linear load x: from one tensor or two whose channels are concatenated, and with the last step of
 * GroupNorm on the way, so that a normalised map is never stored:
 *
 *   x̂[row, c] = activate(a[c]·x[row, c] + b[c])
 *
 * `norm`, f32, holds the scale a and the shift b as `groupNormAffine` writes them for one image: [2][quads] vec4, all a
 * and then all b, over the channels of both sources. Where the statistics are merged on load (`merged-norm.ts`) it holds
 * gamma and beta instead. A pixel outside the map stays zero: padding comes after the norm.
 *
 * One image at a time: the image of a pixel would cost a division in every load.
 *
 * The cost: every load repeats the affine and the SiLU, once for each tap and column tile that reads the element. The
 * gain: a dispatch, a map, and writing and reading it.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { Operand } from "../../gpu/wgsl.ts";
import { reads } from "../kernel.ts";
import { activationWgsl } from "../pointwise/activation.ts";
import type { MergedNorm } from "./merged-norm.ts";
import { MERGED_NORM, checkMergedNorm } from "./merged-norm.ts";

/** What loads do to an element. With a norm, operand `norm` holds scale and shift. */
export type InputNorm = "none" | "affine" | "affine-silu";

/** x of a contraction. */
export interface LoadedInput {
  readonly inChannels: readonly number[];
  readonly inputNorm: InputNorm;
  readonly mergedNorm: MergedNorm | null;
}

/** Throws `ShapeError` for more than two sources, a seam within a quad, or a norm that does not belong to x. */
export function checkLoads(
  name: string,
  { inChannels, inputNorm, mergedNorm }: LoadedInput,
  images: number,
): void {
  if (inChannels.length < 1 || inChannels.length > 2) {
    throw new ShapeError(`${name}: takes one or two sources, got ${inChannels.length}`);
  }
  const [first = 0, second] = inChannels;
  if (second !== undefined && first % 4 !== 0) {
    throw new ShapeError(
      `${name}: the first of two sources must have a multiple of 4 channels, got ${first}. Concatenate by copy`,
    );
  }
  if (inputNorm !== "none" && images !== 1) {
    throw new ShapeError(
      `${name}: normalises one image while loading, got ${images}. Apply the norm by affineActivation`,
    );
  }
  if (mergedNorm === null) return;
  const { statistics } = mergedNorm;
  if (inputNorm === "none" || statistics.length !== inChannels.length) {
    throw new ShapeError(
      `${name}: a merged norm takes an inputNorm and statistics of every source, got "${inputNorm}" and ` +
        `${statistics.length} for ${inChannels.length}`,
    );
  }
  checkMergedNorm(name, mergedNorm, inChannels);
}

/** What a label says of the norm. */
export const normLabel = ({ inputNorm, mergedNorm }: LoadedInput): string =>
  inputNorm === "none" ? "" : mergedNorm ? " merged norm" : " norm";

/** The operand, between the epilogue's and `y`. */
export function inputNormOperands(norm: InputNorm): Operand[] {
  return norm === "none" ? [] : [reads("norm", "vec4<f32>")];
}

/**
 * Fragment of a shader: `load_x(row, k)`, quad `k` of a row of x, normalised; `load_stored(row, k)`, the same as it is
 * stored; with a merged norm `merge_statistics(local)`, which main calls before it loads (see `MERGED_NORM`). Needs
 * operands `x0`, `x1`, `norm` and params `in_quads0`, `in_quads1`.
 */
export function loadsWgsl({ inChannels, inputNorm, mergedNorm }: LoadedInput): string {
  return /* wgsl */ `${mergedNorm === null ? "" : MERGED_NORM}${normalisedWgsl(inputNorm, mergedNorm !== null)}
${sourcesWgsl("load_stored", "x", "in_quads", inChannels.length)}
fn load_x(row: u32, k: u32) -> vec4<f32> {
  return normalised(load_stored(row, k), k);
}
`;
}

/**
 * WGSL `<name>(row, k)`: quad `k` of one or two sources `<operand>0`, `<operand>1` with concatenated channels. `values` is the
 * type of an unpacked quad.
 */
export function sourcesWgsl(
  name: string,
  operand: string,
  quads: string,
  sources: number,
  values = "vec4<f32>",
): string {
  const load = (source: number, k: string): string =>
    `return unpack(${operand}${source}[row * params.${quads}${source} + ${k}]);`;
  const body =
    sources === 1
      ? load(0, "k")
      : `if (k < params.${quads}0) { ${load(0, "k")} }
  ${load(1, `(k - params.${quads}0)`)}`;
  return `fn ${name}(row: u32, k: u32) -> ${values} {\n  ${body}\n}\n`;
}

/** WGSL `normalised(v, k)` of quad `k` of the concatenated sources. */
function normalisedWgsl(norm: InputNorm, isMerged: boolean): string {
  if (norm === "none") return "fn normalised(v: vec4<f32>, k: u32) -> vec4<f32> { return v; }\n";
  const scaleAndShift = isMerged
    ? /* wgsl */ `let moments = moments_of(k);
  let a = norm[k] * moments.yyww;
  let b = norm[params.in_quads0 + params.in_quads1 + k] - moments.xxzz * a;`
    : /* wgsl */ `let a = norm[k];
  let b = norm[params.in_quads0 + params.in_quads1 + k];`;
  return /* wgsl */ `${activationWgsl(norm === "affine-silu" ? "silu" : "none", "activate_input")}
fn normalised(v: vec4<f32>, k: u32) -> vec4<f32> {
  ${scaleAndShift}
  return activate_input(a * v + b);
}
`;
}
