/**
 * Loads the weights of parts, and sees to it that they are numbers which their storage can hold. Where the caller left
 * the precision to us, a part that f16 cannot hold is stored in f32.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import { DeviceWeights } from "../../graph/weights/device-weights.ts";
import type { ModelPart, PartWeights, WeightStage } from "../networks/stage-graphs.ts";
import { partWeights, stageWeights } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";

/** How weights are loaded. */
export interface EnterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes read, of those that the stage needs. */
  readonly onProgress?: ((bytesLoaded: number, bytesTotal: number) => void) | undefined;
  /** Counts merged values that cannot be stored as they are: see `DeviceWeights.modulate`. */
  readonly faults?: GPUBufferBinding | undefined;
}

/** Tensors that a note names. */
const MOST_NAMED = 3;

export class PartLoader {
  /** By part. Widening replaces them. */
  readonly weights: Partial<Record<ModelPart, DeviceWeights>> = {};
  /** What whoever gets a picture should know of the weights. */
  readonly notes = new Set<string>();
  readonly #gpu: Gpu;
  readonly #configs: ModelConfigs;
  readonly #sources: ReadonlyMap<ModelPart, TensorSource>;
  readonly #mayWiden: boolean;
  readonly #lists = new Map<DType, Readonly<Record<WeightStage, PartWeights["unet"]>>>();

  /** `mayWiden`: f16 was chosen by us. */
  constructor(
    gpu: Gpu,
    configs: ModelConfigs,
    sources: ReadonlyMap<ModelPart, TensorSource>,
    mayWiden: boolean,
  ) {
    this.#gpu = gpu;
    this.#configs = configs;
    this.#sources = sources;
    this.#mayWiden = mayWiden;
  }

  /** Weights of a part that hold nothing yet. Frees those before. */
  prepare(part: ModelPart, dtype: DType, source = this.#source(part)): DeviceWeights {
    this.weights[part]?.dispose();
    return (this.weights[part] = new DeviceWeights(this.#gpu, source, { dtype }));
  }

  /** What a part needs on the device, in its storage; for one of its stages, or all. */
  needed(part: ModelPart, stage?: WeightStage): PartWeights["unet"] {
    const { dtype } = this.#of(part);
    const lists = this.#lists.get(dtype) ?? stageWeights(this.#configs, dtype);
    this.#lists.set(dtype, lists);
    return stage ? lists[stage] : partWeights(lists)[part];
  }

  /** Loads a part, or what one of its stages needs. Throws `WeightsError` naming the tensors that are no finite numbers. */
  async load(
    part: ModelPart,
    { stage, source = this.#source(part), ...options }: LoadPartOptions = {},
  ): Promise<DeviceWeights> {
    const weights = this.#of(part);
    const { nonFinite, saturated } = await weights.load(this.needed(part, stage), options);
    if (nonFinite.length > 0) {
      const { nonFiniteWeights } = await import("./non-finite-weights.ts");
      throw await nonFiniteWeights(part, source, nonFinite, options.signal);
    }
    if (saturated.length === 0) return weights;
    const more = saturated.length > MOST_NAMED ? ", …" : "";
    const names = `${saturated.slice(0, MOST_NAMED).join(", ")}${more}`;
    const large = `${part}: f16 cannot hold weights above 65504 of ${names}`;
    if (!this.#mayWiden) {
      this.notes.add(`${large}; they are clamped. Load with { precision: "f32" }`);
      return weights;
    }
    this.notes.add(`${large}; it runs in f32`);
    this.prepare(part, "f32", source);
    return this.load(part, { ...(stage && { stage }), source, signal: options.signal });
  }

  #of(part: ModelPart): DeviceWeights {
    const weights = this.weights[part];
    if (weights === undefined) throw new Error(`internal: this model has no ${part}`);
    return weights;
  }

  #source(part: ModelPart): TensorSource {
    const source = this.#sources.get(part);
    if (source === undefined) throw new Error(`internal: ${part} is not open`);
    return source;
  }
}

interface LoadPartOptions extends EnterOptions {
  readonly stage?: WeightStage;
  /** Default: that which was open at first. */
  readonly source?: TensorSource;
}
