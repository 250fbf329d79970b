/**
 * Matrix product with a packed weight:  y[row, n] = epilogue(Σ_k x[row, k] · W[n, k])
 *
 * x: [rows, inChannels], or two sources whose channels are concatenated (a 1×1 convolution of a UNet skip connection,
 * without the copy). W: `packWeight` layout. y: [rows, outChannels] (GEGLU: half of them). f32 accumulators over the whole K.
 *
 * Variants:
 *
 * - `naive`: one output quad per invocation, the readable form.
 * - `register-RxQ`: R rows × Q quads per invocation in registers (`gemm-register.ts`). Fastest on software adapters, where
 *   every load is a gather.
 * - `tiled`: 64×64 outputs per workgroup of 128, operands staged in 8 KiB of workgroup memory, for GPUs (`gemm-tiled.ts`).
 * - `matrix`: the same tiles by matrix units, f16 storage only (`gemm-matrix.ts`).
 * - `tiled-split`, `matrix-split`: for few tiles, with K in slices (`tiled-plan.ts`).
 *
 * A shader has up to four fragments, in this order: loads (`loads.ts`, GroupNorm of x included), the epilogue
 * (`epilogue.ts`), for tiles `gatherWgsl` (LayerNorm of x: `layer-norm-on-load.ts`), and main.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { constantsWgsl, foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, sizeClass, u32 } from "../kernel.ts";
import type { WeightShape } from "../quantized/integer-loads.ts";
import {
  integerByteLength,
  integerLoadsWgsl,
  integerParams,
  scaleOf,
  storageLabel,
  weightQuad,
} from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import type { Epilogue } from "./epilogue.ts";
import { checkEpilogue, epilogueParams, epilogueWgsl, contractionOperands } from "./epilogue.ts";
import { gemmBody, matrixRefusal } from "./gemm-matrix.ts";
import {
  LEAST_FLOPS_OF_OWN_BLOCK,
  REGISTER_WORKGROUP,
  registerGemmWgsl,
  canShare,
  registerDirectives,
  registerGroups,
  suitsWideBlock,
} from "./gemm-register.ts";
import type { GemmBody } from "./gemm-tiled.ts";
import { tileSteps } from "./gemm-tiled.ts";
import type { LayerNormOnLoad } from "./layer-norm-on-load.ts";
import {
  LAYER_NORM_ROWS,
  checkLayerNormOnLoad,
  layerNormOperands,
  layerNormParams,
} from "./layer-norm-on-load.ts";
import type { InputNorm } from "./loads.ts";
import { checkLoads, loadsWgsl, normLabel } from "./loads.ts";
import type { MergedNorm } from "./merged-norm.ts";
import { mergedNormParams } from "./merged-norm.ts";
import { packedColumnQuads, packedWeightByteLength } from "./pack-weight.ts";
import {
  epilogueStatisticsByteLength,
  ownsWholeTiles,
  rowStatisticsByteLength,
  statisticsRefusal,
} from "./tile-statistics.ts";
import type { TiledRows } from "./tile-statistics.ts";
import type { TiledGemm } from "./tiled-plan.ts";
import { splitRefusal, tiledPlan } from "./tiled-plan.ts";

/** Operands `x0` (and `x1`), `weight`, `bias`, `y`, and those of epilogue and norm. */
export interface LinearProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Pixels or tokens. */
  readonly rows: number;
  /** One entry a source; with two, the first must be a multiple of 4. */
  readonly inChannels: readonly number[];
  /** Rows of the weight; with GEGLU twice the stored columns. */
  readonly outChannels: number;
  /** Rows that share one `channel_add` row (pixels of an image). */
  readonly rowsPerImage: number;
  /** What is done to x while it is loaded. */
  readonly inputNorm: InputNorm;
  /** Where that is a GroupNorm whose statistics are merged on load, in variants `tiled` and `matrix`. */
  readonly mergedNorm: MergedNorm | null;
  /** LayerNorm of x while it is loaded, variants `tiled` and `matrix` only; excludes `inputNorm`. */
  readonly layerNorm: LayerNormOnLoad | null;
  /** How the weight is stored. */
  readonly weightStorage: WeightStorage;
  /** What happens to each sum before it is stored. */
  readonly epilogue: Epilogue;
}

