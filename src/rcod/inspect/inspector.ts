/**
 * Collects what a call shows of its networks: device times of all passes, and values by module path. There is one
 * inspector per call; the stages hand it their programs and values.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { ShapeError } from "../../gpu/shape.ts";
import { cutChannels } from "../../graph/pack-activation.ts";
import type { PlanOptions } from "../../graph/plan.ts";
import type { Program, StepTime } from "../../graph/program.ts";
import { readActivation } from "../../graph/read-activation.ts";
import type {
  Capture,
  Inspection,
  InspectOptions,
  NetworkStage,
  PassTime,
} from "../settings/options.ts";
import type { StageModules } from "./stage-modules.ts";
import { ATTENTION_OPERAND, NETWORK_STAGES, STAGE_VALUES } from "./stage-modules.ts";

export class Inspector {
  readonly #times: { readonly stage: NetworkStage; readonly time: StepTime }[] | undefined;
  /** Requested names by stage. */
  readonly #requested: ReadonlyMap<NetworkStage, readonly string[]>;
  readonly #captures: Record<string, Capture> = {};

  /** Throws `ShapeError` for a capture that the model does not have. */
  constructor({ passes, captures = [] }: InspectOptions, modules: StageModules, caps: Caps) {
    this.#times = passes === true && caps.hasTimestampQuery ? [] : undefined;
    const unknown = captures.filter(
      (name) => !NETWORK_STAGES.some((stage) => modules[stage].includes(name)),
    );
    if (unknown.length > 0) {
      throw new ShapeError(
        `inspect: this model has no capture ${unknown.map((name) => JSON.stringify(name)).join(", ")}. ` +
          "Take names that model.modules() lists",
      );
    }
    this.#requested = new Map(
      NETWORK_STAGES.map((stage) => [
        stage,
        captures.filter((name) => modules[stage].includes(name)),
      ]),
    );
  }

  /** Module paths requested of a stage. They need its network to run, untiled. */
  modulesOf(stage: NetworkStage): readonly string[] {
    return (this.#requested.get(stage) ?? []).filter((name) => !Object.hasOwn(STAGE_VALUES, name));
  }

  /** Whether modules of any of these stages are requested. */
  looksInto(stages: readonly NetworkStage[]): boolean {
    return stages.some((stage) => this.modulesOf(stage).length > 0);
  }

  /** How to plan a stage's network so that `collect` finds the requested modules. */
  planOptions(stage: NetworkStage): Pick<PlanOptions, "captures" | "attentions"> {
    const names = this.modulesOf(stage);
    const attentions = names.filter((name) => ATTENTION_OPERAND.test(name));
    return {
      captures: names.filter((name) => !ATTENTION_OPERAND.test(name)),
      attentions: [...new Set(attentions.map((name) => name.replace(ATTENTION_OPERAND, "")))],
    };
  }

  /** The callback for a program of this stage, where times are requested. */
  onTimes(stage: NetworkStage): { readonly onTimes?: (times: readonly StepTime[]) => void } {
    const all = this.#times;
    if (all === undefined) return {};
    return { onTimes: (times) => all.push(...times.map((time) => ({ stage, time }))) };
  }

  /** Reads the requested modules of a stage's program, planned by `planOptions`, after it ran. */
  async collect(stage: NetworkStage, program: Program): Promise<void> {
    for (const name of this.modulesOf(stage)) {
      const { shape, data } = await program.read(name);
      const operand = program.plan.attentionOperands.get(name);
      if (operand === undefined) {
        this.#captures[name] = { stage, shape, data };
        continue;
      }
      const { offset, channels, numHeads } = operand;
      this.#captures[name] = {
        stage,
        shape: [...shape.slice(0, -1), channels],
        numHeads,
        data: cutChannels(data, shape.at(-1) ?? 1, offset, channels),
      };
    }
  }

  /** Reads one of the stage values, if it is requested. */
  async collectValue(
    gpu: Gpu,
    name: keyof typeof STAGE_VALUES,
    buffer: GPUBuffer,
    shape: readonly number[],
    dtype: DType,
  ): Promise<void> {
    const stage = STAGE_VALUES[name];
    if (!this.#requested.get(stage)?.includes(name)) return;
    this.#captures[name] = { stage, shape, data: await readActivation(gpu, buffer, shape, dtype) };
  }

  /** Everything seen. */
  result(): Inspection {
    const times = this.#times;
    // Not Math.min(...): large images have more passes than a call takes arguments.
    const origin = (times ?? []).reduce((min, { time }) => Math.min(min, time.startMs), Infinity);
    const passes = times?.map(({ stage, time }): PassTime => {
      const { path, label: shader, startMs, ...rest } = time;
      return { stage, label: path, shader, ...rest, startMs: startMs - origin };
    });
    return { ...(passes && { passes }), captures: this.#captures };
  }
}
