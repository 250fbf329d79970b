/** Low memory: the weights of one stage at a time on the device, read again whenever their stage begins. */
import type { Gpu } from "../../gpu/device.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import type { WeightStage } from "../networks/stage-graphs.ts";
import { STAGE_PART } from "../networks/stage-graphs.ts";
import type { LoraPart } from "../settings/degradation-config.ts";
import type { EnterOptions, PartLoader } from "./part-loader.ts";

/** Whoever makes it owns the loader and its weights; this class loads and frees their buffers. */
export class StageResidency {
  readonly #gpu: Gpu;
  readonly #loader: PartLoader;
  /** RCOD_S: the modulation matrices of the present image, by part. */
  readonly #matrices = new Map<LoraPart, GPUBuffer>();
  #stage: WeightStage | undefined;

  /** The loader's sources are open and its weights hold nothing. */
  constructor(gpu: Gpu, loader: PartLoader) {
    this.#gpu = gpu;
    this.#loader = loader;
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
    try {
      const weights = await this.#loader.load(part, { ...options, stage });
      const matrices = part === "vae" || part === "unet" ? this.#matrices.get(part) : undefined;
      if (matrices) await weights.modulate(matrices, options);
      await submittedWorkDone(this.#gpu); // memory that ran out is found here
    } catch (error) {
      this.#loader.weights[part]?.dispose();
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
    if (this.#stage !== undefined) this.#loader.weights[STAGE_PART[this.#stage]]?.dispose();
    this.#stage = undefined;
  }
}
