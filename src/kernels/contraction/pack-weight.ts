/**
 * Turns a checkpoint tensor into the layout that conv2d and linear read, merging LoRA on the way:
 *
 *   W'[o,i,u,v] = W[o,i,u,v] + scaling · Σ_k B[o,k] · A[k,i,u,v]      (PEFT merge, f32, rounded once)
 *
 * Source: [outChannels, inChannels, kh, kw] (OIHW; linear: kh = kw = 1), row-major, F32, F16 or BF16, as
 * raw 32-bit words. Destination: quads over four output channels, blocks of 4 input × 4 output channels:
 *
 *   packed[((tap · KQ + kq) · NQ + nq) · 4 + kk] = W'[4nq .. 4nq+3, 4kq+kk, tap],  zero outside
 *
 * with KQ, NQ the quads of input and output channels. For every kq the quads nq are contiguous in memory; the register and
 * the tiled GEMM read them in this order. One invocation per destination quad.
 *
 * `upsample` makes the 16 taps of conv2d's `upsample` out of the 9 of a 3×3 kernel: tap 4·phase + 2·u + v,
 * phase = 2·py + px, is the sum over rows {0}, {1, 2} (py = 0) or {0, 1}, {2} (py = 1), columns alike. For f16 the
 * nine are rounded first, so that weights merged here and weights merged and saved in fp16 are the same bits.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, f32, reads, u32, writes } from "../kernel.ts";

/** Element type of a checkpoint tensor that the shader can decode. */
export type SourceDType = "F32" | "F16" | "BF16";

/** Operands: the source tensor, the packed weight, and the factors of a LoRA. */
export interface PackWeightProblem {
  /** Storage of the packed weight. */
  readonly dtype: DType;
  /** How the checkpoint stores the tensor. */
  readonly sourceDType: SourceDType;
  /** Rows of the weight. */
  readonly outChannels: number;
  /** Columns of the weight. */
  readonly inChannels: number;
  /** kh · kw. */
  readonly taps: number;
  /** Interleave quads of the first half of the rows (value) with the second half (gate). */
  readonly geglu: boolean;
  /** Fold the kernel (3 × 3) with a nearest-neighbour doubling of the map before it. */
  readonly upsample: boolean;
  /** Low-rank update from operands `lora_a` [rank, in, kh, kw] and `lora_b` [out, rank], or null. */
  readonly lora: {
    readonly rank: number;
    readonly scaling: number;
    readonly aDType: SourceDType;
    readonly bDType: SourceDType;
  } | null;
  /**
   * Place in a buffer of weights that are stacked along the output axis: the quads before it, and the columns of all of
   * them in quads. Null: a buffer of its own.
   */
  readonly place: { readonly firstQuad: number; readonly columnQuads: number } | null;
  /** Round to f16 even where the storage is f32: reproduces a merge that was saved in fp16. */
  readonly roundToHalf: boolean;
}

const WORKGROUP = 64;

/** Quads along the output axis, counting GEGLU's two halves separately. */
export function packedColumnQuads(outChannels: number, geglu: boolean): number {
  return geglu ? 2 * quadCount(outChannels / 2) : quadCount(outChannels);
}

/** Taps of the packed weight. */
function packedTaps({ taps, upsample }: Pick<PackWeightProblem, "taps" | "upsample">): number {
  return upsample ? 16 : taps;
}

/** Bytes of the packed weight. */
export function packedWeightByteLength(
  p: Pick<
    PackWeightProblem,
    "dtype" | "outChannels" | "inChannels" | "taps" | "geglu" | "upsample"
  >,
): number {
  const columns = packedColumnQuads(p.outChannels, p.geglu);
  return packedTaps(p) * quadCount(p.inChannels) * columns * 16 * dtypeByteLength(p.dtype);
}

