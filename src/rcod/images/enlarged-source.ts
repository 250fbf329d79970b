/**
 * The enlarged image in the forms that the pipeline needs: the tensors that encoder and vision tower read, and
 * the 8-bit reference of the colour fix. RCOD_O enlarges by Pillow to 8 bits and makes all forms of the result; RCOD_S
 * interpolates in floats, and only its colour reference is rounded.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import type { Rounding } from "../../kernels/image/image-layout.ts";
import { reflectedTable, tablePart, triangleTable } from "../../kernels/image/resample-weights.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { Geometry, Rectangle } from "./geometry.ts";
import type { AxisTable, DeviceImage, ResizeSource } from "./image-ops.ts";
import {
  createImage,
  levelsToTensor,
  resizeImage,
  resizeToTensor,
  tensorToLevels,
} from "./image-ops.ts";
import type { SourceImage } from "./source-image.ts";
import { packedSource } from "./source-image.ts";

/** An enlarged image. Colours of tensors are in −1 … 1. */
export interface EnlargedSource {
  /** The colour reference. `release` leaves it: whoever made the source frees it. */
  readonly image: DeviceImage;
  /** What smaller tensors are resized from. */
  readonly pixels: ResizeSource;
  /** Writes a rectangle of the encoder's input [1, workHeight, workWidth, 3]. */
  toTensor(y: GPUBufferBinding, dtype: DType, part: Rectangle): Promise<void>;
  /** Frees everything but `image`. */
  release(): void;
}

/**
 * Enlarges `image` to the sizes of `geometry` as the model does. `rounding` is that of RCOD_S's colour reference;
 * RCOD_O's resizes round as Pillow does.
 */
export function enlargeSource(
  gpu: Gpu,
  image: SourceImage,
  geometry: Geometry,
  { degradation }: ModelConfigs,
  rounding: Rounding,
  keepsHidden = false,
): Promise<EnlargedSource> {
  return degradation
    ? enlargeBilinear(gpu, image, geometry, rounding, keepsHidden)
    : enlargeByPillow(gpu, image, geometry, keepsHidden);
}

/** Enlarges in 8 bits by the resizes of `geometry`; edges are repeated into the padding: RCOD_O. */
async function enlargeByPillow(
  gpu: Gpu,
  raw: SourceImage,
  { padded, prepare }: Geometry,
  keepsHidden: boolean,
): Promise<EnlargedSource> {
  let image = await packedSource(gpu, raw, { padded, keepsHidden });
  try {
    for (const { width, height, filter } of prepare) {
      const next = await resizeImage(gpu, image, width, height, filter);
      if (next !== image) gpu.memory.release(image.buffer);
      image = next;
    }
  } catch (error) {
    gpu.memory.release(image.buffer);
    throw error;
  }
  return {
    image,
    pixels: { ...image, type: "rgba8" },
    toTensor: (y, dtype, part) =>
      levelsToTensor(gpu, image, y, part, { dtype, scale: 2, offset: -1 }),
    release: () => undefined,
  };
}

/**
 * Enlarges by bilinear interpolation between pixel centres, in f32, and pads by reflection: RCOD_S. The vision
 * tower sees the padding too.
 */
export async function enlargeBilinear(
  gpu: Gpu,
  raw: SourceImage,
  { sourceWidth, sourceHeight, workWidth, workHeight }: Geometry,
  rounding: Rounding,
  keepsHidden = false,
): Promise<EnlargedSource> {
  const byteLength = activationByteLength([workHeight, workWidth, 3], "f32");
  const owned: GPUBuffer[] = [];
  try {
    const small: ResizeSource = {
      ...(await packedSource(gpu, raw, { keepsHidden })),
      type: "rgba8",
    };
    owned.push(small.buffer);
    const resize = (
      y: GPUBufferBinding,
      dtype: DType,
      { x: left, y: top, width, height }: Rectangle,
    ): Promise<void> => {
      const tableOf: AxisTable = (axis, inSize) => {
        const [sourceSize, size, from, count] =
          axis === "horizontal"
            ? [sourceWidth, workWidth, left, width]
            : [sourceHeight, workHeight, top, height];
        return tablePart(reflectedTable(triangleTable(inSize, sourceSize), size), from, count);
      };
      return resizeToTensor(gpu, small, y, { width, height, dtype, tableOf });
    };
    const x = gpu.memory.create("enlarged source", byteLength, "images");
    owned.push(x);
    await resize({ buffer: x }, "f32", { x: 0, y: 0, width: workWidth, height: workHeight });
    const image = createImage(gpu, "colour reference", sourceWidth, sourceHeight);
    owned.push(image.buffer);
    const source = { dtype: "f32", srcWidth: workWidth, srcHeight: workHeight, rounding } as const;
    await tensorToLevels(gpu, { buffer: x }, image, source);
    return {
      image,
      pixels: { buffer: x, width: workWidth, height: workHeight, type: "f32" },
      toTensor: resize,
      release() {
        for (const buffer of [small.buffer, x]) gpu.memory.release(buffer);
      },
    };
  } catch (error) {
    for (const buffer of owned) gpu.memory.release(buffer);
    throw error;
  }
}
