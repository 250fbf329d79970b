/**
 * Blends the UNet's predictions where a pixel has several: from overlapping tiles, or from two timesteps that share the
 * map. The blend is their weighted mean, with sums in f32. z is linear in the prediction, so this blends z as well.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import { uploadBytes } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import type { Program, RunOptions, RunProgram } from "../../graph/program.ts";
import { crop } from "../../kernels/image/crop.ts";
import { tileAccumulate, tileClear, tileNormalise } from "../../kernels/image/tile-blend.ts";
import type { UNetTiles } from "./tiling.ts";

/** Inputs of the UNet for the whole map [height, width, channels], on the device. */
export interface LatentInputs {
  readonly latents: GPUBuffer;
  readonly tokens: GPUBuffer;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly dtype: DType;
}

/** Equal rectangles that cover the map, and how each weighs its pixels: [tileHeight, tileWidth], above 0. */
export interface WeightedTiles extends UNetTiles {
  readonly weights: Float32Array<ArrayBuffer>;
}

/** A timestep of a call. */
export interface TimestepShare {
  readonly timestep: number;
  /** How much its prediction counts at each pixel of the map [height, width]. The shares add up to 1; null is 1. */
  readonly share: Float32Array<ArrayBuffer> | null;
}

/** A run of the UNet: one tile at one timestep, with the weights of its pixels. */
interface TileRun {
  readonly x0: number;
  readonly y0: number;
  readonly timestep: number;
  readonly weights: Float32Array<ArrayBuffer>;
}

/**
 * The blended prediction [1, height, width, channels], in a buffer that the caller frees. A tile is not run at a
 * timestep that has no share in it. `embed` gives the packed "timestep" input; `runOptions` gives the options of a run
 * that is the fraction `length` of the stage, from the fraction `start` on; `run` runs the program.
 */
export async function blendPredictions(
  gpu: Gpu,
  program: Program,
  { latents, tokens, height, width, channels, dtype }: LatentInputs,
  tiles: WeightedTiles,
  timesteps: readonly TimestepShare[],
  embed: (timestep: number) => Uint8Array<ArrayBuffer>,
  runOptions: (start: number, length: number) => RunOptions,
  run: RunProgram,
): Promise<GPUBuffer> {
  const { caps } = gpu;
  const { tileWidth, tileHeight } = tiles;
  const whole = { width, height, channels };
  const temporary: GPUBuffer[] = [];
  const create = (name: string, byteLength: number): GPUBuffer => {
    temporary.push(gpu.memory.create(name, byteLength, "images"));
    return temporary.at(-1) as GPUBuffer;
  };
  const shape = [height, width, channels];
  const eps = gpu.memory.create("eps", activationByteLength(shape, dtype), "images");
  try {
    const acc = create("tile sum", height * width * quadCount(channels) * 16);
    const coverage = create("tile coverage", height * width * 4);
    const w = create("tile weights", tiles.weights.byteLength);
    await runPlan(gpu, tileClear.plan(whole, caps), { acc, coverage });
    const runs = tileRuns(tiles, timesteps, width);
    let uploaded: TileRun["weights"] | undefined;
    for (const [index, { x0, y0, timestep, weights }] of runs.entries()) {
      const cut = crop.plan(
        {
          dtype,
          channels,
          srcWidth: width,
          srcHeight: height,
          srcX: x0,
          srcY: y0,
          width: tileWidth,
          height: tileHeight,
          dstWidth: tileWidth,
          dstHeight: tileHeight,
          dstX: 0,
          dstY: 0,
        },
        caps,
      );
      await runPlan(gpu, cut, { src: latents, dst: program.input("latents") });
      const inputs = { tokens, timestep: embed(timestep) };
      await run(program, inputs, runOptions(index / runs.length, 1 / runs.length));
      if (weights !== uploaded) uploadBytes(gpu, w, 0, new Uint8Array(weights.buffer));
      uploaded = weights; // without a mask, all tiles have the same
      const add = tileAccumulate.plan({ ...whole, dtype, tileWidth, tileHeight, x0, y0 }, caps);
      const { buffer, size } = program.result("eps");
      await runPlan(gpu, add, { tile: { buffer, size }, w, acc, coverage });
    }
    const normalise = tileNormalise.plan({ ...whole, dtype }, caps);
    await runPlan(gpu, normalise, { acc, coverage, y: eps });
    return eps;
  } catch (error) {
    gpu.memory.release(eps);
    throw error;
  } finally {
    for (const buffer of temporary) gpu.memory.release(buffer);
  }
}

/** The runs that count somewhere, tile by tile. */
function tileRuns(
  { tileWidth, xStarts, yStarts, weights }: WeightedTiles,
  timesteps: readonly TimestepShare[],
  width: number,
): readonly TileRun[] {
  const shared = (share: Float32Array, x0: number, y0: number): Float32Array<ArrayBuffer> =>
    weights.map((weight, i) => {
      const at = (y0 + Math.floor(i / tileWidth)) * width + x0 + (i % tileWidth);
      return weight * (share[at] as number);
    });
  return yStarts.flatMap((y0) =>
    xStarts.flatMap((x0) =>
      timesteps
        .map(({ timestep, share }) => ({
          x0,
          y0,
          timestep,
          weights: share ? shared(share, x0, y0) : weights,
        }))
        .filter((run) => run.weights.some((weight) => weight > 0)),
    ),
  );
}
