/** One upscale with everything looked at: from the session's picture to what the page draws. */
import type { Inspection } from "rcod-webgpu";
import type { InsideArgs, InsideRecord } from "../tabs/inside/record.ts";
import { captureView } from "./inside/capture-view.ts";
import { defaultCaptures } from "./inside/default-captures.ts";
import type { CommandContext } from "./session.ts";

/** Queries and keys go to the page as they are: it computes maps for whatever place is pointed at. */
const ATTENTION_OPERAND = /\.[qk]$/;

export async function inside(
  { realism, captures, maxSide }: InsideArgs,
  { session, signal, onProgress }: CommandContext,
): Promise<InsideRecord> {
  await session.readImage();
  const { model, image } = session;
  if (!model || !image) throw new Error("internal: inside before loadModel and openImage");
  const source = middle(image, maxSide);
  const names = captures === "default" ? defaultCaptures(model.modules()) : captures;
  const result = await model.upscale(source, {
    realism,
    inspect: { passes: true, captures: names },
    reuse: false,
    signal,
    onProgress,
  });
  const { inspection, timestep, predictedMetric } = result;
  if (!inspection) throw new Error("internal: an inspected call without an inspection");
  const { alpha, thresholds, timesteps } = model.configs.rcod;
  const { width, height, data } = source;
  return {
    source: { width, height, rgba: data },
    latentFactor: 2 ** (model.configs.vae.blockOutChannels.length - 1),
    timestep,
    alpha,
    passes: inspection.passes ?? null,
    networks: model.plan({ width, height }).networks,
    ...splitCaptures(inspection, width / height),
    choice: {
      metric: predictedMetric ?? null,
      isPredictable: model.supportsAuto,
      thresholds,
      timesteps,
    },
    modules: model.modules(),
  };
}

function splitCaptures(
  { captures }: Inspection,
  aspect: number,
): Pick<InsideRecord, "captures" | "attention"> {
  const all = Object.entries(captures);
  return {
    attention: Object.fromEntries(all.filter(([name]) => ATTENTION_OPERAND.test(name))),
    captures: all
      .filter(([name]) => !ATTENTION_OPERAND.test(name))
      .map(([name, capture]) => captureView({ name, ...capture }, aspect)),
  };
}

/** The square or rectangle in the middle with sides of at most `maxSide`. */
function middle(image: ImageData, maxSide: number): ImageData {
  const [width, height] = [Math.min(image.width, maxSide), Math.min(image.height, maxSide)];
  if (width === image.width && height === image.height) return image;
  const left = (image.width - width) >> 1;
  const top = (image.height - height) >> 1;
  const cut = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    const from = 4 * ((top + y) * image.width + left);
    cut.data.set(image.data.subarray(from, from + 4 * width), 4 * y * width);
  }
  return cut;
}
