/** Image operators: Pillow's resizes (bit for bit), the antialiased resize of the visual prompt, colour fixes, kernels. */
import { runPlan } from "../../graph/execution/run-plan.ts";
import { readActivation } from "../../graph/read-activation.ts";
import { crop } from "../../kernels/image/crop.ts";
import { hiddenColors } from "../../kernels/image/hidden-colors.ts";
import { imageToTensor } from "../../kernels/image/image-to-tensor.ts";
import { keepFlat } from "../../kernels/image/keep-flat.ts";
import { padEdges } from "../../kernels/image/pad-edges.ts";
import { replaceAlpha } from "../../kernels/image/replace-alpha.ts";
import { bilinearPasses, resizeF32 } from "../../kernels/image/resize-f32.ts";
import type { DeviceImage } from "../../rcod/images/image-ops.ts";
import {
  createImage,
  fixColors,
  readImage,
  resizeImage,
  tableBuffer,
  tensorToLevels,
  uploadImage,
} from "../../rcod/images/image-ops.ts";
import { toChannelsFirst } from "../runner/axis-order.ts";
import { EXACT } from "../runner/compare.ts";
import type { OutputResult } from "../runner/compare.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import { compareValues, readInput } from "../runner/run-case.ts";
import type { Scratch } from "../runner/scratch.ts";
import { withScratch } from "../runner/scratch.ts";

/** A case on the buffers of a scratch. */
const scratchCase =
  (use: (run: CaseRun, scratch: Scratch) => Promise<OutputResult>): CaseRunner =>
  async (run) =>
    withScratch(run.session.gpu, async (scratch) => [await use(run, scratch)]);

/** An input [H, W, 3] or [H, W, 4] in 8 bits, on the device. */
async function uploadInput(
  { golden, session }: CaseRun,
  scratch: Scratch,
  name: string,
): Promise<DeviceImage & { readonly channels: 3 | 4 }> {
  const { shape, data } = await golden.input(name);
  const [height = 1, width = 1, channels = 1] = shape;
  if (shape.length !== 3 || (channels !== 3 && channels !== 4)) {
    throw new GoldenError(
      `verify: images must be [H, W, 3] or [H, W, 4], got [${shape.join(", ")}] (${name})`,
    );
  }
  const raw = { width, height, channels, data: Uint8Array.from(data) } as const;
  return { ...scratch.keep(uploadImage(session.gpu, raw)), channels };
}

/** Compares the first channels of each RGBA8 pixel with output `image`, as many as that has. */
async function compareImage(
  { golden, session }: CaseRun,
  image: DeviceImage,
  maxLevelDifference: number,
): Promise<OutputResult> {
  const channels = golden.shape("outputs/image")[2] ?? 4;
  const rgba = await readImage(session.gpu, image);
  const got = rgba.filter((_, i) => i % 4 < channels);
  const limit = { on: "maxAbs", value: maxLevelDifference } as const;
  return compareValues(golden, session.dtype, "image", got, limit);
}

const pillowResize = scratchCase(async (run, scratch) => {
  const { golden, session } = run;
  const filter = golden.parameters.text("filter");
  if (filter !== "bicubic" && filter !== "lanczos") {
    return golden.parameters.fail("filter", "must be bicubic or lanczos");
  }
  const [height = 1, width = 1] = golden.shape("outputs/image");
  const image = await uploadInput(run, scratch, "image");
  const resized = await resizeImage(session.gpu, image, width, height, filter);
  return compareImage(run, scratch.keep(resized), 0);
});

/** `target` is the image whose colours are fixed, `source` gives the colours. */
const colorFix = (method: "adain" | "wavelet"): CaseRunner =>
  scratchCase(async (run, scratch) => {
    const { golden, session } = run;
    const source = await uploadInput(run, scratch, "source");
    const decoded = await uploadInput(run, scratch, "target");
    const fixed = await fixColors(session.gpu, source, decoded, method, "truncate");
    const limit = golden.parameters.number("max_level_difference", 1);
    return compareImage(run, scratch.keep(fixed), limit);
  });

/** Float source, as the metadata's fp32; the result in the precision's storage, as the token stage has it. */
const antialiasedBilinear = scratchCase(async ({ golden, session }, scratch) => {
  const { gpu, dtype } = session;
  const x = await readInput(golden, "x");
  const [, inHeight = 1, inWidth = 1, channels = 1] = x.shape;
  const [, , height = 1, width = 1] = golden.shape("outputs/y");
  const passes = bilinearPasses(
    { srcType: "f32", width: inWidth, height: inHeight },
    { dstDType: dtype, width, height },
    channels,
  );
  const outShape = [1, height, width, channels];
  const maps = [
    scratch.activation(x.shape, "f32", x.data),
    scratch.activation([1, inHeight, width, channels], "f32"),
    scratch.activation(outShape, dtype),
  ] as const;
  for (const [index, { problem, table }] of passes.entries()) {
    await runPlan(gpu, resizeF32.plan(problem, gpu.caps), {
      src: maps[index] as GPUBuffer,
      starts: scratch.keep({ buffer: tableBuffer(gpu, table.starts) }),
      weights: scratch.keep({ buffer: tableBuffer(gpu, table.weights) }),
      dst: maps[index + 1] as GPUBuffer,
    });
  }
  const values = await readActivation(gpu, maps[2], outShape, dtype);
  return compareValues(golden, dtype, "y", toChannelsFirst(values, outShape));
});

