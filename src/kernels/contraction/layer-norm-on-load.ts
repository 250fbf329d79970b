/**
 * LayerNorm in the loads of a tiled linear layer, so that normalised tokens are never stored:
 *
 *   x̂[row, c] = (x[row, c] − mean[row])·rstd[row]·gamma[c] + beta[c]
 *
 * mean and rstd come from `row_stats`, which the layer that made x has written in its epilogue ("rows" in
 * `tile-statistics.ts`): inChannels / 64 partials a row. The lane that stages a row merges them, once.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { Operand, Param } from "../../gpu/wgsl.ts";
import { f32, reads, u32 } from "../kernel.ts";
import { TILE_COLUMNS } from "./gemm-tiled.ts";
import { rowPartials } from "./tile-statistics.ts";

/** A LayerNorm over the rows that a linear layer loads. */
export interface LayerNormOnLoad {
  /** Added to the variance. */
  readonly eps: number;
}

/** Throws `ShapeError` where the channels are not those of one source of whole tiles. */
export function checkLayerNormOnLoad(
  { eps }: LayerNormOnLoad,
  inChannels: readonly number[],
): void {
  const [channels = 0, ...more] = inChannels;
  if (more.length > 0 || rowPartials(channels) === null) {
    throw new ShapeError(
      `linear: normalises rows of one source of a multiple of ${TILE_COLUMNS} channels while loading, ` +
        `got ${inChannels.join(" + ")}. Apply layerNorm`,
    );
  }
  if (!(eps > 0 && Number.isFinite(eps))) {
    throw new ShapeError(`linear: eps must be a positive number, got ${eps}`);
  }
}

/** The operands, between the epilogue's and `y`. */
export function layerNormOperands(norm: LayerNormOnLoad | null): Operand[] {
  if (norm === null) return [];
  return [reads("gamma", "vec4<f32>"), reads("beta", "vec4<f32>"), reads("row_stats", "vec2<f32>")];
}

/** Uniforms of the WGSL below. */
export function layerNormParams(
  norm: LayerNormOnLoad | null,
  [channels = 0]: readonly number[],
): Param[] {
  if (norm === null) return [];
  return [u32("row_partials", rowPartials(channels) ?? 0), f32("eps", norm.eps)];
}

/** WGSL of `Row`, `locate`, `Source`, `at_tap` and `load_tap` for `tiledGemmWgsl`, which has `TILE_COLUMNS`. Needs `load_stored(row, k)`. */
export const LAYER_NORM_ROWS = /* wgsl */ `
struct Row { index: u32, mean: f32, rstd: f32 }
fn locate(row: u32, phase: u32) -> Row {
  let first = row * params.row_partials;
  var mean = 0.0;
  for (var i = 0u; i < params.row_partials; i++) { mean += row_stats[first + i].x; }
  mean /= f32(params.row_partials);
  var m2 = 0.0;
  for (var i = 0u; i < params.row_partials; i++) {
    let partial = row_stats[first + i];
    m2 += partial.y + f32(TILE_COLUMNS) * (partial.x - mean) * (partial.x - mean);
  }
  return Row(row, mean, 1.0 / sqrt(m2 / f32(params.row_partials * TILE_COLUMNS) + params.eps));
}
alias Source = Row;
fn at_tap(row: Row, tap: u32) -> Source { return row; }
fn load_tap(row: Source, tap: u32, k: u32) -> vec4<f32> {
  return (load_stored(row.index, k) - row.mean) * row.rstd * gamma[k] + beta[k];
}
`;
