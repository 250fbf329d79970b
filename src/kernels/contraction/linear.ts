/**
 * Matrix product with a packed weight:  y[row, n] = epilogue(Σ_k x[row, k] · W[n, k])
 *
 * x: [rows, inChannels], or two sources whose channels are concatenated (a 1×1 convolution of a UNet skip
 * connection, without the copy). W: `packWeight` layout. y: [rows, outChannels] (GEGLU: half of them).
 * f32 accumulators over the whole K.
 *
 * Variants. `naive`: one output quad per invocation, the readable form. `register-RxQ`: R rows × Q quads
 * per invocation in registers, no workgroup memory: fastest on software adapters, where every load is a
 * gather. `tiled`: 64×64 outputs per workgroup of 128, operands staged in 8 KiB of workgroup memory: for
 * GPUs. `matrix`: the same tiles by matrix units, f16 storage only. `tiled-split`, `matrix-split`: with K in slices,
 * where the tiles are too few. See `gemm-register.ts`, `gemm-tiled.ts`, `gemm-matrix.ts`, `gemm-split.ts`.
 *
 * Norms of x while it is loaded: `input-norm.ts`, `layer-norm-on-load.ts`.
 */
import type { Caps } from "../../gpu/caps.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, quadCount } from "../../gpu/shape.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, sizeClass, u32 } from "../kernel.ts";
import { sourcesWgsl } from "./concatenated-sources.ts";
import { MAX_BINDINGS, epilogueParams, epilogueWgsl } from "./epilogue.ts";
import { isMatrixVariant, matrixTileRefusal, gemmBody } from "./gemm-matrix.ts";
import { REGISTER_WORKGROUP, linearRegisterWgsl } from "./gemm-register.ts";
import type { SplitShape } from "./gemm-split.ts";
import { splitPlan, splitRefusal } from "./gemm-split.ts";
import type { GemmBody } from "./gemm-tiled.ts";
import { TILE_COLUMNS, TILE_ROWS, tileSteps, tiledGemmWgsl } from "./gemm-tiled.ts";
import { inputNormWgsl } from "./input-norm.ts";
import { LAYER_NORM_ROWS, layerNormParams } from "./layer-norm-on-load.ts";
import type { LinearProblem } from "./linear-problem.ts";
import {
  checkLinear,
  linearInterface,
  linearOutChannels,
  linearTiledRows,
} from "./linear-problem.ts";
import { MERGED_NORM, mergedNormParams } from "./merged-norm.ts";
import { packedColumnQuads, packedWeightByteLength } from "./pack-weight.ts";
import {
  NO_BINDING_FOR_STATISTICS,
  ownsWholeTiles,
  mergedNormVariantRefusal,
  rowParts,
  rowStatisticsByteLength,
  statisticsRefusal,
  tileStatisticsByteLength,
} from "./tile-statistics.ts";

export type { LinearProblem } from "./linear-problem.ts";
export { linearOutChannels, linearTiledRows } from "./linear-problem.ts";

export type LinearVariant =
  | "naive"
  | "register-1x2"
  | "register-8x2"
  | "tiled"
  | "tiled-split"
  | "matrix"
  | "matrix-split";

function select(p: LinearProblem, caps: Caps): LinearVariant {
  if (p.rows < 4) return "register-1x2";
  if (caps.isSoftware) {
    return "register-8x2";
  }
  return matrixTileRefusal(p.dtype, caps) === null ? "matrix" : "tiled";
}

function refusal(p: LinearProblem, caps: Caps, variant: LinearVariant): string | null {
  const { statistics } = p.epilogue;
  const missing = isMatrixVariant(variant) ? matrixTileRefusal(p.dtype, caps) : null;
  if (missing !== null) return missing;
  const unmerged = mergedNormVariantRefusal(variant, p.mergedNorm, linearInterface(p).operands);
  if (unmerged !== null) return unmerged;
  if (statistics === "channels") {
    const reason = statisticsRefusal(variant, linearTiledRows(p));
    if (reason !== null) return reason;
  }
  if (statistics === "rows" && (!ownsWholeTiles(variant) || rowParts(p.outChannels) === null)) {
    return (
      `takes statistics of rows as "tiled" of a multiple of ${TILE_COLUMNS} columns, ` +
      `got "${variant}" of ${p.outChannels}. Use layerNorm`
    );
  }
  if (statistics !== "none" && linearInterface(p).operands.length > MAX_BINDINGS) {
    return NO_BINDING_FOR_STATISTICS;
  }
  if (p.layerNorm && !ownsWholeTiles(variant)) {
    return `${variant} does not normalise rows. Apply layerNorm`;
  }
  if (variant === "tiled-split" || variant === "matrix-split") {
    return splitRefusal(variant, splitShape(p, gemmBody(variant, caps, false)));
  }
  return null;
}