/** A rectangle of an image, `x0` and `y0` its first pixel, as colours in −1 … 1. */
const imageTensor = scratchCase(async (run, scratch) => {
  const { golden, session } = run;
  const { gpu, dtype } = session;
  const image = await uploadInput(run, scratch, "image");
  const [, , height = 1, width = 1] = golden.shape("outputs/y");
  const shape = [1, height, width, 3];
  const y = scratch.activation(shape, dtype);
  const plan = imageToTensor.plan(
    {
      dtype,
      imageWidth: image.width,
      imageHeight: image.height,
      x0: golden.parameters.number("x0"),
      y0: golden.parameters.number("y0"),
      width,
      height,
      scale: 2,
      offset: -1,
    },
    gpu.caps,
  );
  await runPlan(gpu, plan, { image: image.buffer, y });
  const got = toChannelsFirst(await readActivation(gpu, y, shape, dtype), shape);
  return compareValues(golden, dtype, "y", got);
});

/** Colours in −1 … 1 as truncated levels. */
const tensorImage = scratchCase(async (run, scratch) => {
  const { golden, session } = run;
  const { gpu, dtype } = session;
  const x = await readInput(golden, "x");
  const [, srcHeight = 1, srcWidth = 1] = x.shape;
  const image = scratch.keep(createImage(gpu, "image", srcWidth, srcHeight));
  const source = { srcWidth, srcHeight, dtype, rounding: "truncate" } as const;
  await tensorToLevels(gpu, { buffer: scratch.activation(x.shape, dtype, x.data) }, image, source);
  return compareImage(run, image, golden.parameters.number("max_level_difference"));
});

const alphaOf = scratchCase(async (run, scratch) => {
  const { gpu } = run.session;
  const image = await uploadInput(run, scratch, "image");
  const alpha = await uploadInput(run, scratch, "alpha");
  const plan = replaceAlpha.plan({ pixels: image.width * image.height }, gpu.caps);
  await runPlan(gpu, plan, { image: image.buffer, alpha: alpha.buffer });
  return compareImage(run, image, 0);
});

/** Colours of pixels of alpha 0; f32 may round a half the other way. */
const hidden = scratchCase(async (run, scratch) => {
  const { gpu } = run.session;
  const image = await uploadInput(run, scratch, "image");
  await runPlan(gpu, hiddenColors.plan(image, gpu.caps), { image: image.buffer });
  return compareImage(run, image, 1);
});

/** An image at (`x0`, `y0`) of a larger one. */
const paddedImage = scratchCase(async (run, scratch) => {
  const { gpu } = run.session;
  const { golden } = run;
  const image = await uploadInput(run, scratch, "image");
  const [height = 1, width = 1] = golden.shape("outputs/image");
  const out = scratch.keep(createImage(gpu, "padded image", width, height));
  const [left, top] = [golden.parameters.number("x0"), golden.parameters.number("y0")];
  const sizes = { srcWidth: image.width, srcHeight: image.height, left, top, width, height };
  const operands = { src: image.buffer, dst: out.buffer };
  await runPlan(gpu, padEdges.plan(sizes, gpu.caps), operands);
  return compareImage(run, out, 0);
});

const flatAreas = scratchCase(async (run, scratch) => {
  const { gpu } = run.session;
  const source = await uploadInput(run, scratch, "source");
  const image = await uploadInput(run, scratch, "image");
  const { width, height } = source;
  const plan = keepFlat.plan({ width, height, scale: image.width / width }, gpu.caps);
  await runPlan(gpu, plan, { source: source.buffer, image: image.buffer });
  return compareImage(run, image, 0);
});

/** A rectangle of a map, `x0` and `y0` its first pixel, bit for bit. */
const cutOut = scratchCase(async ({ golden, session }, scratch) => {
  const { gpu, dtype } = session;
  const x = await readInput(golden, "x");
  const [, srcHeight = 1, srcWidth = 1, channels = 1] = x.shape;
  const [, , height = 1, width = 1] = golden.shape("outputs/y");
  const shape = [1, height, width, channels];
  const dst = scratch.activation(shape, dtype);
  const [srcX, srcY] = [golden.parameters.number("x0"), golden.parameters.number("y0")];
  const from = { channels, srcWidth, srcHeight, srcX, srcY, width, height };
  const to = { dtype, dstWidth: width, dstHeight: height, dstX: 0, dstY: 0 };
  await runPlan(gpu, crop.plan({ ...from, ...to }, gpu.caps), {
    src: scratch.activation(x.shape, dtype, x.data),
    dst,
  });
  const got = toChannelsFirst(await readActivation(gpu, dst, shape, dtype), shape);
  return compareValues(golden, dtype, "y", got, EXACT);
});

/** By the `op` of a case. */
export const IMAGE_CASES: Readonly<Record<string, CaseRunner>> = {
  pillow_resize: pillowResize,
  antialiased_bilinear: antialiasedBilinear,
  adain_color_fix: colorFix("adain"),
  wavelet_color_fix: colorFix("wavelet"),
  image_to_tensor: imageTensor,
  tensor_to_image: tensorImage,
  replace_alpha: alphaOf,
  hidden_colors: hidden,
  pad_edges: paddedImage,
  keep_flat: flatAreas,
  crop: cutOut,
};
