/** RCOD_S: degradation estimator, modulation, metric and timestep tables, preprocessing. */
import { uploadBytes } from "../../gpu/transfer.ts";
import { WeightScope } from "../../graph/ir/builder.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import { readActivation } from "../../graph/read-activation.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import { enlargeBilinear } from "../../rcod/images/enlarged-source.ts";
import { paddedGeometry } from "../../rcod/images/geometry.ts";
import { withChannels } from "../../rcod/images/host-pixels.ts";
import { readImage } from "../../rcod/images/image-ops.ts";
import { deResNet, degreesOfLogits } from "../../rcod/networks/de-resnet.ts";
import { metricOfFeatures } from "../../rcod/networks/degradation.ts";
import {
  fourierEmbedding,
  modulationMatrices,
  repeatRows,
} from "../../rcod/networks/modulation.ts";
import type { LoraPart } from "../../rcod/settings/degradation-config.ts";
import { LATENT_GROUPS, timestepOfGroups } from "../../rcod/settings/latent-groups.ts";
import { toChannelsFirst } from "../runner/axis-order.ts";
import { EXACT } from "../runner/compare.ts";
import type { GoldenCase, GoldenTensor } from "../runner/golden-file.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import {
  caseWeights,
  compareResults,
  compareValues,
  networkWeights,
  readInput,
  runGraph,
} from "../runner/run-case.ts";
import type { Scratch } from "../runner/scratch.ts";
import { withScratch } from "../runner/scratch.ts";
import type { Session, WeightSet } from "../runner/session.ts";
import { compareMerged, runLayer } from "./lora-op-cases.ts";

const ROOT = new WeightScope();
/** Hidden layer of a score in every DEResNet. */
const SCORE_HIDDEN = 512;

const estimator: CaseRunner = async ({ golden, session }) => {
  const { parameters } = golden;
  const feats = parameters.numbers("num_feats");
  const [width = 1, second, third, outWidth = 1] = feats;
  if (feats.length !== 4 || second !== width || third !== width) {
    parameters.fail("num_feats", "must be three equal widths and a last one");
  }
  const x = await readInput(golden, "x");
  const { logits, features } = await session.run<"logits" | "features">({
    weights: networkWeights(golden, `DEResNet ${feats.join()}`),
    build(g) {
      const config = { width, outWidth, hidden: SCORE_HIDDEN };
      const net = deResNet(g, ROOT, g.input("x", x.shape), config);
      g.output("logits", net.logits);
      g.output("features", net.features);
    },
    inputs: { x: x.data },
  });
  return compareResults(golden, session.dtype, {
    degrees: { shape: logits.shape, data: Float32Array.from(degreesOfLogits(logits.data)) },
    features,
  });
};

/** Inputs that a file's cases share under the name of a case without outputs. */
export function sharedInputs({ golden }: Pick<CaseRun, "golden">, name: string): GoldenCase {
  const shared = golden.file.cases.find((other) => other.name === name);
  if (shared === undefined) {
    throw new GoldenError(`verify: case "${name}" is missing (${golden.file.name})`);
  }
  return shared;
}

/** Embedding of a case's scores, and the modulation matrices [blocks, rank²] of each part. */
export async function runModulation(
  run: CaseRun,
  ranks: Readonly<Record<LoraPart, number>>,
): Promise<{
  readonly embedding: Float32Array;
  readonly matrices: Readonly<Record<LoraPart, Float32Array>>;
}> {
  const { golden, session } = run;
  const common = sharedInputs(run, "modulation_common");
  const degrees = (await golden.input("deg_score")).data;
  const embedding = fourierEmbedding([...degrees], (await common.input("w")).data);
  const matricesOf = async (part: LoraPart): Promise<Float32Array> => {
    const blocks = await common.input(`${part}_block`);
    const weights = networkWeights(golden, `modulation ${part}`);
    return matricesOfPart(session, weights, part, embedding, blocks, ranks[part]);
  };
  return { embedding, matrices: { vae: await matricesOf("vae"), unet: await matricesOf("unet") } };
}

/** The modulation matrices [blocks, rank²] of a part, from the embeddings of its `blocks` [blocks, E]. */
export async function matricesOfPart(
  session: Session,
  weights: WeightSet,
  part: LoraPart,
  embedding: Float32Array,
  blocks: GoldenTensor,
  rank: number,
): Promise<Float32Array> {
  const [count = 1] = blocks.shape;
  const { matrices } = await session.run<"matrices">({
    weights,
    build(g) {
      const inputs = {
        embedding: g.input("embedding", [count, embedding.length]),
        blocks: g.input("blocks", blocks.shape),
      };
      g.output("matrices", modulationMatrices(g, ROOT, part, inputs, rank));
    },
    inputs: { embedding: repeatRows(embedding, count), blocks: blocks.data },
  });
  return matrices.data;
}

const modulation: CaseRunner = async (run) => {
  const { golden, session } = run;
  const side = (part: LoraPart): number => golden.shape(`outputs/m_${part}`)[2] ?? 1;
  const { embedding, matrices } = await runModulation(run, {
    vae: side("vae"),
    unet: side("unet"),
  });
  return [
    await compareValues(golden, session.dtype, "embedding", embedding),
    await compareValues(golden, session.dtype, "m_vae", matrices.vae),
    await compareValues(golden, session.dtype, "m_unet", matrices.unet),
  ];
};