function check(p: PackWeightProblem): void {
  if (!isShape([p.outChannels, p.inChannels, p.taps])) {
    throw new ShapeError(
      `packWeight: sizes must be integers ≥ 1, got out ${p.outChannels}, in ${p.inChannels}, taps ${p.taps}`,
    );
  }
  if (p.geglu && p.outChannels % 2 !== 0) {
    throw new ShapeError(`packWeight: GEGLU needs an even number of rows, got ${p.outChannels}`);
  }
  if (p.upsample && p.taps !== 9) {
    throw new ShapeError(`packWeight: upsampling needs a kernel of 9 taps, got ${p.taps}`);
  }
  const columns = packedColumnQuads(p.outChannels, p.geglu);
  if (p.place && !(p.place.firstQuad >= 0 && p.place.columnQuads >= columns)) {
    throw new ShapeError(
      `packWeight: a place needs firstQuad ≥ 0 and columnQuads ≥ ${columns}, got ${p.place.firstQuad} and ${p.place.columnQuads}`,
    );
  }
  if (p.lora !== null && !isShape([p.lora.rank])) {
    throw new ShapeError(`packWeight: LoRA rank must be an integer ≥ 1, got ${p.lora.rank}`);
  }
}

/** WGSL `fn <name>_at(i)`: element `i` of a raw operand as f32. */
export function sourceDecoder(name: string, source: SourceDType): string {
  switch (source) {
    case "F32":
      return `fn ${name}_at(i: u32) -> f32 { return bitcast<f32>(${name}[i]); }`;
    case "F16":
      return `fn ${name}_at(i: u32) -> f32 {
  let pair = unpack2x16float(${name}[i >> 1u]);
  return select(pair.x, pair.y, (i & 1u) == 1u);
}`;
    case "BF16":
      return `fn ${name}_at(i: u32) -> f32 {
  let word = ${name}[i >> 1u];
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (i & 1u) == 1u));
}`;
    default:
      return source satisfies never;
  }
}

/**
 * To the nearest half, ties to even, ±65504 beyond. By hand, because WGSL leaves the rounding direction of
 * `pack2x16float` open and its result indeterminate out of range (SwiftShader: NaN): weights are to have
 * the same bits on every device.
 */
const ROUND_TO_HALF_WGSL = /* wgsl */ `fn round_to_half(value: f32) -> f32 {
  let v = clamp(value, -65504.0, 65504.0);
  let bits = bitcast<u32>(v);
  let normal = bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
  let subnormal = round(v * 16777216.0) / 16777216.0; // below 2^-14 halves are multiples of 2^-24
  return select(normal, subnormal, abs(v) < 0.00006103515625);
}
`;

