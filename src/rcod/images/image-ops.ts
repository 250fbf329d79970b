/** Whole-image operations on the device, on packed RGBA8: upload, Pillow resizes, colour fixes, readback. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { submit } from "../../gpu/submit.ts";
import { copiedBuffer, filledBuffer, readBytes, uploadBytes } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { adainColorFix, waveletColorFix } from "../../kernels/image/color-fix.ts";
import type { Rounding } from "../../kernels/image/image-layout.ts";
import { imageByteLength } from "../../kernels/image/image-layout.ts";
import type { ImageToTensorProblem } from "../../kernels/image/image-to-tensor.ts";
import { imageToTensor } from "../../kernels/image/image-to-tensor.ts";
import { triangleTable } from "../../kernels/image/resample-weights.ts";
import type {
  AxisPart,
  PillowFilter,
  ResampleTable,
} from "../../kernels/image/resample-weights.ts";
import type { ResizeF32Problem } from "../../kernels/image/resize-f32.ts";
import { resizeF32 } from "../../kernels/image/resize-f32.ts";
import type { ResizePass } from "../../kernels/image/resize-u8.ts";
import { pillowPartPasses, pillowResizePasses, resizeU8 } from "../../kernels/image/resize-u8.ts";
import type { TensorToImageProblem } from "../../kernels/image/tensor-to-image.ts";
import { tensorToImage } from "../../kernels/image/tensor-to-image.ts";
import type { KernelPlan } from "../../kernels/kernel.ts";
import type { RawImage } from "../settings/options.ts";
import type { Rectangle, ReduceStep } from "./geometry.ts";
import { fillRgba8 } from "./host-pixels.ts";
import { depthOf } from "./raw-image.ts";

/** A packed RGBA8 image on the device. Whoever made it releases it. */
export interface DeviceImage {
  readonly buffer: GPUBuffer;
  readonly width: number;
  readonly height: number;
}

export function createImage(gpu: Gpu, label: string, width: number, height: number): DeviceImage {
  return {
    buffer: gpu.memory.create(label, imageByteLength(width, height), "images"),
    width,
    height,
  };
}

/** The same pixels in a buffer of their own. */
export function copyImage(gpu: Gpu, { buffer, width, height }: DeviceImage): DeviceImage {
  return {
    buffer: copiedBuffer(gpu, "source image", buffer, buffer.size, "images"),
    width,
    height,
  };
}

/** Fills a rectangle of `image`, by default all, with one of `x` [1, srcHeight, srcWidth, 3], colours in −1 … 1, as 8-bit levels. */
export function tensorToLevels(
  gpu: Gpu,
  x: GPUBufferBinding,
  { buffer, width, height }: DeviceImage,
  source: Pick<TensorToImageProblem, "srcWidth" | "srcHeight" | "dtype" | "rounding">,
  places: Pick<TensorToImageProblem, "srcX" | "srcY" | "dstX" | "dstY" | "width" | "height"> = {
    srcX: 0,
    srcY: 0,
    dstX: 0,
    dstY: 0,
    width,
    height,
  },
): Promise<void> {
  const problem = { ...source, ...places, dstWidth: width, dstHeight: height };
  return runPlan(gpu, tensorToImage.plan(problem, gpu.caps), { x, image: buffer });
}

/** A rectangle of an image as `y` [1, height, width, 3]: scale·(level/255) + offset, edges repeated beyond the image. */
export function levelsToTensor(
  gpu: Gpu,
  image: DeviceImage,
  y: GPUBufferBinding,
  { x: x0, y: y0, width, height }: Rectangle,
  target: Pick<ImageToTensorProblem, "dtype" | "scale" | "offset">,
): Promise<void> {
  const { buffer, width: imageWidth, height: imageHeight } = image;
  const problem = { ...target, imageWidth, imageHeight, x0, y0, width, height };
  return runPlan(gpu, imageToTensor.plan(problem, gpu.caps), { image: buffer, y });
}