/** Stored columns. */
export function linearOutChannels(p: Pick<LinearProblem, "outChannels" | "epilogue">): number {
  return p.epilogue.geglu ? p.outChannels / 2 : p.outChannels;
}

/** Throws `ShapeError` for what cannot be computed. */
function check(p: LinearProblem): void {
  if (!isShape([p.rows, p.outChannels, p.rowsPerImage, ...p.inChannels])) {
    throw new ShapeError(
      `linear: sizes must be integers ≥ 1, got rows ${p.rows}, in [${p.inChannels.join(" + ")}], ` +
        `out ${p.outChannels}, rowsPerImage ${p.rowsPerImage}`,
    );
  }
  checkLoads("linear", p, Math.ceil(p.rows / p.rowsPerImage));
  if (p.layerNorm) {
    checkLayerNormOnLoad(p.layerNorm, p.inChannels);
    if (p.inputNorm !== "none") throw new ShapeError("linear: layerNorm excludes inputNorm");
  }
  checkEpilogue("linear", p.epilogue, p.outChannels, interfaceOf(p).operands);
  if (p.epilogue.geglu) {
    const { channelAdd, residual, activation, statistics } = p.epilogue;
    if (channelAdd || residual || activation !== "none" || statistics !== "none") {
      throw new ShapeError(
        "linear: GEGLU excludes channelAdd, residual, activation and statistics",
      );
    }
    if (p.outChannels % 2 !== 0) {
      throw new ShapeError(`linear: GEGLU needs an even number of columns, got ${p.outChannels}`);
    }
  }
}

/** The rows of the output as the tiles cut them. */
export function linearTiledRows({ rows, rowsPerImage }: LinearProblem): TiledRows {
  return { rows, images: Math.ceil(rows / rowsPerImage), phases: 1, width: null };
}

const interfaceOf = (p: LinearProblem): ReturnType<typeof contractionOperands> =>
  contractionOperands(p, 0, layerNormOperands(p.layerNorm));

/** Rows as `tiledGemmWgsl` needs them, of one tap and one phase. Needs `load_x` or, to normalise rows, `load_stored`. */
const gatherWgsl = (
  normalisesRows: boolean,
): string => /* wgsl */ `fn k_quads() -> u32 { return params.in_quads0 + params.in_quads1; }
fn tap_quads(tap: u32) -> u32 { return k_quads(); }
fn output_row(row: u32, phase: u32) -> u32 { return row; }
${normalisesRows ? LAYER_NORM_ROWS : PLAIN_ROWS}`;

const PLAIN_ROWS = /* wgsl */ `
struct Row { index: u32 }
fn locate(row: u32, phase: u32) -> Row { return Row(row); }
alias Source = Row;
fn at_tap(row: Row, tap: u32) -> Source { return row; }
fn load_tap(source: Source, tap: u32, k: u32) -> vec4<f32> { return load_x(source.index, k); }
`;

/** Main of `naive`. Needs `load_x` and the epilogue. */
function naiveWgsl(geglu: boolean, storage: WeightStorage): string {
  const quad = (channel: string): string => weightQuad(storage, `w${channel}`);
  return /* wgsl */ `
${constantsWgsl({ INVOCATIONS: REGISTER_WORKGROUP })}

fn dot_column(row: u32, nq: u32) -> vec4<f32> {
  var sum = vec4<f32>(0.0);
  let k_quads = params.in_quads0 + params.in_quads1;
  for (var k = 0u; k < k_quads; k++) {
    let a = load_x(row, k);
    ${scaleOf(storage, "0u", "k", "nq")}let w = (k * params.column_quads + nq) * 4u;
    sum += a.x * ${quad("")} + a.y * ${quad(" + 1u")} + a.z * ${quad(" + 2u")} + a.w * ${quad(" + 3u")};
  }
  return sum;
}
@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let index = flat_group(group, counts) * INVOCATIONS + local;
  if (index >= params.rows * params.out_quads) { return; }
  let row = index / params.out_quads;
  let nq = index % params.out_quads;
  ${geglu ? "finish_pair(dot_column(row, 2u * nq), dot_column(row, 2u * nq + 1u), row, nq);" : "finish(dot_column(row, nq), row, nq);"}
}
`;
}

