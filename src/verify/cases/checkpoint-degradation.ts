/** RCOD_S's own steps of a model in checkpoint files: what is estimated of the image, and how it is enlarged. */
import { WeightScope } from "../../graph/ir/builder.ts";
import type { HostTensor } from "../../graph/program.ts";
import { readActivation } from "../../graph/read-activation.ts";
import { resizeToTensor } from "../../rcod/images/image-ops.ts";
import { deResNet, degreesOfLogits } from "../../rcod/networks/de-resnet.ts";
import { metricOfFeatures } from "../../rcod/networks/degradation.ts";
import { fourierEmbedding } from "../../rcod/networks/modulation.ts";
import type { LoraPart } from "../../rcod/settings/degradation-config.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseRun } from "../runner/run-case.ts";
import { readInput } from "../runner/run-case.ts";
import { withScratch } from "../runner/scratch.ts";
import type { CaseModel } from "./checkpoint-model.ts";
import { enlargedInput, matricesOfPart } from "./rcod-s-cases.ts";

const ROOT = new WeightScope();

/** RCOD_S: `degrees`, `features`, `m_l` of the low-resolution image, and the modulation matrices of each part. */
export async function degradationOf(
  { golden, session }: CaseRun,
  { configs, open, weights }: CaseModel,
): Promise<{
  readonly degradation: Readonly<Record<string, HostTensor>>;
  readonly matrices: Readonly<Record<LoraPart, Float32Array>>;
}> {
  const { degradation: config } = configs;
  if (config === null || open.checkpoint === null) {
    throw new GoldenError(`verify: the checkpoint is not RCOD_S's (${golden.file.name})`);
  }
  const image = await readInput(golden, "x_lr");
  const { logits, ...degradation } = await session.run<"logits" | "features" | "m_l">({
    weights: weights("degradation"),
    build(g) {
      const net = deResNet(g, ROOT, g.input("image", image.shape), config.estimator);
      g.output("logits", net.logits);
      g.output("features", net.features);
      g.output("m_l", metricOfFeatures(g, ROOT, net.features));
    },
    inputs: { image: image.data },
  });
  const degrees = degreesOfLogits(logits.data);
  const tables = await open.checkpoint.readTables(session.signal);
  const embedding = fourierEmbedding(degrees, tables.w);
  const matricesOf = (part: LoraPart): Promise<Float32Array> => {
    const data = tables.blocks[part];
    const shape = [data.length / config.blockEmbedding, config.blockEmbedding];
    const [set, rank] = [weights("degradation"), config.ranks[part]];
    return matricesOfPart(session, set, part, embedding, { shape, data }, rank);
  };
  return {
    degradation: {
      ...degradation,
      degrees: { shape: logits.shape, data: Float32Array.from(degrees) },
    },
    matrices: { vae: await matricesOf("vae"), unet: await matricesOf("unet") },
  };
}

/** RCOD_S: the encoder's input `x` and the vision tower's, from the 8-bit image. */
export function enlarge(
  { golden, session }: CaseRun,
  { configs }: CaseModel,
): Promise<{ readonly x: HostTensor; readonly clip: HostTensor }> {
  const { gpu, dtype } = session;
  return withScratch(gpu, async (scratch) => {
    const { upscale } = configs.rcod;
    const { source, shape, x } = await enlargedInput(golden, session, upscale, scratch);
    const side = configs.clip.imageSize;
    const clipShape = [1, side, side, 3];
    const buffer = scratch.activation(clipShape, dtype);
    await resizeToTensor(gpu, source.pixels, { buffer }, { width: side, height: side, dtype });
    const clip = await readActivation(gpu, buffer, clipShape, dtype);
    return { x: { shape, data: x }, clip: { shape: clipShape, data: clip } };
  });
}
