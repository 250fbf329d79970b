/** Networks that will run soon: planned, and their shaders being compiled, while others still load and run. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { GraphPlan } from "../../graph/plan.ts";
import { planGraph } from "../../graph/plan.ts";
import { Program } from "../../graph/program.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { callNetworks } from "./call-networks.ts";

/** What of a call decides which networks it runs at which sizes. */
export interface PreparedCall extends Pick<
  UpscaleOptions,
  "tile" | "region" | "reference" | "scale" | "size"
> {
  /** Pixels a row of the image. */
  readonly width: number;
  /** Its rows. */
  readonly height: number;
}

export class PlannedNetworks {
  readonly #gpu: Gpu;
  readonly #configs: ModelConfigs;
  readonly #dtypeOf: (part: ModelPart) => DType;
  readonly #plans = new Map<string, GraphPlan>();
  #last = "";

  /** `dtypeOf` tells the storage of a part at present. */
  constructor(gpu: Gpu, configs: ModelConfigs, dtypeOf: (part: ModelPart) => DType) {
    this.#gpu = gpu;
    this.#configs = configs;
    this.#dtypeOf = dtypeOf;
  }

  /**
   * Plans the networks of a call one after another and compiles their shaders in this order, unless it is like the last one.
   * Waits for no shader. What fails here is told by whoever runs the network.
   */
  async prepare({ width, height, ...options }: PreparedCall, timesteps = 1): Promise<void> {
    const { tile, region, reference, scale, size } = options;
    const call = JSON.stringify([width, height, tile, region, reference, scale, size, timesteps]);
    if (call === this.#last) return;
    this.#last = call;
    this.#plans.clear();
    const { caps } = this.#gpu;
    try {
      for (const network of callNetworks(
        this.#configs,
        this.#dtypeOf,
        caps,
        width,
        height,
        options,
        timesteps,
      )) {
        const plan = planGraph(network.build(), caps, { countsFaults: true });
        this.#plans.set(network.key, plan);
        Program.prepare(this.#gpu, plan);
        await new Promise((resolve) => setTimeout(resolve)); // planning takes as long as a frame
        if (call !== this.#last) return;
      }
    } catch {
      // An impossible size, or the device is gone.
    }
  }

  /** The plan of a network, once; undefined for one that was not prepared. */
  take(key: string): GraphPlan | undefined {
    const plan = this.#plans.get(key);
    this.#plans.delete(key);
    return plan;
  }

  /** Forgets all, also shaders that nobody has begun to compile. */
  clear(): void {
    this.#gpu.pipelines.dropPrepared();
    this.#plans.clear();
    this.#last = "";
  }
}