/** Uploads as RGBA8: see `fillRgba8`. */
export function uploadImage(gpu: Gpu, image: RawImage): DeviceImage {
  const { width, height, channels, data } = image;
  const device = createImage(gpu, "source image", width, height);
  if (channels === 4 && depthOf(image) === 8) {
    uploadBytes(
      gpu,
      device.buffer,
      0,
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
    return device;
  }
  // Row by row: the widened copy of a large photo need not exist at once.
  const row = new Uint8Array(width * 4);
  for (let y = 0; y < height; y++) {
    fillRgba8(row, image, y * width);
    uploadBytes(gpu, device.buffer, y * width * 4, row);
  }
  return device;
}

/** Pillow's 8-bit resize, bit for bit. Returns a new image, or `image` itself when nothing changes. */
export async function resizeImage(
  gpu: Gpu,
  image: DeviceImage,
  width: number,
  height: number,
  filter: PillowFilter,
): Promise<DeviceImage> {
  return resampleImage(
    gpu,
    image,
    pillowResizePasses(image.width, image.height, width, height, filter),
  );
}

/** A part of Pillow's Lanczos of the whole, bit for bit. Returns a new image, or `image` itself when nothing changes. */
export async function reduceImage(
  gpu: Gpu,
  image: DeviceImage,
  { across, down }: ReduceStep,
): Promise<DeviceImage> {
  const [x, width] = keptOf(across, image.width);
  const [y, height] = keptOf(down, image.height);
  const isWhole = width === image.width && height === image.height;
  const kept = isWhole ? image : cropImage(gpu, image, { x, y, width, height });
  let reduced: DeviceImage | undefined;
  try {
    const passes = pillowPartPasses(width, height, across, down, "lanczos");
    reduced = await resampleImage(gpu, kept, passes);
    return reduced;
  } finally {
    if (kept !== image && kept !== reduced) gpu.memory.release(kept.buffer);
  }
}

/** What of an axis goes into its resize: where it keeps its size the part itself. */
const keptOf = (
  { wholeIn, wholeOut, inFrom, outFrom, outSize }: AxisPart,
  size: number,
): readonly [from: number, size: number] =>
  wholeIn === wholeOut ? [outFrom - inFrom, outSize] : [0, size];

async function resampleImage(
  gpu: Gpu,
  image: DeviceImage,
  passes: readonly ResizePass[],
): Promise<DeviceImage> {
  let current = image;
  for (const { problem, table } of passes) {
    const isHorizontal = problem.axis === "horizontal";
    const nextWidth = isHorizontal ? problem.outSize : current.width;
    const nextHeight = isHorizontal ? current.height : problem.outSize;
    let next: DeviceImage | undefined;
    try {
      next = createImage(gpu, "resized image", nextWidth, nextHeight);
      const plan = resizeU8.plan(problem, gpu.caps);
      await runResize(gpu, plan, table, { src: current.buffer, dst: next.buffer });
    } catch (error) {
      if (next) gpu.memory.release(next.buffer);
      throw error;
    } finally {
      if (current !== image) gpu.memory.release(current.buffer);
    }
    current = next;
  }
  return current;
}

/** Runs a resize with the table of its axis, which is on the device for that time only. */
async function runResize(
  gpu: Gpu,
  plan: KernelPlan,
  { starts, weights }: Pick<ResampleTable<Table>, "starts" | "weights">,
  operands: Readonly<Record<"src" | "dst", GPUBuffer | GPUBufferBinding>>,
): Promise<void> {
  const tables: GPUBuffer[] = [];
  try {
    for (const table of [starts, weights]) tables.push(tableBuffer(gpu, table));
    const [startTable, weightTable] = tables as [GPUBuffer, GPUBuffer];
    await runPlan(gpu, plan, { ...operands, starts: startTable, weights: weightTable });
  } finally {
    for (const table of tables) gpu.memory.release(table);
  }
}

/** Colours that `resizeToTensor` reads: a packed image, or an f32 map [1, height, width, 3] in −1 … 1. */
export interface ResizeSource extends DeviceImage {
  readonly type: "rgba8" | "f32";
}

/** The table of an axis; by default antialiased bilinear. */
export type AxisTable = (
  axis: ResizeF32Problem["axis"],
  inSize: number,
  outSize: number,
) => ResampleTable<Float32Array<ArrayBuffer>>;

/**
 * PyTorch's antialiased bilinear resize of the colours, in −1 … 1, to a tensor [1, height, width, 3] in `dst`.
 * The longer side goes first, so that the f32 map in between stays small for any shape of image.
 */
export async function resizeToTensor(
  gpu: Gpu,
  image: ResizeSource,
  dst: GPUBufferBinding,
  {
    width,
    height,
    dtype,
    tableOf = (_, inSize, outSize) => triangleTable(inSize, outSize),
  }: {
    readonly width: number;
    readonly height: number;
    readonly dtype: DType;
    readonly tableOf?: AxisTable;
  },
): Promise<void> {
  const pass = (
    axis: ResizeF32Problem["axis"],
    src: ResizeSource,
    out: GPUBufferBinding,
    dstDType: DType,
  ): Promise<void> => {
    const [inSize, outSize] = axis === "horizontal" ? [src.width, width] : [src.height, height];
    const table = tableOf(axis, inSize, outSize);
    const plan = resizeF32.plan(
      {
        srcType: src.type,
        dstDType,
        width: src.width,
        height: src.height,
        axis,
        channels: 3,
        outSize,
        taps: table.taps,
      },
      gpu.caps,
    );
    return runResize(gpu, plan, table, { src: src.buffer, dst: out });
  };
  const isWide = image.width >= image.height;
  const size = isWide ? { width, height: image.height } : { width: image.width, height };
  const buffer = gpu.memory.create("half-resized image", size.width * size.height * 16, "images");
  try {
    await pass(isWide ? "horizontal" : "vertical", image, { buffer }, "f32");
    await pass(isWide ? "vertical" : "horizontal", { ...size, buffer, type: "f32" }, dst, dtype);
  } finally {
    gpu.memory.release(buffer);
  }
}

type Table = Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** A small lookup table on the device. */
export function tableBuffer(gpu: Gpu, table: Table): GPUBuffer {
  const { buffer, byteOffset, byteLength } = table;
  return filledBuffer(gpu, "table", new Uint8Array(buffer, byteOffset, byteLength), "params");
}

/** The pixels of a rectangle as a new image. */
export function cropImage(
  gpu: Gpu,
  image: DeviceImage,
  { x, y, width, height }: Rectangle,
): DeviceImage {
  const out = createImage(gpu, "cropped image", width, height);
  submit(gpu, "crop", (encoder) => {
    for (let row = 0; row < height; row++) {
      const offset = ((y + row) * image.width + x) * 4;
      encoder.copyBufferToBuffer(image.buffer, offset, out.buffer, row * width * 4, width * 4);
    }
  });
  return out;
}

/** Gives `decoded` the colours of `source` (same size); a new image. */
export async function fixColors(
  gpu: Gpu,
  source: DeviceImage,
  decoded: DeviceImage,
  method: "adain" | "wavelet",
  rounding: Rounding,
): Promise<DeviceImage> {
  const { width, height } = decoded;
  const plan =
    method === "adain"
      ? adainColorFix.plan({ pixels: width * height, rounding }, gpu.caps)
      : waveletColorFix.plan({ width, height, rounding }, gpu.caps);
  const result = createImage(gpu, "colour-fixed image", width, height);
  try {
    await runPlan(gpu, plan, {
      source: source.buffer,
      decoded: decoded.buffer,
      result: result.buffer,
    });
    return result;
  } catch (error) {
    gpu.memory.release(result.buffer);
    throw error;
  }
}

/** RGBA8 pixels on the host. */
export async function readImage(gpu: Gpu, image: DeviceImage): Promise<Uint8Array<ArrayBuffer>> {
  return readBytes(gpu, image.buffer, 0, imageByteLength(image.width, image.height));
}
