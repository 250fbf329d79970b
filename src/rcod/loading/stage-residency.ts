/** Low memory: the weights of one stage at a time on the device, read again whenever their stage begins. */
import type { Gpu } from "../../gpu/device.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import type { ModelPart, WeightStage } from "../networks/stage-graphs.ts";
import { STAGE_PART } from "../networks/stage-graphs.ts";
import type { LoraPart } from "../settings/degradation-config.ts";

export interface EnterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes read, of those that the stage needs. */
  readonly onProgress?: ((bytesLoaded: number, bytesTotal: number) => void) | undefined;
}

type PartWeights = Readonly<Partial<Record<ModelPart, DeviceWeights>>>;

/** Whoever makes it owns the weights; this class loads and frees their buffers. */
export class StageResidency {
  readonly #gpu: Gpu;
  readonly #weights: PartWeights;
  readonly #needed: Readonly<Record<WeightStage, readonly Weight[]>>;
  /** RCOD_S: the modulation matrices of the present image, by part. */
  readonly #matrices = new Map<LoraPart, GPUBuffer>();
  #stage: WeightStage | undefined;

  /** `weights` have open sources and nothing loaded. */
  constructor(
    gpu: Gpu,
    weights: PartWeights,
    needed: Readonly<Record<WeightStage, readonly Weight[]>>,
  ) {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#needed = needed;
  }

  /** Whether the weights of `stage` are on the device. */
  has(stage: WeightStage): boolean {
    return this.#stage === stage;
  }

  /**
   * Frees the weights of the stage before, whose programs must not run any more, and loads those of `stage`, merged
   * for the present image. After a failure or an abort no weights are on the device.
   */
  async enter(stage: WeightStage, options: EnterOptions = {}): Promise<void> {
    if (this.has(stage)) return;
    this.#free();
    const part = STAGE_PART[stage];
    const weights = this.#weights[part];
    if (weights === undefined) throw new Error(`internal: this model has no ${part}`);
    try {
      await weights.load(this.#needed[stage], options);
      const matrices = part === "vae" || part === "unet" ? this.#matrices.get(part) : undefined;
      if (matrices) await weights.modulate(matrices, options);
      await submittedWorkDone(this.#gpu); // memory that ran out is found here
    } catch (error) {
      weights.dispose();
      throw error;
    }
    this.#stage = stage;
  }

  /** Takes over the matrices to merge into a part whenever it is loaded. */
  setMatrices(part: LoraPart, matrices: GPUBuffer): void {
    const before = this.#matrices.get(part);
    if (before) this.#gpu.memory.release(before);
    this.#matrices.set(part, matrices);
  }

  /** Frees everything on the device. */
  clear(): void {
    this.#free();
    for (const matrices of this.#matrices.values()) this.#gpu.memory.release(matrices);
    this.#matrices.clear();
  }

  #free(): void {
    if (this.#stage !== undefined) this.#weights[STAGE_PART[this.#stage]]?.dispose();
    this.#stage = undefined;
  }
}
