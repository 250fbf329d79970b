/** Maps on the device that tiles are cut from and pasted into. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { crop } from "../../kernels/image/crop.ts";
import type { Box } from "./tiling.ts";

/** An activation [height, width, channels]. Whoever made it frees its buffer. */
export interface DeviceMap {
  readonly buffer: GPUBuffer;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly dtype: DType;
}

/** Fills `x` [1, height, width, channels] with a rectangle of what a network runs over. */
export type TileSource = (x: GPUBufferBinding, box: Box) => Promise<void>;

/** Takes what a network has made: of `tile` the rectangle from (x, y) on, which is `box` of the whole. */
export type TileSink = (tile: DeviceMap, x: number, y: number, box: Box) => Promise<void>;

/** A map with nothing in it yet. */
export function createMap(
  gpu: Gpu,
  label: string,
  [height, width, channels]: readonly [number, number, number],
  dtype: DType,
): DeviceMap {
  const byteLength = activationByteLength([height, width, channels], dtype);
  return { buffer: gpu.memory.create(label, byteLength, "images"), height, width, channels, dtype };
}

/** A map of which a buffer may hold more. */
type BoundMap = Omit<DeviceMap, "buffer"> & { readonly buffer: GPUBuffer | GPUBufferBinding };

/** Copies the rectangle of `source` that starts at (x, y) onto `box` of `target`. */
export function copyRectangle(
  gpu: Gpu,
  source: BoundMap,
  x: number,
  y: number,
  target: BoundMap,
  { x0, x1, y0, y1 }: Box,
): Promise<void> {
  const plan = crop.plan(
    {
      dtype: source.dtype,
      channels: source.channels,
      srcWidth: source.width,
      srcHeight: source.height,
      srcX: x,
      srcY: y,
      width: x1 - x0,
      height: y1 - y0,
      dstWidth: target.width,
      dstHeight: target.height,
      dstX: x0,
      dstY: y0,
    },
    gpu.caps,
  );
  return runPlan(gpu, plan, { src: source.buffer, dst: target.buffer });
}

/** Tiles that are cut from `map`. */
export const mapSource =
  (gpu: Gpu, map: DeviceMap): TileSource =>
  (x, { x0, x1, y0, y1 }) => {
    const [width, height] = [x1 - x0, y1 - y0];
    const tile = { ...map, buffer: x, height, width };
    return copyRectangle(gpu, map, x0, y0, tile, { x0: 0, x1: width, y0: 0, y1: height });
  };

/** Tiles that are pasted into `map`. */
export const mapSink =
  (gpu: Gpu, map: DeviceMap): TileSink =>
  (tile, x, y, box) =>
    copyRectangle(gpu, tile, x, y, map, box);
