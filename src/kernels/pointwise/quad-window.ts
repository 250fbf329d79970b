/**
 * Shifting channels across quads without touching their bits: no arithmetic, so −0, subnormals and NaN
 * survive, in every representation of a quad (see `gpu/wgsl.ts`).
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";

/**
 * WGSL of `fn window_<shift>(lo: Quad, hi: Quad) -> Quad` for shift 1, 2 and 3: the four channels that
 * start at channel `shift` of the eight in (lo, hi). Needs the shader header of the same dtype and caps.
 */
export function quadWindowWgsl(dtype: DType, caps: Caps): string {
  if (dtype === "f16" && !caps.hasShaderF16) {
    // Packed halves: .x holds channels 0 and 1, .y channels 2 and 3, the lower channel in the lower half.
    return /* wgsl */ `
fn straddle(lo: u32, hi: u32) -> u32 { return (lo >> 16u) | (hi << 16u); }
fn window_1(lo: Quad, hi: Quad) -> Quad { return Quad(straddle(lo.x, lo.y), straddle(lo.y, hi.x)); }
fn window_2(lo: Quad, hi: Quad) -> Quad { return Quad(lo.y, hi.x); }
fn window_3(lo: Quad, hi: Quad) -> Quad { return Quad(straddle(lo.y, hi.x), straddle(hi.x, hi.y)); }
`;
  }
  return /* wgsl */ `
fn window_1(lo: Quad, hi: Quad) -> Quad { return Quad(lo.yzw, hi.x); }
fn window_2(lo: Quad, hi: Quad) -> Quad { return Quad(lo.zw, hi.xy); }
fn window_3(lo: Quad, hi: Quad) -> Quad { return Quad(lo.w, hi.xyz); }
`;
}