const VARIANTS = [
  "naive",
  "register-1x2",
  "register-8x2",
  "register-8x4",
  "tiled",
  "tiled-split",
  "matrix",
  "matrix-split",
] as const;

export type LinearVariant = (typeof VARIANTS)[number];

/** Rows and column quads of an invocation. */
const REGISTER_BLOCKS = {
  "register-1x2": [1, 2],
  "register-8x2": [8, 2],
  "register-8x4": [8, 4],
} as const;

/** With fewer rows the lanes of the blocks that share columns are not filled. */
const LEAST_ROWS_OF_WIDE_BLOCKS = 128;

function select(p: LinearProblem, caps: Caps): LinearVariant {
  if (caps.isSoftware && cost(p).flops < LEAST_FLOPS_OF_OWN_BLOCK) return "register-8x2";
  if (p.rows < 4) return "register-1x2";
  if (caps.isSoftware) {
    const isWide = suitsWideBlock(packedColumnQuads(p.outChannels, p.epilogue.geglu));
    return isWide && p.rows >= LEAST_ROWS_OF_WIDE_BLOCKS ? "register-8x4" : "register-8x2";
  }
  return matrixRefusal("matrix", p.dtype, caps) === null ? "matrix" : "tiled";
}

function refusal(p: LinearProblem, caps: Caps, variant: LinearVariant): string | null {
  const missing = matrixRefusal(variant, p.dtype, caps);
  if (missing !== null) return missing;
  const reason = statisticsRefusal(variant, p, interfaceOf(p).operands, linearTiledRows(p));
  if (reason !== null) return reason;
  if (p.layerNorm && !ownsWholeTiles(variant)) {
    return `${variant} does not normalise rows. Apply layerNorm`;
  }
  const body = gemmBody(variant, caps, false, p.weightStorage);
  return splitRefusal(variant, tiledGemm(p, body), body);
}

function tiledGemm(p: LinearProblem, body: GemmBody): TiledGemm {
  const columnQuads = packedColumnQuads(p.outChannels, p.epilogue.geglu);
  return { rows: p.rows, columnQuads, phases: 1, steps: tileSteps(p.inChannels, body) };
}

const weightOf = (p: LinearProblem): WeightShape => ({
  ...p,
  taps: 1,
  shortcutChannels: [],
  columnQuads: packedColumnQuads(p.outChannels, p.epilogue.geglu),
});

function paramsOf(p: LinearProblem): Param[] {
  const [first = 1, second = 0] = p.inChannels;
  return [
    u32("rows", p.rows),
    u32("in_quads0", quadCount(first)),
    u32("in_quads1", quadCount(second)),
    u32("column_quads", packedColumnQuads(p.outChannels, p.epilogue.geglu)),
    u32("out_quads", quadCount(linearOutChannels(p))),
    u32("rows_per_image", p.rowsPerImage),
    ...integerParams(weightOf(p)),
    ...epilogueParams(p.epilogue, p.outChannels),
    ...layerNormParams(p.layerNorm, p.inChannels),
    ...mergedNormParams(p.mergedNorm, p.inChannels),
  ];
}

