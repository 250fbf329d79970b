/** What a call takes of the device's memory at most, from plans: weights, the slots that networks share, and pictures. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Graph, Weight } from "../../graph/ir/ir.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import { growSlots } from "../../graph/memory-plan.ts";
import { planGraph } from "../../graph/plan.ts";
import { weightByteLength } from "../../graph/weights/weight-layout.ts";
import { waveletColorFix } from "../../kernels/image/color-fix.ts";
import type { Geometry } from "../images/geometry.ts";
import { tokenGraph, unetGraph } from "../networks/graphs.ts";
import type { ModelPart, WeightStage } from "../networks/stage-graphs.ts";
import { STAGE_PART, stageWeights } from "../networks/stage-graphs.ts";
import { clipTokens, sampleChannels, vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { NetworkStage, UpscaleOptions } from "../settings/options.ts";
import { ByDevice } from "../tiles/by-device.ts";
import { tileCountOf, unetTiles } from "../tiles/tiling.ts";
import { unetBatch } from "../tiles/unet-batch.ts";
import { vaeUse } from "../tiles/whole-fit.ts";

/** A call on a device. */
export interface MemoryCall {
  readonly configs: ModelConfigs;
  readonly caps: Caps;
  readonly dtypeOf: (part: ModelPart) => DType;
  /** Of a region, or of the whole picture. */
  readonly geometry: Geometry;
  readonly options: Pick<
    UpscaleOptions,
    "tile" | "reference" | "colorFix" | "depth" | "realismMask"
  >;
}

/** Bytes of a stage's activations. */
interface StageBytes {
  /** Slots that all stages share. */
  readonly slots: readonly number[];
  /** For the time of the stage. */
  readonly own: number;
}

/** Bytes of a pixel of a packed picture, and of a map of three channels as f32. */
const PACKED = 4;
const MAP = 16;

/** Slots of graphs. */
const planned = new ByDevice<readonly number[]>();

/** The most that is on the device at a time, apart from the weights. `held`: slots that are there, and only grow. */
export function activationPeakBytes(call: MemoryCall, held: readonly number[]): number {
  const stages = Object.values(stageBytes(call));
  const pool = [...held];
  for (const { slots } of stages) growSlots(pool, slots);
  const { whileNetworksRun, atEnd } = pictureBytes(call);
  return (
    sumOf(pool) + Math.max(atEnd, whileNetworksRun + Math.max(...stages.map(({ own }) => own)))
  );
}

/** The most in low memory, weights included: a stage has the device for itself. */
export function lowMemoryPeakBytes(call: MemoryCall): number {
  const weights = lowMemoryWeightBytes(call);
  const { whileNetworksRun, atEnd } = pictureBytes(call);
  const peaks = Object.entries(stageBytes(call)).map(([stage, { slots, own }]) => {
    const pictures = Math.max(own + whileNetworksRun, stage === "decode" ? atEnd : 0);
    return weights[stage as NetworkStage] + sumOf(slots) + pictures;
  });
  return Math.max(...peaks);
}

function lowMemoryWeightBytes({
  configs,
  dtypeOf,
}: MemoryCall): Readonly<Record<WeightStage, number>> {
  const bytes = Object.entries(stageWeights(configs, dtypeOf("unet"))).map(([stage, weights]) => {
    const dtype = dtypeOf(STAGE_PART[stage as WeightStage]);
    return [
      stage,
      weights.reduce((sum, weight: Weight) => sum + weightByteLength(weight, dtype), 0),
    ];
  });
  return Object.fromEntries(bytes) as Record<WeightStage, number>;
}

function stageBytes({
  configs,
  caps,
  dtypeOf,
  geometry,
  options,
}: MemoryCall): Readonly<Record<NetworkStage, StageBytes>> {
  const { vae, unet, clip } = configs;
  const { workWidth, workHeight } = geometry;
  const factor = vaeFactor(vae);
  const [width, height] = [workWidth / factor, workHeight / factor];
  const slotsOf = (question: readonly unknown[], build: () => Graph): readonly number[] =>
    planned.get(
      caps,
      question,
      () => planGraph(build(), caps, { countsFaults: true }).memory.slotByteLengths,
    );
  const of = (kind: "encode" | "decode"): StageBytes => {
    const whole = [kind, workHeight, workWidth, options] as const;
    const { slots, others } = vaeUse(vae, caps, dtypeOf("vae"), ...whole);
    return { slots, own: others };
  };
  const clipDType = dtypeOf("clip");
  const tokens = slotsOf([clip, unet.crossAttentionDim, clipDType], () =>
    tokenGraph(clip, unet.crossAttentionDim, clipDType),
  );
  const unetDType = dtypeOf("unet");
  const tiles = unetTiles(width, height, configs, options.reference === true);
  const [tileHeight, tileWidth] = [tiles?.tileHeight ?? height, tiles?.tileWidth ?? width];
  const timesteps = options.realismMask ? 2 : 1;
  const runs = timesteps * tileCountOf(tiles);
  const batch = unetBatch(unet, caps, unetDType, tileHeight, tileWidth, runs, timesteps);
  const predict = slotsOf([unet, clip, unetDType, tileHeight, tileWidth, batch], () =>
    unetGraph(unet, tileHeight, tileWidth, clipTokens(clip), unetDType, batch),
  );
  return {
    tokens: { slots: tokens, own: 0 },
    encode: of("encode"),
    unet: { slots: predict, own: 0 },
    decode: of("decode"),
  };
}

/** Pictures and maps of the whole: while networks run, and while colours are fixed. */
function pictureBytes({ configs, caps, dtypeOf, geometry, options }: MemoryCall) {
  const { sourceWidth, sourceHeight, workWidth, workHeight } = geometry;
  const { vae, unet, clip, rcod, degradation } = configs;
  const pixels = sourceWidth * sourceHeight;
  const factor = vaeFactor(vae);
  const latents = [1, workHeight / factor, workWidth / factor, sampleChannels(vae)];
  const kept =
    activationByteLength(latents, dtypeOf("vae")) +
    activationByteLength([1, clipTokens(clip), unet.crossAttentionDim], dtypeOf("clip"));
  const { colorFix = rcod.colorFix } = options;
  const scratch =
    colorFix === "wavelet"
      ? waveletColorFix
          .plan({ width: sourceWidth, height: sourceHeight, rounding: "nearest" }, caps)
          .scratch.reduce((sum, { byteLength }) => sum + byteLength, 0)
      : 0;
  const source = PACKED * pixels;
  const asFloats = MAP * workWidth * workHeight;
  const decoded = options.depth === 16 ? asFloats : source;
  return {
    whileNetworksRun: kept + source + Math.max(decoded, degradation ? asFloats : 0),
    // The source, what is decoded, and the result or the copy that is read back.
    atEnd: kept + source + 2 * decoded + scratch,
  };
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
