/** WGSL of the statistics that `tile-statistics.ts` describes: of a tile's columns, and of its rows. */
import { unroll } from "../unroll.ts";

/**
 * Writes the entries of a column quad: needs `mean`, `m2`, `values` (f32, of a channel), `partial` and `nq`. Entries are of 4,
 * 2 or 1 channels: Chan's formula for columns of one size.
 */
export const COLUMN_ENTRIES = /* wgsl */ `let quad = partial * params.column_quads + nq;
    if (params.channels_per_entry == 4u) {
      let d = mean - dot(mean, vec4<f32>(0.25));
      let at = params.stats_first + quad * 2u;
      stats[at] = dot(mean, vec4<f32>(0.25));
      stats[at + 1u] = dot(m2 + values * (d * d), vec4<f32>(1.0));
    } else if (params.channels_per_entry == 2u) {
      let pairs = 0.5 * (mean.xz + mean.yw);
      let d = mean.xz - pairs;
      let at = params.stats_first + quad * 4u;
      stats[at] = pairs.x;
      stats[at + 1u] = pairs.y;
      let m = m2.xz + m2.yw + 2.0 * values * (d * d);
      stats[at + 2u] = m.x;
      stats[at + 3u] = m.y;
    } else {
      let at = params.stats_first + quad * 8u;
      for (var c = 0u; c < 4u; c++) {
        stats[at + c] = mean[c];
        stats[at + 4u + c] = m2[c];
      }
    }`;

/** Pixels of a tile of pixels, of which `width` × `height` lie in the map, that the invocations of place x finish. */
export const FINISHED_BY = /* wgsl */ `
fn finished_by(x: u32, width: u32, height: u32) -> f32 { return f32((u32(x < width) + u32(x + 8u < width)) * height); }
`;

/**
 * Merges the moments of a tile of pixels: of each invocation, mean and M2 of what it finished, column quad `nq0 + local % 16` of pixels
 * local / 16 and 8 further in every line, at exchange `MOMENTS_AT + local` and `INVOCATIONS` behind it. Chan's formula over the
 * invocations of a column, in their order, so that every run gives the same bits. Needs `left`, `top`, `image`, `FINISHED_BY`.
 */
export const MERGED_MOMENTS = /* wgsl */ `workgroupBarrier();
  if (local < COLUMN_QUADS && nq < params.column_quads) {
    let width = min(TILE_WIDTH, params.grid_width - left);
    let height = min(TILE_HEIGHT, params.grid_height - top);
    let values = f32(width * height);
    var mean = vec4<f32>(0.0);
    for (var i = 0u; i < INVOCATIONS / COLUMN_QUADS; i++) {
      mean += finished_by(i, width, height) * exchange_get(MOMENTS_AT + i * COLUMN_QUADS + local);
    }
    mean /= values;
    var m2 = vec4<f32>(0.0);
    for (var i = 0u; i < INVOCATIONS / COLUMN_QUADS; i++) {
      let delta = exchange_get(MOMENTS_AT + i * COLUMN_QUADS + local) - mean;
      m2 += exchange_get(MOMENTS_AT + INVOCATIONS + i * COLUMN_QUADS + local);
      m2 += finished_by(i, width, height) * delta * delta;
    }
    let partial = phase * tiles + ((image * tiles_y + top / TILE_HEIGHT) * tiles_x + left / TILE_WIDTH);
    ${COLUMN_ENTRIES}
  }`;

/**
 * Finishes and stores all sums of an invocation, and writes mean and M2 of the tile's columns to `stats`. The tile's rows are 16
 * bands of 4, each of 8 invocations × 2 column quads. Sums are taken in the order of a tree, so that every run gives the same
 * bits. Part of `tiledGemmWgsl`.
 */
