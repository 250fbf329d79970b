/** The compiled stages of a model and the activation memory that they share. */
import type { Gpu } from "../../gpu/device.ts";
import { copiedBuffer } from "../../gpu/transfer.ts";
import type { PlanOptions } from "../../graph/plan.ts";
import { planGraph } from "../../graph/plan.ts";
import type { RunProgram } from "../../graph/program.ts";
import { Program } from "../../graph/program.ts";
import { SlotPool } from "../../graph/slot-pool.ts";
import type { LoadedWeights } from "../loading/load.ts";
import type { EnterOptions } from "../loading/part-loader.ts";
import type { WeightStage } from "../networks/stage-graphs.ts";
import { MODEL_PARTS } from "../networks/stage-graphs.ts";
import type { VaeConfig } from "../settings/config.ts";
import type { LoraPart } from "../settings/degradation-config.ts";
import type { runTiledVae, VaePass } from "../tiles/tiled-vae.ts";
import type { VaeKind } from "../tiles/vae-tiles.ts";
import type { Network } from "./call-networks.ts";
import type { Station } from "./fault-counters.ts";
import { FaultCounters } from "./fault-counters.ts";
import type { FaultSearch } from "./fault-search.ts";
import type { PlannedNetworks } from "./planned-networks.ts";

export class StagePrograms {
  /** What the programs could not store as it is. */
  readonly faults: FaultCounters;
  /** While a call looks for the module with faults. */
  search: FaultSearch | undefined;
  readonly #gpu: Gpu;
  readonly #weights: LoadedWeights;
  readonly #pool: SlotPool;
  readonly #programs = new Map<string, Program>();
  readonly #planned: PlannedNetworks | undefined;

  /** `planned`: networks of which some are planned already. */
  constructor(gpu: Gpu, weights: LoadedWeights, planned?: PlannedNetworks) {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#planned = planned;
    this.#pool = new SlotPool(gpu);
    this.faults = new FaultCounters(gpu);
  }

  /** Bytes of the slots that are there. */
  get slotBytes(): readonly number[] {
    return this.#pool.byteLengths;
  }

  /** A compiled network. One size per name is kept: another size, or other captures, replace it. Pipelines stay cached. */
  async get(
    { key: sizeKey, part, build }: Network,
    options: Pick<PlanOptions, "captures" | "attentions"> = {},
  ): Promise<Program> {
    const { captures = [], attentions = [] } = options;
    const key = [sizeKey, ...captures, ...attentions].join(" ");
    const there = this.#programs.get(key);
    if (there !== undefined) return there;
    const stage = key.split(" ", 1)[0] as string;
    for (const [other, program] of this.#programs) {
      if (other.split(" ", 1)[0] !== stage) continue;
      program.dispose();
      this.#programs.delete(other);
    }
    const weights = this.#weights[part];
    if (weights === undefined) throw new Error(`internal: this model has no ${part}`);
    const known = key === sizeKey ? this.#planned?.take(key) : undefined;
    // Planned ahead for f16, it is of no use to a part that has turned out to need f32.
    const plan =
      known?.graph.dtype === weights.dtype
        ? known
        : planGraph(build(), this.#gpu.caps, { ...options, countsFaults: true });
    const faults = this.faults.binding(
      stage === "modulation" ? "degradation" : (stage as WeightStage),
    );
    const program = await Program.create(this.#gpu, plan, weights, { pool: this.#pool, faults });
    this.#programs.set(key, program);
    return program;
  }

  /** Runs a program; step by step where `search` looks at each. */
  readonly run: RunProgram = async (program, inputs, options) => {
    if (this.search) await this.search.run(program, inputs, options);
    else await program.run(inputs, options);
  };

  /** Runs the VAE in tiles, as `runTiledVae` does; their programs take their turn with the others. Loads on demand. */
  async runVaeInTiles(
    config: VaeConfig,
    kind: VaeKind,
    ...call: Parameters<typeof runTiledVae> extends [VaePass, ...infer R] ? R : never
  ): Promise<void> {
    const { vae: weights } = this.#weights;
    if (weights === undefined) throw new Error("internal: this model has no vae");
    const tiled = await import("../tiles/tiled-vae.ts");
    const shared = { pool: this.#pool, run: this.run, faults: this.faults.binding(kind) };
    await tiled.runTiledVae({ gpu: this.#gpu, weights, config, kind, ...shared }, ...call);
  }

  /**
   * Must be called before the programs of a stage run, so that its weights are on the device. In low memory this frees
   * the weights, programs and activations of the stage before. Otherwise all weights are always on the device.
   */
  async enter(stage: WeightStage, options: EnterOptions): Promise<void> {
    const { residency } = this.#weights;
    if (residency === undefined || residency.has(stage)) return;
    this.#dropPrograms();
    await residency.enter(stage, { ...options, faults: this.faults.binding(stage) });
    await this.search?.check("LoRA");
  }

  /**
   * Merges the modulated updates of a part. The matrices are the result of `program` that is named as the part. In low
   * memory they are kept, and merged whenever the part is loaded.
   */
  async modulate(program: Program, part: LoraPart, signal?: AbortSignal): Promise<void> {
    const { residency } = this.#weights;
    if (residency) residency.setMatrices(part, this.keep(program, part));
    else {
      const station: Station = part === "vae" ? "encode" : "lora";
      const options = { signal, faults: this.faults.binding(station) };
      await this.#weights[part]?.modulate(program.result(part).buffer, options);
    }
    await this.search?.check(`LoRA of ${part}`);
  }

  /** A copy of a result, which the next run in the pool would overwrite. The caller frees it. */
  keep(program: Program, name: string): GPUBuffer {
    const { buffer, size } = program.result(name);
    return copiedBuffer(this.#gpu, name, buffer, size, "images");
  }

  /** Frees all programs and their memory; the next `get` compiles again. In low memory it frees the weights too. */
  clear(): void {
    this.forget();
    this.faults.dispose();
    for (const part of MODEL_PARTS) this.#weights[part]?.dropZeros();
    this.#weights.residency?.clear();
  }

  /** Frees the programs, and forgets what was planned for another storage. What is counted and loaded stays. */
  forget(): void {
    this.#planned?.clear();
    this.#dropPrograms();
  }

  #dropPrograms(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
    this.#pool.dispose();
  }
}
