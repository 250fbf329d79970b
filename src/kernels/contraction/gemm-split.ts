/**
 * Split-K: `tiled-split` and `matrix-split`, for few output tiles with a long sum (an 8×8 map of 1280 channels has 20 tiles of 64×64
 * and K = 11,520: a GPU of 132 cores is idle to 85 %).
 *
 * Two dispatches. The tiled GEMM runs once for each slice of the K axis and stores f32 partial sums [slice, row,
 * column]; the second adds the slices of an output in their order and finishes it. The number of slices follows
 * from the problem alone and nothing is added atomically, so results are the same bits in every run.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Operand, Param } from "../../gpu/wgsl.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import { TILE_COLUMNS, TILE_ROWS } from "./gemm-tiled.ts";

/** Workgroups that occupy a large GPU: two for each core. */
const TARGET_GROUPS = 256;
/** Steps that a slice must have: its sums are stored and read once more. */
const LEAST_STEPS = 8;
const MOST_SLICES = 16;
const WORKGROUP = 64;

export interface SplitShape {
  /** Rows and column quads of one phase, phases, and steps of the K loop over all taps, each of so many channels. */
  readonly rows: number;
  readonly columnQuads: number;
  readonly phases: number;
  readonly steps: number;
  readonly stepChannels: number;
}

/** How many slices; below 2 the problem has tiles enough, or too short a sum. */
function sliceCount({ rows, columnQuads, phases, steps }: SplitShape): number {
  const tiles = Math.ceil(rows / TILE_ROWS) * Math.ceil((4 * columnQuads) / TILE_COLUMNS) * phases;
  const wanted = Math.min(
    Math.ceil(TARGET_GROUPS / tiles),
    Math.floor(steps / LEAST_STEPS),
    MOST_SLICES,
  );
  if (wanted < 2) return wanted;
  return Math.ceil(steps / Math.ceil(steps / wanted)); // none is empty
}

/** Whether the products read an operand; the others belong to the epilogue. */
const isProductOperand = ({ name }: Operand): boolean =>
  /^(x\d|weight|shortcut\d|norm)$/.test(name);

export function splitRefusal(variant: string, shape: SplitShape): string | null {
  if (sliceCount(shape) >= 2) return null;
  const { rows, columnQuads, phases, steps, stepChannels } = shape;
  return (
    `${variant} is for few tiles with a long sum, got ${rows} × ${4 * columnQuads} × ${phases} ` +
    `outputs with sums of ${stepChannels * steps}`
  );
}

export interface SplitParts extends SplitShape {
  readonly label: string;
  readonly caps: Caps;
  readonly dtype: DType;
  readonly params: readonly Param[];
  /** Those of products and epilogue, `y` last. */
  readonly operands: readonly Operand[];
  /** WGSL of `tiledGemmWgsl(…, split)` with what it needs but the epilogue; WGSL of the epilogue. */
  readonly products: string;
  readonly epilogue: string;
  readonly geglu: boolean;
  /** Lines in front of the products' shader. */
  readonly directives: readonly string[];
}

/** Both dispatches and the partial sums between them. */
export function splitPlan(variant: string, parts: SplitParts): KernelPlan {
  const { label, caps, dtype, rows, columnQuads, phases, steps } = parts;
  const slices = sliceCount(parts);
  const sources = parts.operands.filter(isProductOperand);
  const finishing = parts.operands.filter((operand) => !isProductOperand(operand));
  const params = [
    ...parts.params,
    u32("slices", slices),
    u32("slice_steps", Math.ceil(steps / slices)),
    u32("total_rows", rows * phases),
  ];
  const tiles = Math.ceil(rows / TILE_ROWS) * Math.ceil((4 * columnQuads) / TILE_COLUMNS);
  const [x, y] = foldWorkgroups(tiles);
  const outputs = rows * phases * (parts.geglu ? columnQuads / 2 : columnQuads);
  return {
    variant,
    scratch: [{ name: "partial", byteLength: slices * rows * phases * columnQuads * 16 }],
    dispatches: [
      dispatch(
        label,
        {
          caps,
          dtype,
          operands: [...sources, writes("partial", "vec4<f32>")],
          params,
          directives: parts.directives,
        },
        STORE_WGSL + parts.products,
        [x, y, phases * slices],
      ),
      dispatch(
        `${label} sum`,
        { caps, dtype, operands: [reads("partial", "vec4<f32>"), ...finishing], params },
        parts.epilogue + sumWgsl(parts.geglu),
        foldWorkgroups(Math.ceil(outputs / WORKGROUP)),
      ),
    ],
  };
}

/** In place of the epilogue. */
const STORE_WGSL = /* wgsl */ `
var<private> slice: u32;
fn finish(sum: vec4<f32>, row: u32, nq: u32) {
  partial[(slice * params.total_rows + row) * params.column_quads + nq] = sum;
}
`;

function sumWgsl(geglu: boolean): string {
  return /* wgsl */ `
fn sum_slices(row: u32, nq: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var s = 0u; s < params.slices; s++) {
    sum += partial[(s * params.total_rows + row) * params.column_quads + nq];
  }
  return sum;
}
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${WORKGROUP}u + local;
  let columns = params.column_quads${geglu ? " / 2u" : ""};
  let row = index / columns;
  if (row >= params.total_rows) { return; }
  let nq = index - row * columns;
  ${
    geglu
      ? "finish_pair(sum_slices(row, 2u * nq), sum_slices(row, 2u * nq + 1u), row, nq);"
      : "finish(sum_slices(row, nq), row, nq);"
  }
}
`;
}
