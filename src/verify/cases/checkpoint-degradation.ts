/** RCOD_S's own steps of a model in checkpoint files: what is estimated of the image, and how it is enlarged. */
import { WeightScope } from "../../graph/ir/builder.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import type { HostTensor } from "../../graph/program.ts";
import { readActivation } from "../../graph/read-activation.ts";
import { enlargeBilinear } from "../../rcod/images/enlarged-source.ts";
import { paddedGeometry } from "../../rcod/images/geometry.ts";
import { resizeToTensor } from "../../rcod/images/image-ops.ts";
import { deResNet, degreesOfLogits } from "../../rcod/networks/de-resnet.ts";
import { metricOfFeatures } from "../../rcod/networks/degradation.ts";
import {
  fourierEmbedding,
  modulationMatrices,
  repeatRows,
} from "../../rcod/networks/modulation.ts";
import type { LoraPart } from "../../rcod/settings/degradation-config.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseRun } from "../runner/run-case.ts";
import { readInput } from "../runner/run-case.ts";
import type { CaseModel } from "./checkpoint-model.ts";

const ROOT = new WeightScope();
/** RCOD_S's working image has sides that are multiples of this. */
const RCOD_S_MULTIPLE = 64;

/** RCOD_S: `degrees`, `features`, `m_l` of the low-resolution image, and the modulation matrices of each part. */
export async function degradationOf(
  { golden, session }: CaseRun,
  { configs, open, weights }: CaseModel,
): Promise<{
  readonly degradation: Readonly<Record<string, HostTensor>>;
  readonly matrices: Readonly<Record<LoraPart, HostTensor>>;
}> {
  const { degradation: config } = configs;
  if (config === null || open.checkpoint === null) {
    throw new GoldenError(`verify: the checkpoint is not RCOD_S's (${golden.file.name})`);
  }
  const image = await readInput(golden, "x_lr");
  const { logits, ...degradation } = await session.run({
    weights: weights("degradation"),
    build(g) {
      const net = deResNet(g, ROOT, g.input("image", image.shape), config.estimator);
      g.output("logits", net.logits);
      g.output("features", net.features);
      g.output("m_l", metricOfFeatures(g, ROOT, net.features));
    },
    inputs: { image: image.data },
  });
  if (logits === undefined) throw new Error("internal: no result");
  const degrees = degreesOfLogits(logits.data);
  const tables = await open.checkpoint.readTables(session.signal);
  const embedding = fourierEmbedding(degrees, tables.w);
  const matricesOf = async (part: LoraPart): Promise<HostTensor> => {
    const blocks = tables.blocks[part].length / config.blockEmbedding;
    const { matrices } = await session.run({
      weights: weights("degradation"),
      build(g) {
        const inputs = {
          embedding: g.input("embedding", [blocks, embedding.length]),
          blocks: g.input("blocks", [blocks, config.blockEmbedding]),
        };
        g.output("matrices", modulationMatrices(g, ROOT, part, inputs, config.ranks[part]));
      },
      inputs: { embedding: repeatRows(embedding, blocks), blocks: tables.blocks[part] },
    });
    return matrices as HostTensor;
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
export async function enlarge(
  { golden, session: { gpu, dtype } }: CaseRun,
  { configs }: CaseModel,
): Promise<{ readonly x: HostTensor; readonly clip: HostTensor }> {
  const image = await golden.input("image_u8_hwc");
  const [height = 1, width = 1] = image.shape;
  const { upscale } = configs.rcod;
  const geometry = paddedGeometry(width, height, { upscale, multiple: RCOD_S_MULTIPLE });
  const raw = { width, height, channels: 3, data: Uint8Array.from(image.data) } as const;
  const source = await enlargeBilinear(gpu, raw, geometry, "truncate");
  const read = async (
    shape: readonly number[],
    fill: (y: GPUBufferBinding) => Promise<void>,
  ): Promise<HostTensor> => {
    const buffer = gpu.memory.create("input", activationByteLength(shape, dtype), "images");
    try {
      await fill({ buffer });
      const data = await readActivation(gpu, buffer, shape, dtype);
      return { shape, data: Float32Array.from(data) };
    } finally {
      gpu.memory.release(buffer);
    }
  };
  try {
    const side = configs.clip.imageSize;
    const x = await read([1, geometry.workHeight, geometry.workWidth, 3], (y) =>
      source.toTensor(y, dtype),
    );
    const clip = await read([1, side, side, 3], (y) =>
      resizeToTensor(gpu, source.pixels, y, { width: side, height: side, dtype }),
    );
    return { x, clip };
  } finally {
    gpu.memory.release(source.image.buffer);
    source.release();
  }
}
