/** Image operators: Pillow's resizes (bit for bit), the antialiased resize of the visual prompt, colour fixes. */
import { uploadBytes } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import { readActivation } from "../../graph/read-activation.ts";
import type { PillowFilter } from "../../kernels/image/resample-weights.ts";
import { bilinearPasses, resizeF32 } from "../../kernels/image/resize-f32.ts";
import type { DeviceImage } from "../../rcod/images/image-ops.ts";
import {
  fixColors,
  readImage,
  resizeImage,
  tableBuffer,
  uploadImage,
} from "../../rcod/images/image-ops.ts";
import { toChannelsFirst } from "../runner/axis-order.ts";
import type { GoldenCase } from "../runner/golden-file.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseRunner } from "../runner/run-case.ts";
import { compareValues, readInput } from "../runner/run-case.ts";
import type { Session } from "../runner/session.ts";

/** An 8-bit image [H, W, C] on the device. */
async function uploadInput(
  { golden, session }: { golden: GoldenCase; session: Session },
  name: string,
): Promise<DeviceImage & { readonly channels: 3 | 4 }> {
  const { shape, data } = await golden.input(name);
  const [height = 1, width = 1, channels = 1] = shape;
  if (shape.length !== 3 || (channels !== 3 && channels !== 4)) {
    throw new GoldenError(
      `verify: images must be [H, W, 3] or [H, W, 4], got [${shape.join(", ")}] (${name})`,
    );
  }
  const image = uploadImage(session.gpu, { width, height, channels, data: Uint8Array.from(data) });
  return { ...image, channels };
}

/** The first `channels` of each RGBA8 pixel. */
async function downloadImage(
  session: Session,
  image: DeviceImage,
  channels: number,
): Promise<Uint8Array> {
  const rgba = await readImage(session.gpu, image);
  const out = new Uint8Array((rgba.length / 4) * channels);
  for (let i = 0; i < out.length; i++) {
    const pixel = Math.floor(i / channels);
    out[i] = rgba[pixel * 4 + (i - pixel * channels)] as number;
  }
  return out;
}

const pillowResize: CaseRunner = async ({ golden, session }) => {
  const { memory } = session.gpu;
  const filter = golden.parameters.text("filter");
  if (filter !== "bicubic" && filter !== "lanczos")
    golden.parameters.fail("filter", "must be bicubic or lanczos");
  const [height = 1, width = 1] = golden.shape("outputs/image");
  const image = await uploadInput({ golden, session }, "image");
  const resized = await resizeImage(session.gpu, image, width, height, filter as PillowFilter);
  try {
    const got = await downloadImage(session, resized, image.channels);
    return [await compareValues(golden, session.dtype, "image", got, { on: "maxAbs", value: 0 })];
  } finally {
    memory.release(image.buffer);
    memory.release(resized.buffer);
  }
};

/** `target` is the image whose colours are fixed, `source` gives the colours. */
const colorFix =
  (method: "adain" | "wavelet"): CaseRunner =>
  async ({ golden, session }) => {
    const source = await uploadInput({ golden, session }, "source");
    const decoded = await uploadInput({ golden, session }, "target");
    const fixed = await fixColors(session.gpu, source, decoded, method, "truncate");
    try {
      const got = await downloadImage(session, fixed, decoded.channels);
      const limit = {
        on: "maxAbs",
        value: golden.parameters.number("max_level_difference", 1),
      } as const;
      return [await compareValues(golden, session.dtype, "image", got, limit)];
    } finally {
      for (const { buffer } of [source, decoded, fixed]) session.gpu.memory.release(buffer);
    }
  };

/** Float source, as the metadata's fp32; the result in the precision's storage, as the token stage has it. */
const antialiasedBilinear: CaseRunner = async ({ golden, session }) => {
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
  const buffers = [
    gpu.memory.create("x", activationByteLength(x.shape, "f32"), "images"),
    gpu.memory.create(
      "between",
      activationByteLength([1, inHeight, width, channels], "f32"),
      "images",
    ),
    gpu.memory.create("y", activationByteLength(outShape, dtype), "images"),
  ] as const;
  try {
    uploadBytes(gpu, buffers[0], 0, packActivation(x.data, channels, "f32"));
    for (const [index, { problem, table }] of passes.entries()) {
      const starts = tableBuffer(gpu, table.starts);
      const weights = tableBuffer(gpu, table.weights);
      const operands = {
        src: buffers[index] as GPUBuffer,
        starts,
        weights,
        dst: buffers[index + 1] as GPUBuffer,
      };
      await runPlan(gpu, resizeF32.plan(problem, gpu.caps), operands);
      gpu.memory.release(starts);
      gpu.memory.release(weights);
    }
    const values = await readActivation(gpu, buffers[2], outShape, dtype);
    const got = toChannelsFirst(values, outShape);
    return [await compareValues(golden, dtype, "y", got)];
  } finally {
    for (const buffer of buffers) gpu.memory.release(buffer);
  }
};

/** By the `op` of a case. */
export const IMAGE_CASES: Readonly<Record<string, CaseRunner>> = {
  pillow_resize: pillowResize,
  antialiased_bilinear: antialiasedBilinear,
  adain_color_fix: colorFix("adain"),
  wavelet_color_fix: colorFix("wavelet"),
};
