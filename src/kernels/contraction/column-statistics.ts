/** WGSL of the statistics of a tile's columns, shared by the variants that take them (see `tile-statistics.ts`). */
import { unroll } from "../unroll.ts";

/**
 * How a tile of 128 invocations holds its sums: 16 parts of `rows` rows, each of 8 invocations × 2 column quads. The
 * includer has `exchange_set(at, v)` and `exchange_get(at)` for 256 vec4 of workgroup memory.
 */
export interface ColumnTile {
  /** Accumulators `acc<row>_<quad>` of an invocation: 4 or 8 rows, 2 quads. */
  readonly rows: number;
  /** Quads between the two of an invocation; the first is `my_quad`. */
  readonly quadStep: number;
  /** The invocation's part, an expression below 16. */
  readonly part: string;
  /** The output row of accumulator row `r`. */
  readonly outputRow: (r: number) => string;
  /** Which split of the statistics the tile is. */
  readonly split: string;
  /** Parts and rows of a part that lie in the map, expressions of type u32; null where all tiles are whole. */
  readonly within: { readonly parts: string; readonly rows: string } | null;
}

/**
 * Finishes and stores all sums of an invocation and writes mean and M2 of the tile's columns. In the order of a tree,
 * and so the same bits in every run.
 */
export function columnStatisticsWgsl(tile: ColumnTile): string {
  const { rows, quadStep, part, outputRow, split, within } = tile;
  const indices = Array.from({ length: rows }, (_, r) => r);
  const isPart = within ? ` && ${part} < ${within.parts}` : "";
  const at = (q: number): string => `(${part}) * 16u + my_quad + ${q * quadStep}u`;
  const value = (r: number, q: number): string => {
    const stored = `finish(acc${r}_${q}, ${outputRow(r)}, nq0 + my_quad + ${q * quadStep}u)`;
    if (!within) return `let v${r} = ${stored};`;
    return `var v${r} = vec4<f32>(0.0); if (${r}u < my_rows) { v${r} = ${stored}; }`;
  };
  const deviation = (r: number): string =>
    within
      ? `let d${r} = select(vec4<f32>(0.0), v${r} - mean, ${r}u < my_rows);`
      : `let d${r} = v${r} - mean;`;
  return /* wgsl */ `
  let my_rows = ${within?.rows ?? `${rows}u`};
  let my_parts = ${within?.parts ?? "16u"};
  ${unroll(2, (q) => `var m2_${q} = vec4<f32>(0.0);`)}
  ${unroll(
    2,
    (q) => `if (nq0 + my_quad + ${q * quadStep}u < params.column_quads${isPart}) {
    ${unroll(rows, (r) => value(r, q))}
    let mean = ${pairwise(indices.map((r) => `v${r}`))} / f32(my_rows);
    ${unroll(rows, deviation)}
    exchange_set(${at(q)}, mean);
    m2_${q} = ${pairwise(indices.map((r) => `d${r} * d${r}`))};
  }`,
  )}
  workgroupBarrier();
  let column = nq0 + local;
  let merges = local < 16u && column < params.column_quads;
  var mean = vec4<f32>(0.0);
  var m2 = vec4<f32>(0.0);
  if (merges) {
    for (var i = 0u; i < my_parts; i++) { mean += exchange_get(i * 16u + local); }
    mean /= f32(my_parts);
    for (var i = 0u; i < my_parts; i++) {
      let delta = exchange_get(i * 16u + local) - mean;
      m2 += f32(my_rows) * delta * delta;
    }
  }
  workgroupBarrier();
  ${unroll(2, (q) => `exchange_set(${at(q)}, m2_${q});`)}
  workgroupBarrier();
  if (merges) {
    for (var i = 0u; i < my_parts; i++) { m2 += exchange_get(i * 16u + local); }
    // Entries of 4, 2 or 1 channels: Chan's formula once more, for parts of one size.
    let values = f32(my_rows * my_parts);
    let quad = (${split}) * params.column_quads + column;
    if (params.stats_run == 4u) {
      let d = mean - dot(mean, vec4<f32>(0.25));
      let at = params.stats_first + quad * 2u;
      stats[at] = dot(mean, vec4<f32>(0.25));
      stats[at + 1u] = dot(m2 + values * (d * d), vec4<f32>(1.0));
    } else if (params.stats_run == 2u) {
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
    }
  }
`;
}

/** The sum of a power of two of terms, in parentheses. */
function pairwise(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0] as string;
  const half = terms.length / 2;
  return `(${pairwise(terms.slice(0, half))} + ${pairwise(terms.slice(half))})`;
}
