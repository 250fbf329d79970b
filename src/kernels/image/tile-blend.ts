/**
 * Blending of overlapping latent tiles: three kernels on two accumulators that the caller owns.
 *
 *   tileClear       acc = 0, coverage = 0
 *   tileAccumulate  acc[y0 + y, x0 + x, c] += w[y, x]·tile[y, x, c],  coverage[y0 + y, x0 + x] += w[y, x]
 *   tileNormalise   y = acc / coverage
 *
 * Layout: tile and y are NHWC quads in the graph's dtype; acc is f32 quads and coverage f32 [height, width],
 * because the Gaussian weights span nine decimal orders (f16 corners would be 0/0). One invocation per pixel
 * and quad. Tiles are added in the order in which they are run, so the result is deterministic. Every pixel
 * must be covered by a tile; an uncovered one gives NaN.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import type { Operand, Param } from "../../gpu/wgsl.ts";
import type { Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, reads, u32, writes } from "../kernel.ts";
import {
  checkBindings,
  checkRange,
  checkSides,
  MAP_ARGUMENTS,
  MAP_POSITION,
  MAP_WORKGROUP,
  mapGrid,
} from "./image-layout.ts";

/** Operands: `acc` [height, width, channels] f32, `coverage` [height, width] f32. */
export interface TileClearProblem {
  /** Columns of the accumulators. */
  readonly width: number;
  /** Rows of the accumulators. */
  readonly height: number;
  /** Channels, without padding. */
  readonly channels: number;
}

/** Operands: `tile` [tileHeight, tileWidth, channels], `w` [tileHeight, tileWidth] f32, and both accumulators. */
export interface TileAccumulateProblem extends TileClearProblem {
  /** Storage of the tile. */
  readonly dtype: DType;
  /** Columns of the tile. */
  readonly tileWidth: number;
  /** Rows of the tile. */
  readonly tileHeight: number;
  /** Column at which the tile lies. */
  readonly x0: number;
  /** Row at which the tile lies. */
  readonly y0: number;
}

/** Operands: `acc`, `coverage`, `y` [height, width, channels]. */
export interface TileNormaliseProblem extends TileClearProblem {
  /** Storage of y. */
  readonly dtype: DType;
}

const ADVICE = "Use f16 precision or a smaller image";

function planMap(
  label: string,
  caps: Caps,
  dtype: DType,
  size: { readonly width: number; readonly height: number; readonly channels: number },
  operands: readonly Operand[],
  params: readonly Param[],
  statements: string,
): KernelPlan {
  const quads = quadCount(size.channels);
  // x runs over pixels and their quads; QUADS is a constant, so that the division is one by a constant.
  const body = /* wgsl */ `${MAP_POSITION}
@compute @workgroup_size(${MAP_WORKGROUP})
fn main(${MAP_ARGUMENTS}) {
  let at = map_position(group, counts, local);
  if (at.x >= params.width * QUADS || at.y >= params.height) { return; }
  let column = at.x / QUADS;
  let is_first = at.x % QUADS == 0u;
${statements}}
`;
  return {
    variant: "quad",
    scratch: [],
    dispatches: [
      dispatch(
        label,
        {
          caps,
          dtype,
          operands,
          params: [u32("width", size.width), u32("height", size.height), ...params],
          constants: { QUADS: quads },
        },
        body,
        mapGrid(size.width * quads, size.height),
      ),
    ],
  };
}

function accumulatorBytes({ width, height, channels }: TileClearProblem) {
  return { acc: width * height * quadCount(channels) * 16, coverage: width * height * 4 };
}

function checkSize(op: string, { width, height, channels }: TileClearProblem): void {
  checkSides(op, { width, height, channels });
}

