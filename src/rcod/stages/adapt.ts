/** RCOD_S: estimates how an image is degraded, and merges the LoRA of encoder and UNet for it. */
import { packActivation } from "../../graph/pack-activation.ts";
import type { RunOptions } from "../../graph/program.ts";
import { levelsToTensor } from "../images/image-ops.ts";
import type { SourceImage } from "../images/source-image.ts";
import { packedSource } from "../images/source-image.ts";
import { degreesOfLogits } from "../networks/de-resnet.ts";
import { DEGRADATION_DTYPE, estimatorGraph, modulationGraph } from "../networks/degradation.ts";
import { blockCounts, fourierEmbedding, repeatRows } from "../networks/modulation.ts";
import { LORA_PARTS } from "../settings/degradation-config.ts";
import type { StageContext } from "./context.ts";

/** What the degradation estimator says of an image. */
export interface Degradation {
  /** Scores in 0 … 1. */
  readonly degrees: readonly number[];
  /** The predicted latent metric M_L ≥ 0, where the model has the module for it. */
  readonly metric?: number;
}

/** Estimates how `image` is degraded, and merges for it. */
export async function adaptToImage(
  context: StageContext,
  image: SourceImage,
  options: RunOptions,
  keepsHidden = false,
): Promise<Degradation> {
  const degradation = await estimateDegradation(context, image, options, keepsHidden);
  await mergeFor(context, degradation.degrees, options.signal);
  return degradation;
}

/** Estimates how the low-resolution `image` is degraded. */
export async function estimateDegradation(
  context: StageContext,
  image: SourceImage,
  options: RunOptions,
  keepsHidden = false,
): Promise<Degradation> {
  const { gpu, programs } = context;
  const { config } = degradationOf(context);
  const { width, height } = image;
  const { signal } = options;
  await programs.enter("degradation", { signal });
  const estimator = await programs.get({
    key: `degradation ${height}x${width}`,
    part: "degradation",
    build: () => estimatorGraph(config, height, width),
  });
  const source = await packedSource(gpu, image, { keepsHidden });
  try {
    const target = { dtype: DEGRADATION_DTYPE, scale: 1, offset: 0 } as const; // not the encoder's −1 … 1
    const all = { x: 0, y: 0, width, height };
    await levelsToTensor(gpu, source, estimator.input("image"), all, target);
  } finally {
    gpu.memory.release(source.buffer);
  }
  await programs.run(estimator, {}, options);
  const degrees = degreesOfLogits((await estimator.read("logits")).data);
  const metric = config.hasMem ? (await estimator.read("metric")).data[0] : undefined;
  return { degrees, ...(metric !== undefined && { metric }) };
}

/**
 * Merges the LoRA of encoder and UNet for an image of these scores. The merge for the image before is lost, also after an
 * abort. In low memory each part is merged when it is loaded.
 */
export async function mergeFor(
  context: StageContext,
  degrees: readonly number[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const { configs, programs } = context;
  const { config, tables } = degradationOf(context);
  await programs.enter("degradation", { signal });
  const blocks = blockCounts(configs);
  const embedding = fourierEmbedding(degrees, tables.w);
  const pack = (values: Float32Array, channels: number): Uint8Array =>
    packActivation(values, channels, DEGRADATION_DTYPE);
  const modulation = await programs.get({
    key: "modulation",
    part: "degradation",
    build: () => modulationGraph(config, blocks),
  });
  await programs.run(
    modulation,
    Object.fromEntries(
      LORA_PARTS.flatMap((part) => [
        [`${part}_embedding`, pack(repeatRows(embedding, blocks[part]), embedding.length)],
        [`${part}_blocks`, pack(tables.blocks[part], config.blockEmbedding)],
      ]),
    ),
    { signal },
  );
  for (const part of LORA_PARTS) await programs.modulate(modulation, part, signal);
}

function degradationOf({ configs, weights }: StageContext) {
  const { degradation: config } = configs;
  const { tables } = weights;
  if (config === null || tables === undefined) throw new Error("internal: not RCOD_S");
  return { config, tables };
}