function splitShape(
  { rows, inChannels, outChannels, epilogue }: LinearProblem,
  body: GemmBody,
): SplitShape {
  const columnQuads = packedColumnQuads(outChannels, epilogue.geglu);
  // Both sources are one K axis, each padded to quads.
  const quads = inChannels.reduce((sum, channels) => sum + quadCount(channels), 0);
  return {
    rows,
    columnQuads,
    phases: 1,
    steps: tileSteps(4 * quads, body),
    stepChannels: 4 * body.kQuads,
  };
}

/** Params that all variants share. */
function paramsOf(p: LinearProblem): Param[] {
  const [first = 1, second = 0] = p.inChannels;
  return [
    u32("rows", p.rows),
    u32("in_quads0", quadCount(first)),
    u32("in_quads1", quadCount(second)),
    u32("column_quads", packedColumnQuads(p.outChannels, p.epilogue.geglu)),
    u32("out_quads", quadCount(linearOutChannels(p))),
    u32("rows_per_image", p.rowsPerImage),
    ...epilogueParams(p.epilogue, p.outChannels),
    ...layerNormParams(p.layerNorm, p.inChannels),
    ...mergedNormParams(p.mergedNorm, p.inChannels),
  ];
}

/** WGSL `load_a(row, k)`: quad `k` of the concatenated sources, normalised. */
function loadWgsl({ inChannels, inputNorm, mergedNorm }: LinearProblem): string {
  const isMerging = mergedNorm !== null;
  return `${isMerging ? MERGED_NORM : ""}${inputNormWgsl(inputNorm, isMerging)}${sourcesWgsl("load_stored", "x", "in_quads", inChannels.length)}
fn load_a(row: u32, k: u32) -> vec4<f32> { return normalised(load_stored(row, k), k); }
`;
}

function plan(p: LinearProblem, caps: Caps, variant: LinearVariant = select(p, caps)): KernelPlan {
  checkLinear(p);
  const reason = refusal(p, caps, variant);
  if (reason !== null) throw new ShapeError(`linear: ${reason}`);
  const { operands, shape } = linearInterface(p);
  const { geglu } = p.epilogue;
  const columns = packedColumnQuads(p.outChannels, geglu);
  const finish = epilogueWgsl(p.epilogue, shape);
  const load = loadWgsl(p);
  const label = `linear/${variant}${geglu ? " geglu" : ""}${p.inputNorm === "none" ? "" : p.mergedNorm ? " merged norm" : " norm"}${p.layerNorm ? " layer norm" : ""}${p.epilogue.statistics === "none" ? "" : " stats"}`;
  const header = { caps, dtype: p.dtype, operands, params: paramsOf(p) };
  switch (variant) {
    case "naive": {
      const quads = p.rows * quadCount(linearOutChannels(p));
      return single(
        variant,
        dispatch(label, header, load + finish + naiveWgsl(geglu), grid(quads)),
      );
    }
    case "register-1x2":
    case "register-8x2": {
      const [rows, quads] = variant === "register-1x2" ? [1, 2] : [8, 2];
      const invocations = Math.ceil(p.rows / rows) * Math.ceil(columns / quads);
      return single(
        variant,
        dispatch(
          label,
          header,
          load + finish + linearRegisterWgsl(rows, quads, geglu),
          grid(invocations),
        ),
      );
    }
    case "tiled":
    case "tiled-split":
    case "matrix":
    case "matrix-split": {
      const body = gemmBody(variant, caps, p.inputNorm !== "none" || p.layerNorm !== null);
      const { directives } = body;
      const { statistics } = p.epilogue;
      const extras = { geglu, statistics, isMerging: p.mergedNorm !== null, split: false };
      const groups = Math.ceil(p.rows / TILE_ROWS) * Math.ceil((columns * 4) / TILE_COLUMNS);
      const prepare = `fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn tap_quads(tap: u32) -> u32 { return k_quads(); }
fn output_row(row: u32, phase: u32) -> u32 { return row; }
${p.layerNorm ? LAYER_NORM_ROWS : PLAIN_ROWS}`;
      if (variant === "tiled-split" || variant === "matrix-split") {
        return splitPlan(variant, {
          ...splitShape(p, body),
          ...header,
          directives,
          label,
          products:
            load + prepare + tiledGemmWgsl(body, "1u", { ...extras, geglu: false, split: true }),
          epilogue: finish,
          geglu,
        });
      }
      return single(
        variant,
        dispatch(
          label,
          { ...header, directives },
          load + finish + prepare + tiledGemmWgsl(body, "1u", extras),
          foldWorkgroups(groups),
        ),
      );
    }
    default:
      return variant satisfies never;
  }
}

