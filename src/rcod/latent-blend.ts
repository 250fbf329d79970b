/** The UNet on latents larger than its tile: overlapping tiles, blended with Gaussian weights. */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { quadCount } from "../gpu/shape.ts";
import { activationByteLength } from "../graph/lower.ts";
import type { Program, RunOptions } from "../graph/program.ts";
import { runPlan } from "../graph/run-plan.ts";
import { crop } from "../kernels/crop.ts";
import { tileAccumulate, tileClear, tileNormalise } from "../kernels/tile-blend.ts";
import { tableBuffer } from "./image-ops.ts";
import type { LatentTiling } from "./tiling.ts";
import { gaussianTileWeights } from "./tiling.ts";

/** Inputs of the UNet for the whole map [height, width, channels], on the device. */
export interface LatentInputs {
  readonly latents: GPUBuffer;
  readonly tokens: GPUBuffer;
  readonly timestep: Uint8Array<ArrayBuffer>;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly dtype: DType;
}

export interface BlendOptions {
  /** Centre the weights in the tile; the reference is off by half a pixel along y. */
  readonly symmetric: boolean;
  /** Signal and progress of the part of the stage from `start`, `length` long. */
  readonly runOptions: (start: number, length: number) => RunOptions;
}

/** Runs the UNet on overlapping latent tiles and blends the predictions with Gaussian weights, in f32. */
export async function blendLatentTiles(
  gpu: Gpu,
  program: Program,
  { latents, tokens, timestep, height, width, channels, dtype }: LatentInputs,
  tiling: LatentTiling,
  options: BlendOptions,
): Promise<GPUBuffer> {
  const { caps } = gpu;
  const { tile, xStarts, yStarts } = tiling;
  const whole = { width, height, channels };
  const temporary: GPUBuffer[] = [];
  const create = (name: string, byteLength: number): GPUBuffer => {
    temporary.push(gpu.memory.create(name, byteLength, "images"));
    return temporary.at(-1) as GPUBuffer;
  };
  const eps = gpu.memory.create(
    "eps",
    activationByteLength([height, width, channels], dtype),
    "images",
  );
  try {
    const acc = create("tile sum", height * width * quadCount(channels) * 16);
    const coverage = create("tile coverage", height * width * 4);
    const w = tableBuffer(gpu, gaussianTileWeights(tile, { symmetric: options.symmetric }));
    temporary.push(w);
    await runPlan(gpu, tileClear.plan(whole, caps), { acc, coverage });
    const count = xStarts.length * yStarts.length;
    let done = 0;
    for (const y0 of yStarts) {
      for (const x0 of xStarts) {
        const cut = crop.plan(
          {
            dtype,
            channels,
            srcWidth: width,
            srcHeight: height,
            srcX: x0,
            srcY: y0,
            width: tile,
            height: tile,
            dstWidth: tile,
            dstHeight: tile,
            dstX: 0,
            dstY: 0,
          },
          caps,
        );
        await runPlan(gpu, cut, { src: latents, dst: program.input("latents") });
        await program.run({ tokens, timestep }, options.runOptions(done / count, 1 / count));
        const add = tileAccumulate.plan(
          { ...whole, dtype, tileWidth: tile, tileHeight: tile, x0, y0 },
          caps,
        );
        const { buffer, size } = program.result("eps");
        await runPlan(gpu, add, { tile: { buffer, size }, w, acc, coverage });
        done++;
      }
    }
    await runPlan(gpu, tileNormalise.plan({ ...whole, dtype }, caps), {
      acc,
      coverage,
      y: eps,
    });
    return eps;
  } catch (error) {
    gpu.memory.release(eps);
    throw error;
  } finally {
    for (const buffer of temporary) gpu.memory.release(buffer);
  }
}
