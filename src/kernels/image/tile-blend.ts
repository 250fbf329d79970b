/**
 * Blending of overlapping latent tiles: three kernels on two accumulators that the caller owns.
 *
 *   tileClear       acc = 0, coverage = 0
 *   tileAccumulate  acc[y0 + y, x0 + x, c] += w[y, x]·tile[y, x, c],  coverage[y0 + y, x0 + x] += w[y, x]
 *   tileNormalise   y = acc / coverage
 *
 * Layout: tile and y are NHWC quads in the graph's dtype; acc is f32 quads and coverage f32 [height, width]. They are
 * f32 because the Gaussian weights span nine decimal orders: in f16 corners would be 0/0. One invocation per pixel and
 * quad.
 *
 * Tiles are added in the order of their dispatches, so the result is deterministic. A pixel that no tile covers gives
 * NaN.
 */
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import type { ShaderHeader } from "../../gpu/wgsl.ts";
import type { Dispatch, Kernel } from "../kernel.ts";
import { defineKernel, reads, u32, writes } from "../kernel.ts";
import { checkBindings, checkRange, checkSides, mapDispatch } from "./image-layout.ts";

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

const accumulators = [writes("acc", "vec4<f32>"), writes("coverage", "f32")];

function accumulatorBytes({ width, height, channels }: TileClearProblem) {
  return { acc: width * height * quadCount(channels) * 16, coverage: width * height * 4 };
}

/** A dispatch over the pixels and quads of a map. `statements` know `column` and whether the quad `is_first` of its pixel. */
function quadDispatch(
  label: string,
  { width, height, channels }: TileClearProblem,
  header: ShaderHeader,
  statements: string,
): Dispatch {
  const QUADS = quadCount(channels); // a constant, so that the division is one by a constant
  const params = [u32("width", width), u32("height", height), ...header.params];
  const body = /* wgsl */ `
  if (at.x >= params.width * QUADS || at.y >= params.height) { return; }
  let column = at.x / QUADS;
  let is_first = at.x % QUADS == 0u;
${statements}`;
  const wholeHeader = { ...header, params, constants: { QUADS } };
  return mapDispatch(label, wholeHeader, [width * QUADS, height], "", body);
}

/** Sets the accumulators to zero, before the first tile. */
export const tileClear: Kernel<TileClearProblem, "quad"> = defineKernel({
  name: "tileClear",
  variants: ["quad"],
  check: ({ width, height, channels }) => checkSides("tileClear", { width, height, channels }),
  dispatches(problem, caps) {
    checkBindings("tileClear", accumulatorBytes(problem), caps, ADVICE);
    const header = { caps, dtype: "f32", operands: accumulators, params: [] } as const;
    const statements = /* wgsl */ `  acc[at.y * params.width * QUADS + at.x] = vec4<f32>(0.0);
  if (is_first) { coverage[at.y * params.width + column] = 0.0; }
`;
    return [quadDispatch("tile-clear", problem, header, statements)];
  },
  cost(problem) {
    const { acc, coverage } = accumulatorBytes(problem);
    return { flops: 0, bytesRead: 0, bytesWritten: acc + coverage };
  },
});

/** Adds a tile, weighted, to the accumulators. */
export const tileAccumulate: Kernel<TileAccumulateProblem, "quad"> = defineKernel({
  name: "tileAccumulate",
  variants: ["quad"],
  check({ width, height, channels, tileWidth, tileHeight, x0, y0 }) {
    checkSides("tileAccumulate", { width, height, channels, tileWidth, tileHeight });
    checkRange("tileAccumulate", "tile columns", x0, tileWidth, width);
    checkRange("tileAccumulate", "tile rows", y0, tileHeight, height);
  },
  dispatches(problem, caps) {
    checkBindings("tileAccumulate", accumulatorBytes(problem), caps, ADVICE);
    const { dtype, channels, tileWidth, tileHeight, width, x0, y0 } = problem;
    const header = {
      caps,
      dtype,
      operands: [reads("tile"), reads("w", "f32"), ...accumulators],
      params: [u32("map_width", width), u32("x0", x0), u32("y0", y0)],
    };
    const statements = /* wgsl */ `  let weight = w[at.y * params.width + column];
  let row = (params.y0 + at.y) * params.map_width;
  let target_quad = (row + params.x0) * QUADS + at.x;
  acc[target_quad] += weight * unpack(tile[at.y * params.width * QUADS + at.x]);
  if (is_first) { coverage[row + params.x0 + column] += weight; }
`;
    const size = { width: tileWidth, height: tileHeight, channels };
    return [quadDispatch("tile-accumulate", size, header, statements)];
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
});

/** The blended map: the sums over their weights. */
export const tileNormalise: Kernel<TileNormaliseProblem, "quad"> = defineKernel({
  name: "tileNormalise",
  variants: ["quad"],
  check: ({ width, height, channels }) => checkSides("tileNormalise", { width, height, channels }),
  dispatches(problem, caps) {
    checkBindings("tileNormalise", accumulatorBytes(problem), caps, ADVICE);
    const operands = [reads("acc", "vec4<f32>"), reads("coverage", "f32"), writes("y")];
    const header = { caps, dtype: problem.dtype, operands, params: [] };
    const statements = /* wgsl */ `  let index = at.y * params.width * QUADS + at.x;
  y[index] = pack(acc[index] / coverage[at.y * params.width + column]);
`;
    return [quadDispatch("tile-normalise", problem, header, statements)];
  },
  cost(problem) {
    const { acc, coverage } = accumulatorBytes(problem);
    return {
      flops: acc / 4,
      bytesRead: acc + coverage,
      bytesWritten: (acc / 4) * dtypeByteLength(problem.dtype),
    };
  },
});