export const COLUMN_STATISTICS = /* wgsl */ `
  let bands = INVOCATIONS / LANES_ACROSS;
  ${unroll(2, (q) => `var m2_${q} = vec4<f32>(0.0);`)}
  ${unroll(
    2,
    (q) => `if (nq0 + my_quad + ${q}u < params.column_quads) {
    ${unroll(4, (r) => `let v${r} = finish(acc${r}_${q}, output_row(row0 + my_row + ${r}u, phase), nq0 + my_quad + ${q}u);`)}
    let mean = ((v0 + v1) + (v2 + v3)) * 0.25;
    ${unroll(4, (r) => `let d${r} = v${r} - mean;`)}
    exchange_set((local >> LANES_ACROSS_BITS) * COLUMN_QUADS + my_quad + ${q}u, mean);
    m2_${q} = ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3));
  }`,
  )}
  workgroupBarrier();
  let nq_merged = nq0 + local;
  let merges = local < COLUMN_QUADS && nq_merged < params.column_quads;
  var mean = vec4<f32>(0.0);
  var m2 = vec4<f32>(0.0);
  if (merges) {
    for (var i = 0u; i < bands; i++) { mean += exchange_get(i * COLUMN_QUADS + local); }
    mean /= f32(bands);
    for (var i = 0u; i < bands; i++) {
      let delta = exchange_get(i * COLUMN_QUADS + local) - mean;
      m2 += 4.0 * delta * delta;
    }
  }
  workgroupBarrier();
  ${unroll(2, (q) => `exchange_set((local >> LANES_ACROSS_BITS) * COLUMN_QUADS + my_quad + ${q}u, m2_${q});`)}
  workgroupBarrier();
  if (merges) {
    for (var i = 0u; i < bands; i++) { m2 += exchange_get(i * COLUMN_QUADS + local); }
    let values = f32(bands * 4u);
    let nq = nq_merged;
    let partial = phase * row_tiles + index % row_tiles;
    ${COLUMN_ENTRIES}
  }
`;

/**
 * Finishes and stores all sums of an invocation, and writes mean and M2 of the tile's rows to `row_stats_out`. 8 lanes hold
 * 8 values each of a row and one lane merges them, 32 rows at a time, as many as there is memory for. Part of
 * `tiledGemmWgsl`.
 */
export const ROW_STATISTICS = /* wgsl */ `
  ${unroll(
    4,
    (r) => `var moments${r} = vec4<f32>(0.0);
  {
    let row = row0 + my_row + ${r}u;
    var v0 = vec4<f32>(0.0);
    var v1 = vec4<f32>(0.0);
    if (row < params.rows) {
      v0 = finish(acc${r}_0, output_row(row, phase), nq);
      v1 = finish(acc${r}_1, output_row(row, phase), nq + 1u);
    }
    let mean = dot(v0 + v1, vec4<f32>(0.125));
    let d0 = v0 - mean;
    let d1 = v1 - mean;
    moments${r} = vec4<f32>(mean, dot(d0, d0) + dot(d1, d1), 0.0, 0.0);
  }`,
  )}
  for (var turn = 0u; turn < TILE_ROWS / MERGED_ROWS; turn++) {
    if (my_row / MERGED_ROWS == turn) {
      let at = (my_row % MERGED_ROWS) * LANES_ACROSS + (local & (LANES_ACROSS - 1u));
      ${unroll(4, (r) => `exchange_set(at + ${r}u * LANES_ACROSS, moments${r});`)}
    }
    workgroupBarrier();
    let row = row0 + turn * MERGED_ROWS + local;
    if (local < MERGED_ROWS && row < params.rows) {
      var mean = 0.0;
      for (var i = 0u; i < LANES_ACROSS; i++) { mean += exchange_get(local * LANES_ACROSS + i).x; }
      mean *= 0.125;
      var m2 = 0.0;
      for (var i = 0u; i < LANES_ACROSS; i++) {
        let eight = exchange_get(local * LANES_ACROSS + i);
        m2 += eight.y + 8.0 * (eight.x - mean) * (eight.x - mean);
      }
      row_stats_out[row * (params.column_quads / COLUMN_QUADS) + nq0 / COLUMN_QUADS] = vec2<f32>(mean, m2);
    }
    workgroupBarrier();
  }
`;