/** Merges modulated updates with `matrices` [blocks, rank²] after loading. */
export function modulateWith(
  session: Session,
  matrices: Float32Array,
  rank: number,
): NonNullable<WeightSet["prepare"]> {
  return async (device: DeviceWeights) => {
    const bytes = packActivation(matrices, rank * rank, "f32");
    const buffer = session.gpu.memory.create("modulation", bytes.byteLength, "staging");
    try {
      uploadBytes(session.gpu, buffer, 0, bytes);
      await device.modulate(buffer, session.signal ? { signal: session.signal } : {});
    } finally {
      session.gpu.memory.release(buffer);
    }
  };
}

/** A layer whose LoRA is modulated by `m`: the merged weight, and the layer on it. */
const modulatedLayer: CaseRunner = async (run) => {
  const { golden, session } = run;
  const { parameters } = golden;
  const rank = parameters.number("r");
  const m = await golden.input("m");
  const weights: WeightSet = {
    ...caseWeights(golden, {
      lora: {
        scaling: parameters.number("scaling"),
        factors: (weight) =>
          weight === "weight" ? { a: "lora_A.weight", b: "lora_B.weight", block: 0 } : null,
      },
    }),
    prepare: modulateWith(session, m.data, rank),
  };
  const results = await runLayer(run, weights, "y", parameters.text("kind"));
  return [
    ...(await compareResults(golden, session.dtype, results)),
    await compareMerged(run, weights, "merged_weight", "weight"),
  ];
};

const metric: CaseRunner = (run) =>
  runGraph(run, networkWeights(run.golden, "MEM"), ["features"], (g, features) =>
    g.output("m_l", metricOfFeatures(g, ROOT, features)),
  );

const timestepTable: CaseRunner = async ({ golden, session }) => {
  const { data } = await golden.input("m_l");
  const column = (groups: 3 | 4): Float32Array =>
    data.map((value) => timestepOfGroups(value, LATENT_GROUPS[groups]));
  return [
    await compareValues(golden, session.dtype, "t_n_div3", column(3), EXACT),
    await compareValues(golden, session.dtype, "t_n_div4", column(4), EXACT),
  ];
};

/** Bilinear ×4 and reflected padding to 64, and the colour reference. */
const preprocess: CaseRunner = ({ golden, session }) =>
  withScratch(session.gpu, async (scratch) => {
    const { dtype } = session;
    const { source, geometry, x, shape } = await enlargedInput(golden, session, 4, scratch);
    const { workWidth, sourceHeight, sourceWidth } = geometry;
    const u = new Float32Array(sourceHeight * sourceWidth * 3);
    for (let row = 0; row < sourceHeight; row++) {
      const from = row * workWidth * 3;
      const values = x.subarray(from, from + sourceWidth * 3).map((value) => 0.5 * value + 0.5);
      u.set(values, row * sourceWidth * 3);
    }
    const levels = withChannels(await readImage(session.gpu, source.image), 3);
    const oneLevel = { on: "maxAbs", value: 1 } as const; // "max_level_difference"
    const cut = toChannelsFirst(u, [1, sourceHeight, sourceWidth, 3]);
    return [
      await compareValues(golden, dtype, "u", cut),
      await compareValues(golden, dtype, "x", toChannelsFirst(x, shape)),
      await compareValues(golden, dtype, "source_u8_hwc", levels, oneLevel),
    ];
  });

/** RCOD_S's working image has sides that are multiples of this. */
const WORK_MULTIPLE = 64;

/** The case's 8-bit image, enlarged and padded as RCOD_S does, and the encoder's input `x` made of it. */
export async function enlargedInput(
  golden: GoldenCase,
  { gpu, dtype }: Session,
  upscale: number,
  scratch: Scratch,
) {
  const image = await golden.input("image_u8_hwc");
  const [height = 1, width = 1] = image.shape;
  const geometry = paddedGeometry(width, height, { upscale, multiple: WORK_MULTIPLE });
  const raw = { width, height, channels: 3, data: Uint8Array.from(image.data) } as const;
  const source = await enlargeBilinear(gpu, raw, geometry, "truncate");
  scratch.keep(source.image);
  scratch.onFree(() => source.release());
  const { workHeight, workWidth } = geometry;
  const shape = [1, workHeight, workWidth, 3];
  const buffer = scratch.activation(shape, dtype);
  await source.toTensor({ buffer }, dtype, { x: 0, y: 0, width: workWidth, height: workHeight });
  return { source, geometry, shape, x: await readActivation(gpu, buffer, shape, dtype) };
}

/** By the `op` of a case. */
export const RCOD_S_OPS: Readonly<Record<string, CaseRunner>> = {
  rcod_s_modulation: modulation,
  lora_modulated: modulatedLayer,
  timestep_from_m_l: timestepTable,
  rcod_s_preprocess: preprocess,
};

/** By the first word of a case's `model`. */
export const RCOD_S_MODELS: Readonly<Record<string, CaseRunner>> = {
  DEResNet: estimator,
  MEM: metric,
};
