/**
 * Folds the modulation of a LoRA, which depends on the image, into its factor B (RCOD_S; S3Diff's modulated layers):
 *
 *   h = A·x,  h' = h·M (row vector times matrix),  y = W·x + scaling·B·h'
 *   hence  W' = W + scaling · (B·Mᵀ) · A,  and here  result[o, k] = Σ_j B[o, j] · M[k, j]
 *
 * `packWeight` merges the result as any other factor B. Folding M into A would cost more: A of a convolution has as many
 * columns as inputs times taps.
 *
 * `lora_b` [outChannels, rank], row-major F32, F16 or BF16, as raw 32-bit words. `modulation` f32: matrix
 * `block` starts at block · paddedChannels(rank²), as a graph's output [blocks, rank²] has it, row-major.
 * `result` f32 [outChannels, rank], row-major. One invocation per element.
 */
import type { Caps } from "../../gpu/caps.ts";
import { ShapeError, isShape, paddedChannels } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import type { SourceDType } from "./pack-weight.ts";
import { sourceByteLength, sourceDecoder } from "./pack-weight.ts";

/** Operands: `lora_b`, `modulation`, `result`. */
export interface ModulateLoraProblem {
  /** Rows of B. */
  readonly outChannels: number;
  /** Columns of B. */
  readonly rank: number;
  /** How B is stored. */
  readonly bDType: SourceDType;
  /** Number of the modulation matrix, from 0. */
  readonly block: number;
}

const WORKGROUP = 64;

/** Bytes of `result`. */
export function modulatedFactorByteLength({
  outChannels,
  rank,
}: Pick<ModulateLoraProblem, "outChannels" | "rank">): number {
  return outChannels * rank * 4;
}

function check({ outChannels, rank, block }: ModulateLoraProblem): void {
  if (!isShape([outChannels, rank]) || !Number.isSafeInteger(block) || block < 0) {
    throw new ShapeError(
      `modulateLora: needs outChannels and rank ≥ 1 and block ≥ 0, ` +
        `got out ${outChannels}, rank ${rank}, block ${block}`,
    );
  }
}

function plan(p: ModulateLoraProblem, caps: Caps): KernelPlan {
  check(p);
  const total = p.outChannels * p.rank;
  const body = /* wgsl */ `${sourceDecoder("lora_b", p.bDType)}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${WORKGROUP}u + local;
  if (index >= params.total) { return; }
  let row = index / params.rank;
  let k = index % params.rank;
  let matrix_row = params.matrix_start + k * params.rank;
  var sum = 0.0;
  for (var j = 0u; j < params.rank; j++) {
    sum += lora_b_at(row * params.rank + j) * modulation[matrix_row + j];
  }
  result[index] = sum;
}
`;
  return {
    variant: "element",
    scratch: [],
    dispatches: [
      dispatch(
        `modulateLora ${p.bDType}`,
        {
          caps,
          dtype: "f32",
          operands: [reads("lora_b", "u32"), reads("modulation", "f32"), writes("result", "f32")],
          params: [
            u32("total", total),
            u32("rank", p.rank),
            u32("matrix_start", p.block * paddedChannels(p.rank * p.rank)),
          ],
        },
        body,
        foldWorkgroups(Math.ceil(total / WORKGROUP)),
      ),
    ],
  };
}

function cost(p: ModulateLoraProblem): Cost {
  return {
    flops: 2 * p.outChannels * p.rank * p.rank,
    bytesRead: sourceByteLength(p.outChannels * p.rank, p.bDType) + p.rank * p.rank * 4,
    bytesWritten: modulatedFactorByteLength(p),
  };
}

/** Folds an image's modulation matrix into the factor B of a LoRA. */
export const modulateLora: Kernel<ModulateLoraProblem, "element"> = {
  name: "modulateLora",
  variants: ["element"],
  check,
  select: () => "element",
  plan,
  cost,
};