function plan(p: PackWeightProblem, caps: Caps): KernelPlan {
  check(p);
  const columns = packedColumnQuads(p.outChannels, p.geglu);
  const total = packedTaps(p) * quadCount(p.inChannels) * columns * 4;
  const rowOf = p.geglu
    ? `let half = params.out_channels / 2u;
  let lane_row = (nq / 2u) * 4u + lane;
  let row = lane_row + (nq & 1u) * half;
  let is_row = lane_row < half;`
    : `let row = nq * 4u + lane;
  let is_row = row < params.out_channels;`;
  const merge = p.lora
    ? `var delta = 0.0;
  for (var k = 0u; k < params.rank; k++) {
    delta += lora_b_at(row * params.rank + k) * lora_a_at((k * params.in_channels + i) * params.taps + tap);
  }
  w += params.scaling * delta;`
    : "";
  const rounded = (expression: string, rounds: boolean): string =>
    rounds ? `round_to_half(${expression})` : expression;
  // Storage of f16 sums taps that are halves, as PyTorch in fp16 does, whether the merge was saved or not.
  const roundsTaps = p.roundToHalf || (p.upsample && p.dtype === "f16");
  const tapSum = p.upsample
    ? `let py = tap >> 3u;
  let px = (tap >> 2u) & 1u;
  let u = (tap >> 1u) & 1u;
  let v = tap & 1u;
  var w = 0.0;
  for (var ky = u * (1u + py); ky <= u + max(u, py); ky++) {
    for (var kx = v * (1u + px); kx <= v + max(v, px); kx++) { w += merged_tap(row, i, 3u * ky + kx); }
  }`
    : "let w = merged_tap(row, i, tap);";
  const roundsToHalf = p.roundToHalf || p.dtype === "f16";
  const body = /* wgsl */ `${sourceDecoder("source", p.sourceDType)}
${p.lora ? `${sourceDecoder("lora_a", p.lora.aDType)}\n${sourceDecoder("lora_b", p.lora.bDType)}` : ""}
${roundsToHalf ? ROUND_TO_HALF_WGSL : ""}
fn merged_tap(row: u32, i: u32, tap: u32) -> f32 {
  var w = source_at((row * params.in_channels + i) * params.taps + tap);
  ${merge}${caps.countsFaults ? "\n  note_faults(vec4<f32>(w, 0.0, 0.0, 0.0)); // before it is rounded, which clamps it" : ""}
  return ${rounded("w", roundsTaps)};
}
fn merged(nq: u32, lane: u32, i: u32, tap: u32) -> f32 {
  ${rowOf}
  if (!is_row || i >= params.in_channels) { return 0.0; }
  ${tapSum}
  return ${rounded("w", p.dtype === "f16")};
}

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${WORKGROUP}u + local;
  if (index >= params.total) { return; }
  let kk = index & 3u;
  let block = index >> 2u;
  let nq = block % params.column_quads;
  let row_block = block / params.column_quads;
  let kq = row_block % params.in_quads;
  let tap = row_block / params.in_quads;
  let i = kq * 4u + kk;
  let at = params.first_quad + (row_block * params.stride_quads + nq) * 4u + kk;
  packed[at] = pack(vec4<f32>(merged(nq, 0u, i, tap), merged(nq, 1u, i, tap), merged(nq, 2u, i, tap), merged(nq, 3u, i, tap)));
}
`;
  return {
    variant: "quad",
    scratch: [],
    dispatches: [
      dispatch(
        `packWeight ${p.sourceDType}${p.lora ? " + LoRA" : ""}${p.upsample ? " up" : ""}`,
        {
          caps,
          dtype: p.dtype,
          operands: [
            reads("source", "u32"),
            ...(p.lora ? [reads("lora_a", "u32"), reads("lora_b", "u32")] : []),
            writes("packed"),
          ],
          params: [
            u32("total", total),
            u32("out_channels", p.outChannels),
            u32("in_channels", p.inChannels),
            u32("taps", p.taps),
            u32("in_quads", quadCount(p.inChannels)),
            u32("column_quads", columns),
            u32("first_quad", p.place?.firstQuad ?? 0),
            u32("stride_quads", p.place?.columnQuads ?? columns),
            u32("rank", p.lora?.rank ?? 0),
            f32("scaling", p.lora?.scaling ?? 0),
          ],
        },
        body,
        foldWorkgroups(Math.ceil(total / WORKGROUP)),
      ),
    ],
  };
}

/** Bytes of `elements` checkpoint values. */
export function sourceByteLength(elements: number, dtype: SourceDType): number {
  return elements * (dtype === "F32" ? 4 : 2);
}

function cost(p: PackWeightProblem): Cost {
  const { outChannels, inChannels, taps, lora } = p;
  const count = outChannels * inChannels * taps;
  const loraBytes = lora
    ? sourceByteLength(lora.rank * inChannels * taps, lora.aDType) +
      sourceByteLength(outChannels * lora.rank, lora.bDType)
    : 0;
  return {
    flops: lora ? 2 * count * lora.rank : 0,
    bytesRead: sourceByteLength(count, p.sourceDType) + loraBytes,
    bytesWritten: packedWeightByteLength(p),
  };
}

/** A checkpoint tensor in the layout that `conv2d` and `linear` read, with a LoRA merged. */
export const packWeight: Kernel<PackWeightProblem, "quad"> = {
  name: "packWeight",
  variants: ["quad"],
  check,
  select: () => "quad",
  plan,
  cost,
};
