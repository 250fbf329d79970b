/**
 * Blends the UNet's predictions where a pixel has several: from overlapping tiles, or from two timesteps that share the
 * map. The blend is their weighted mean, with sums in f32. z is linear in the prediction, so this blends z as well.
 * Tiles and timesteps go through the UNet in batches, also those of several results of one map.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import { uploadBytes } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import type { Program, RunOptions, RunProgram } from "../../graph/program.ts";
import { tileAccumulate, tileClear, tileNormalise } from "../../kernels/image/tile-blend.ts";
import { copyRectangle } from "./device-map.ts";
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

/** A run of the UNet: one tile at one timestep, with the weights of its pixels, and the result that it counts in. */
export interface TileRun {
  readonly x0: number;
  readonly y0: number;
  readonly timestep: number;
  readonly weights: Float32Array<ArrayBuffer>;
  readonly result: number;
}

/** The UNet for `batch` tiles at once. */
export interface BatchedUNet {
  readonly program: Program;
  /** Divides the number of runs. */
  readonly batch: number;
  /** The packed "timestep" input, a row for each tile. */
  readonly embed: (timesteps: readonly number[]) => Uint8Array<ArrayBuffer>;
  readonly run: RunProgram;
  /** Options of a run that is the fraction `length` of the stage, from the fraction `start` on. */
  readonly runOptions: (start: number, length: number) => RunOptions;
}

/** The blended prediction of each result, [1, height, width, channels], in buffers that the caller frees. */
export async function blendPredictions(
  gpu: Gpu,
  { program, batch, embed, run, runOptions }: BatchedUNet,
  { latents, tokens, height, width, channels, dtype }: LatentInputs,
  { tileWidth, tileHeight }: WeightedTiles,
  runs: readonly TileRun[],
): Promise<GPUBuffer[]> {
  const { caps, memory } = gpu;
  const whole = { width, height, channels };
  const temporary: GPUBuffer[] = [];
  const create = (name: string, byteLength: number): GPUBuffer => {
    temporary.push(memory.create(name, byteLength, "images"));
    return temporary.at(-1) as GPUBuffer;
  };
  const bytesOf = (rows: number, columns: number): number =>
    activationByteLength([rows, columns, channels], dtype);
  const map = { buffer: latents, ...whole, dtype };
  const tileForm = { channels, dtype, width: tileWidth, height: tileHeight };
  const wholeTile = { x0: 0, x1: tileWidth, y0: 0, y1: tileHeight };
  // A batch is a map of tiles below one another.
  const stack = { ...tileForm, height: batch * tileHeight };
  const predictions: GPUBuffer[] = [];
  try {
    const results = 1 + Math.max(...runs.map(({ result }) => result));
    const sums = Array.from({ length: results }, () => ({
      acc: create("tile sum", height * width * quadCount(channels) * 16),
      coverage: create("tile coverage", height * width * 4),
    }));
    for (const sum of sums) await runPlan(gpu, tileClear.plan(whole, caps), sum);
    const w = create("tile weights", tileWidth * tileHeight * 4);
    const single = batch > 1 ? create("tile", bytesOf(tileHeight, tileWidth)) : undefined;
    let uploaded: TileRun["weights"] | undefined;
    for (let first = 0; first < runs.length; first += batch) {
      const together = runs.slice(first, first + batch);
      for (const [item, { x0, y0 }] of together.entries()) {
        const to = { ...stack, buffer: program.input("latents") };
        const [top, bottom] = [item * tileHeight, (item + 1) * tileHeight];
        await copyRectangle(gpu, map, x0, y0, to, { ...wholeTile, y0: top, y1: bottom });
      }
      const timestep = embed(together.map((one) => one.timestep));
      await run(
        program,
        { tokens, timestep },
        runOptions(first / runs.length, batch / runs.length),
      );
      const { buffer, size } = program.result("eps");
      for (const [item, { x0, y0, weights, result }] of together.entries()) {
        let tile: GPUBufferBinding = { buffer, size };
        if (single) {
          const to = { ...tileForm, buffer: single };
          await copyRectangle(gpu, { ...stack, buffer: tile }, 0, item * tileHeight, to, wholeTile);
          tile = { buffer: single };
        }
        if (weights !== uploaded) uploadBytes(gpu, w, 0, new Uint8Array(weights.buffer));
        uploaded = weights; // without a mask, all tiles have the same
        const add = tileAccumulate.plan({ ...whole, dtype, tileWidth, tileHeight, x0, y0 }, caps);
        await runPlan(gpu, add, { tile, w, ...(sums[result] as (typeof sums)[number]) });
      }
    }
    const normalise = tileNormalise.plan({ ...whole, dtype }, caps);
    for (const sum of sums) {
      const y = memory.create("eps", bytesOf(height, width), "images");
      predictions.push(y);
      await runPlan(gpu, normalise, { ...sum, y });
    }
    return predictions;
  } catch (error) {
    for (const buffer of predictions) memory.release(buffer);
    throw error;
  } finally {
    for (const buffer of temporary) memory.release(buffer);
  }
}

/** The runs that count somewhere, tile by tile. A result is the blend of timesteps; a tile is not run where one has no share. */
export function tileRuns(
  { tileWidth, xStarts, yStarts, weights }: WeightedTiles,
  results: readonly (readonly TimestepShare[])[],
  width: number,
): readonly TileRun[] {
  const shared = (share: Float32Array, x0: number, y0: number): Float32Array<ArrayBuffer> =>
    weights.map((weight, i) => {
      const at = (y0 + Math.floor(i / tileWidth)) * width + x0 + (i % tileWidth);
      return weight * (share[at] as number);
    });
  const timesteps = results.flatMap((shares, result) =>
    shares.map((share) => ({ ...share, result })),
  );
  return yStarts.flatMap((y0) =>
    xStarts.flatMap((x0) =>
      timesteps
        .map(({ timestep, share, result }) => ({
          x0,
          y0,
          timestep,
          weights: share ? shared(share, x0, y0) : weights,
          result,
        }))
        .filter((run) => run.weights.some((weight) => weight > 0)),
    ),
  );
}