function plan(p: LinearProblem, caps: Caps, variant: LinearVariant = select(p, caps)): KernelPlan {
  check(p);
  const reason = refusal(p, caps, variant);
  if (reason !== null) throw new ShapeError(`linear: ${reason}`);
  const { operands, shape } = interfaceOf(p);
  const { geglu, statistics } = p.epilogue;
  const columns = packedColumnQuads(p.outChannels, geglu);
  const label = `linear/${variant}${geglu ? " geglu" : ""}${normLabel(p)}${storageLabel(p)}${p.layerNorm ? " layer norm" : ""}${statistics === "none" ? "" : " stats"}`;
  const header = { caps, dtype: p.dtype, operands, params: paramsOf(p) };
  const { weightStorage } = p;
  const loads = loadsWgsl(p) + integerLoadsWgsl(weightStorage);
  const epilogue = epilogueWgsl(p.epilogue, shape);
  const one = (main: string, groups: number, directives: readonly string[] = []): KernelPlan => {
    const code = loads + epilogue + main;
    const grid = foldWorkgroups(groups);
    return {
      variant,
      scratch: [],
      dispatches: [dispatch(label, { ...header, directives }, code, grid)],
    };
  };
  switch (variant) {
    case "naive":
      return one(
        naiveWgsl(geglu, weightStorage),
        Math.ceil((p.rows * quadCount(linearOutChannels(p))) / REGISTER_WORKGROUP),
      );
    case "register-1x2":
    case "register-8x2":
    case "register-8x4": {
      const [rows, quads] = REGISTER_BLOCKS[variant];
      const blocks = Math.ceil(p.rows / rows);
      const shares = variant === "register-8x4" && canShare(caps); // others are for few rows
      const block = { rows, quads, shares, weightStorage };
      return one(
        registerGemmWgsl(block, geglu),
        registerGroups(block, blocks, columns),
        registerDirectives(block),
      );
    }
    case "tiled":
    case "tiled-split":
    case "matrix":
    case "matrix-split": {
      const body = gemmBody(
        variant,
        caps,
        p.inputNorm !== "none" || p.layerNorm !== null,
        weightStorage,
      );
      return tiledPlan(variant, tiledGemm(p, body), body, {
        label,
        header,
        loads,
        epilogue,
        gather: gatherWgsl(p.layerNorm !== null),
        taps: "1u",
        geglu,
        statistics,
        isMerging: p.mergedNorm !== null,
      });
    }
    default:
      return variant satisfies never;
  }
}

function weightByteLength(p: LinearProblem, inChannels: number): number {
  const { dtype, outChannels, weightStorage, epilogue } = p;
  if (weightStorage !== "float") return integerByteLength(weightStorage, weightOf(p));
  const { geglu } = epilogue;
  return packedWeightByteLength({
    dtype,
    inChannels,
    outChannels,
    taps: 1,
    geglu,
    upsample: false,
  });
}

function cost(p: LinearProblem): Cost {
  const k = p.inChannels.reduce((sum, channels) => sum + channels, 0);
  const element = dtypeByteLength(p.dtype);
  const outBytes = p.rows * linearOutChannels(p) * element;
  const rowBytes = p.layerNorm ? rowStatisticsByteLength(p.rows, k) : 0;
  return {
    flops: 2 * p.rows * k * p.outChannels,
    bytesRead:
      p.rows * k * element +
      weightByteLength(p, k) +
      rowBytes +
      (p.epilogue.residual ? outBytes : 0),
    bytesWritten:
      outBytes + epilogueStatisticsByteLength(p.epilogue, linearTiledRows(p), p.outChannels),
  };
}

function classOf(p: LinearProblem): string {
  const columns = `${p.inChannels.join("+")}→${p.outChannels}`;
  return `${columns}${p.epilogue.geglu ? " geglu" : ""}${storageLabel(p)} @${sizeClass(p.rows)}`;
}

/** Matrix product with a packed weight and an epilogue. */
export const linear: Kernel<LinearProblem, LinearVariant> = {
  name: "linear",
  variants: VARIANTS,
  check,
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