const PLAIN_ROWS = /* wgsl */ `
struct Row { index: u32 }
fn locate(row: u32, phase: u32) -> Row { return Row(row); }
fn load_tap(row: Row, tap: u32, k: u32) -> vec4<f32> { return load_a(row.index, k); }
`;

function single(variant: string, only: KernelPlan["dispatches"][number]): KernelPlan {
  return { variant, scratch: [], dispatches: [only] };
}

function grid(invocations: number): readonly [number, number, number] {
  return foldWorkgroups(Math.ceil(invocations / REGISTER_WORKGROUP));
}

function naiveWgsl(geglu: boolean): string {
  return /* wgsl */ `
fn dot_column(row: u32, nq: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  let k_quads = params.in_quads0 + params.in_quads1;
  for (var k = 0u; k < k_quads; k++) {
    let a = load_a(row, k);
    let w = (k * params.column_quads + nq) * 4u;
    sum += a.x * unpack(weight[w]) + a.y * unpack(weight[w + 1u]) + a.z * unpack(weight[w + 2u]) + a.w * unpack(weight[w + 3u]);
  }
  return sum;
}
@compute @workgroup_size(${REGISTER_WORKGROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * ${REGISTER_WORKGROUP}u + local;
  if (index >= params.rows * params.out_quads) { return; }
  let row = index / params.out_quads;
  let nq = index % params.out_quads;
  ${geglu ? "finish_pair(dot_column(row, 2u * nq), dot_column(row, 2u * nq + 1u), row, nq);" : "finish(dot_column(row, nq), row, nq);"}
}
`;
}

function cost(p: LinearProblem): Cost {
  const k = p.inChannels.reduce((sum, channels) => sum + channels, 0);
  const element = dtypeByteLength(p.dtype);
  const outBytes = p.rows * linearOutChannels(p) * element;
  const statisticsBytes = {
    none: 0,
    channels: tileStatisticsByteLength(
      linearTiledRows(p),
      p.outChannels,
      p.epilogue.channelsPerEntry,
    ),
    rows: rowStatisticsByteLength(p.rows, p.outChannels),
  }[p.epilogue.statistics];
  const rowBytes = p.layerNorm ? rowStatisticsByteLength(p.rows, k) : 0;
  return {
    flops: 2 * p.rows * k * p.outChannels,
    bytesRead:
      p.rows * k * element +
      packedWeightByteLength({
        dtype: p.dtype,
        inChannels: k,
        outChannels: p.outChannels,
        taps: 1,
        geglu: p.epilogue.geglu,
        upsample: false,
      }) +
      rowBytes +
      (p.epilogue.residual ? outBytes : 0),
    bytesWritten: outBytes + statisticsBytes,
  };
}

function classOf({ rows, inChannels, outChannels, epilogue }: LinearProblem): string {
  const columns = `${inChannels.join("+")}→${outChannels}`;
  return `${columns}${epilogue.geglu ? " geglu" : ""} @${sizeClass(rows)}`;
}

/** Matrix product with a packed weight and an epilogue. */
export const linear: Kernel<LinearProblem, LinearVariant> = {
  name: "linear",
  variants: [
    "naive",
    "register-1x2",
    "register-8x2",
    "tiled",
    "tiled-split",
    "matrix",
    "matrix-split",
  ],
  check: checkLinear,
  select,
  plan,
  cost,
  refusal,
  classOf,
  tuningProblem: (p) => ({
    ...p,
    layerNorm: null,
    mergedNorm: null,
    epilogue: { ...p.epilogue, statistics: "none" },
  }),
};
