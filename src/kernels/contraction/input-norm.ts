/**
 * The last step of GroupNorm in the loads of conv2d and linear, so that a normalised map is never stored:
 *
 *   x̂[row, c] = activate(a[c]·x[row, c] + b[c])
 *
 * `norm` f32 as `groupNormAffine` writes it for one image: [2][quads] vec4, all a and then all b, over the
 * channels of both sources; or gamma and beta, where the statistics are merged on load (`merged-norm.ts`). A pixel
 * outside the map stays zero: padding comes after the norm.
 *
 * One image at a time: the image of a pixel would cost a division in every load.
 *
 * What it costs: every load repeats the affine and the SiLU, once for each tap and column tile that reads the
 * element; what it saves: a dispatch, a map, and writing and reading it.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { Operand } from "../../gpu/wgsl.ts";
import { reads } from "../kernel.ts";
import { activationWgsl } from "../pointwise/activation.ts";

/** What loads do to an element. With a norm, operand `norm` holds scale and shift. */
export type InputNorm = "none" | "affine" | "affine-silu";

/** Throws `ShapeError` for a norm over more than one image. */
export function checkInputNorm(name: string, norm: InputNorm, images: number): void {
  if (norm === "none" || images === 1) return;
  throw new ShapeError(
    `${name}: normalises one image while loading, got ${images}. Apply the norm by affineActivation`,
  );
}

/** The operand, between the epilogue's and `y`. */
export function inputNormOperands(norm: InputNorm): Operand[] {
  return norm === "none" ? [] : [reads("norm", "vec4<f32>")];
}

/**
 * WGSL `normalised(v, k)` of quad `k` of the concatenated sources. Needs `params.in_quads0` and `in_quads1`, and where
 * statistics are merged on load `MERGED_NORM`.
 */
export function inputNormWgsl(norm: InputNorm, isMerged: boolean): string {
  if (norm === "none") return "fn normalised(v: vec4<f32>, k: u32) -> vec4<f32> { return v; }\n";
  const activate = activationWgsl(norm === "affine-silu" ? "silu" : "none", "activate_input");
  const second = "norm[params.in_quads0 + params.in_quads1 + k]";
  const affine = isMerged
    ? `let moments = moments_of(k);
  let a = norm[k] * moments.yyww;
  let b = ${second} - moments.xxzz * a;`
    : `let a = norm[k];
  let b = ${second};`;
  return /* wgsl */ `${activate}
fn normalised(v: vec4<f32>, k: u32) -> vec4<f32> {
  ${affine}
  return activate_input(a * v + b);
}
`;
}
