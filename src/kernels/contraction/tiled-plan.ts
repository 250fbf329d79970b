/**
 * Plans of the variants on tiles. `tiled` and `matrix` are one dispatch; `tiled-split` and `matrix-split` are two.
 *
 * Split-K is for few tiles with a long sum: an 8×8 map of 1280 channels has 20 tiles of 64×64 and K = 11,520, and 85 % of
 * a GPU of 132 cores would be idle. The first dispatch runs the tiled GEMM once for each slice of the K axis and stores f32
 * sums [slice, row, column] in `partial`. The second adds the slices of an output in their order and finishes it. The number
 * of slices follows from the problem alone and nothing is added atomically, so that every run gives the same bits.
 */
import type { Operand, ShaderHeader } from "../../gpu/wgsl.ts";
import { constantsWgsl, foldWorkgroups } from "../../gpu/wgsl.ts";
import type { KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import type { GemmBody, TileExtras } from "./gemm-tiled.ts";
import { TILE_COLUMNS, TILE_ROWS, tiledGemmWgsl } from "./gemm-tiled.ts";

/** Workgroups that occupy a large GPU: two for each core. */
const TARGET_GROUPS = 256;
/** K steps that a slice must have, because its sums are stored and read once more. */
const LEAST_STEPS = 8;
const MOST_SLICES = 16;
const SUM_WORKGROUP = 64;

/** A contraction as a matrix product on tiles. */
export interface TiledGemm {
  /** Rows of a phase. */
  readonly rows: number;
  readonly columnQuads: number;
  readonly phases: number;
  /** K steps over all taps. */
  readonly steps: number;
}

/** The fragments of a tiled shader, and what they declare. */
export interface TiledShader extends TileExtras {
  readonly label: string;
  /** Its operands are those of all fragments. */
  readonly header: ShaderHeader;
  /** What comes before the epilogue, the epilogue, and what comes between it and main. */
  readonly loads: string;
  readonly epilogue: string;
  readonly gather: string;
  /** The taps of a row, an expression of type u32. */
  readonly taps: string;
}

const isSplit = (variant: string): boolean => variant.endsWith("-split");

const tileCount = ({ rows, columnQuads }: TiledGemm): number =>
  Math.ceil(rows / TILE_ROWS) * Math.ceil((4 * columnQuads) / TILE_COLUMNS);

/** How many slices; below 2 the problem has tiles enough, or too short a sum. */
function sliceCount(gemm: TiledGemm): number {
  const { phases, steps } = gemm;
  const target = Math.min(
    Math.ceil(TARGET_GROUPS / (tileCount(gemm) * phases)),
    Math.floor(steps / LEAST_STEPS),
    MOST_SLICES,
  );
  if (target < 2) return target;
  return Math.ceil(steps / Math.ceil(steps / target)); // none is empty
}

/** Why a variant does not split this product; null where it can, or splits none. */
export function splitRefusal(variant: string, gemm: TiledGemm, body: GemmBody): string | null {
  if (!isSplit(variant) || sliceCount(gemm) >= 2) return null;
  const { rows, columnQuads, phases, steps } = gemm;
  return (
    `${variant} is for few tiles with a long sum, got ${rows} × ${4 * columnQuads} × ${phases} ` +
    `outputs with sums of ${4 * body.kQuads * steps}`
  );
}

/** The plan of `tiled`, `matrix`, `tiled-split` or `matrix-split`. */
export function tiledPlan(
  variant: string,
  gemm: TiledGemm,
  body: GemmBody,
  shader: TiledShader,
): KernelPlan {
  if (isSplit(variant)) return splitPlan(variant, gemm, body, shader);
  const { label, header, loads, epilogue, gather, taps } = shader;
  const code = loads + epilogue + gather + tiledGemmWgsl(body, taps, shader);
  const [x, y] = foldWorkgroups(tileCount(gemm));
  const { directives } = body;
  return {
    variant,
    scratch: [],
    dispatches: [dispatch(label, { ...header, directives }, code, [x, y, gemm.phases])],
  };
}

/** Whether the products read an operand; the others belong to the epilogue. */
const isProductOperand = ({ name }: Operand): boolean =>
  /^(x\d|weight|shortcut\d|norm)$/.test(name);

function splitPlan(
  variant: string,
  gemm: TiledGemm,
  body: GemmBody,
  { label, header, loads, epilogue, gather, taps, geglu }: TiledShader,
): KernelPlan {
  const { rows, columnQuads, phases, steps } = gemm;
  const slices = sliceCount(gemm);
  const params = [
    ...header.params,
    u32("slices", slices),
    u32("slice_steps", Math.ceil(steps / slices)),
    u32("total_rows", rows * phases),
  ];
  const products = {
    ...header,
    params,
    directives: body.directives,
    operands: [...header.operands.filter(isProductOperand), writes("partial", "vec4<f32>")],
  };
  const finishing = header.operands.filter((operand) => !isProductOperand(operand));
  const sum = { ...header, params, operands: [reads("partial", "vec4<f32>"), ...finishing] };
  const code = STORE_SLICE + loads + gather + tiledGemmWgsl(body, taps, "split");
  const [x, y] = foldWorkgroups(tileCount(gemm));
  const outputs = rows * phases * (geglu ? columnQuads / 2 : columnQuads);
  const sumGrid = foldWorkgroups(Math.ceil(outputs / SUM_WORKGROUP));
  return {
    variant,
    scratch: [{ name: "partial", byteLength: slices * rows * phases * columnQuads * 16 }],
    dispatches: [
      dispatch(label, products, code, [x, y, phases * slices]),
      dispatch(`${label} sum`, sum, epilogue + sumSlicesWgsl(geglu), sumGrid),
    ],
  };
}

/** In place of the epilogue. */
const STORE_SLICE = /* wgsl */ `
var<private> slice: u32;
fn finish(sum: vec4<f32>, row: u32, nq: u32) {
  partial[(slice * params.total_rows + row) * params.column_quads + nq] = sum;
}
`;

/** Main of the second dispatch. Needs the epilogue. */
function sumSlicesWgsl(geglu: boolean): string {
  const finish = geglu
    ? "finish_pair(sum_slices(row, 2u * nq), sum_slices(row, 2u * nq + 1u), row, nq);"
    : "finish(sum_slices(row, nq), row, nq);";
  return /* wgsl */ `
${constantsWgsl({ INVOCATIONS: SUM_WORKGROUP })}

fn sum_slices(row: u32, nq: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  for (var s = 0u; s < params.slices; s++) {
    sum += partial[(s * params.total_rows + row) * params.column_quads + nq];
  }
  return sum;
}
@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * INVOCATIONS + local;
  let columns = ${geglu ? "params.column_quads / 2u" : "params.column_quads"};
  let row = index / columns;
  if (row >= params.total_rows) { return; }
  let nq = index - row * columns;
  ${finish}
}
`;
}