function checkAccumulate(problem: TileAccumulateProblem): void {
  const { tileWidth, tileHeight } = problem;
  checkSize("tileAccumulate", problem);
  checkSides("tileAccumulate", { tileWidth, tileHeight });
  checkRange("tileAccumulate", "tile columns", problem.x0, tileWidth, problem.width);
  checkRange("tileAccumulate", "tile rows", problem.y0, tileHeight, problem.height);
}

const accumulators = [writes("acc", "vec4<f32>"), writes("coverage", "f32")];

/** Sets the accumulators to zero, before the first tile. */
export const tileClear: Kernel<TileClearProblem, "quad"> = {
  name: "tileClear",
  variants: ["quad"],
  check: (problem) => checkSize("tileClear", problem),
  select: () => "quad",
  plan(problem, caps) {
    checkSize("tileClear", problem);
    checkBindings("tileClear", accumulatorBytes(problem), caps, ADVICE);
    return planMap(
      "tile-clear",
      caps,
      "f32",
      problem,
      accumulators,
      [],
      /* wgsl */ `  acc[at.y * params.width * QUADS + at.x] = vec4<f32>(0.0);
  if (is_first) { coverage[at.y * params.width + column] = 0.0; }
`,
    );
  },
  cost(problem) {
    const { acc, coverage } = accumulatorBytes(problem);
    return { flops: 0, bytesRead: 0, bytesWritten: acc + coverage };
  },
};

/** Adds a tile, weighted, to the accumulators. */
export const tileAccumulate: Kernel<TileAccumulateProblem, "quad"> = {
  name: "tileAccumulate",
  variants: ["quad"],
  check: checkAccumulate,
  select: () => "quad",
  plan(problem, caps) {
    checkAccumulate(problem);
    checkBindings("tileAccumulate", accumulatorBytes(problem), caps, ADVICE);
    const { dtype, channels, tileWidth, tileHeight } = problem;
    return planMap(
      "tile-accumulate",
      caps,
      dtype,
      { width: tileWidth, height: tileHeight, channels },
      [reads("tile"), reads("w", "f32"), ...accumulators],
      [u32("map_width", problem.width), u32("x0", problem.x0), u32("y0", problem.y0)],
      /* wgsl */ `  let weight = w[at.y * params.width + column];
  let row = (params.y0 + at.y) * params.map_width;
  let target_quad = (row + params.x0) * QUADS + at.x;
  acc[target_quad] += weight * unpack(tile[at.y * params.width * QUADS + at.x]);
  if (is_first) { coverage[row + params.x0 + column] += weight; }
`,
    );
  },
  cost({ dtype, channels, tileWidth, tileHeight }) {
    const quads = tileWidth * tileHeight * quadCount(channels);
    const accumulated = quads * 16 + tileWidth * tileHeight * 4;
    return {
      flops: quads * 8,
      bytesRead: quads * 4 * dtypeByteLength(dtype) + tileWidth * tileHeight * 4 + accumulated,
      bytesWritten: accumulated,
    };
  },
};

/** The blended map: the sums over their weights. */
export const tileNormalise: Kernel<TileNormaliseProblem, "quad"> = {
  name: "tileNormalise",
  variants: ["quad"],
  check: (problem) => checkSize("tileNormalise", problem),
  select: () => "quad",
  plan(problem, caps) {
    checkSize("tileNormalise", problem);
    checkBindings("tileNormalise", accumulatorBytes(problem), caps, ADVICE);
    return planMap(
      "tile-normalise",
      caps,
      problem.dtype,
      problem,
      [reads("acc", "vec4<f32>"), reads("coverage", "f32"), writes("y")],
      [],
      /* wgsl */ `  let index = at.y * params.width * QUADS + at.x;
  y[index] = pack(acc[index] / coverage[at.y * params.width + column]);
`,
    );
  },
  cost(problem) {
    const { acc, coverage } = accumulatorBytes(problem);
    return {
      flops: acc / 4,
      bytesRead: acc + coverage,
      bytesWritten: (acc / 4) * dtypeByteLength(problem.dtype),
    };
  },
};
