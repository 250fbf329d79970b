/**
 * Lets every call of the device fail in every way, while a model loads and while it enlarges: whatever happens, the call rejects
 * with a typed error in time or gives the very picture, leaves nothing on the device, and later calls give that picture.
 */
import { DeviceError } from "../../src/gpu/errors.ts";
import type { LoadOptions, RcodModel } from "../../src/rcod/model.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { FileSet } from "../../src/weights/index.ts";
import type { Call, Failure } from "./faulty-device.ts";
import { CALLS, CompiledShaders, FaultyDevice, failuresOf } from "./faulty-device.ts";

/** A model and what is asked of it. */
export interface Scenario {
  readonly name: string;
  readonly files: FileSet;
  readonly options?: LoadOptions;
  /** One call; what must be equal whenever it succeeds. Leaves nothing behind. */
  readonly call: (model: RcodModel) => Promise<Uint8Array>;
}

export interface Counts {
  tried: number;
  /** Never happened, since a call had fewer of the device's calls than when they were counted. */
  missed: number;
  /** Ended with a typed error. */
  rejected: number;
  /** Gave the picture all the same: a shader that failed in advance was compiled again, for example. */
  wentOn: number;
  /** What was wrong, a line each. */
  readonly problems: string[];
}

/**
 * When a fault happens: while loading; in the first call, which compiles; in one that has to make everything but shaders, as after a
 * failure of the device; in one that finds all made.
 */
export const PHASES = ["load", "first call", "call afresh", "next call"] as const;
export type Phase = (typeof PHASES)[number];

/** What only the first call does. */
const COMPILING: readonly Call[] = [
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipelineAsync",
];

/** So many faults in a row hit one device, before a call without a fault has to give the picture. */
const FAULTS_IN_A_ROW = 8;

export interface InjectionOptions {
  readonly phases?: readonly Phase[];
  /** Of all faults, every one of this many. Default 1: all. */
  readonly every?: number;
  /** Within this time a call with a fault has to end. Default 2 s; longer for a machine that does other things too. */
  readonly limitMs?: number;
  readonly onProgress?: (done: Counts) => void;
}

/** Tries the faults of a scenario one after another. */
export async function injectFaults(
  real: GPUDevice,
  scenario: Scenario,
  { phases = PHASES, every = 1, limitMs = 2000, onProgress }: InjectionOptions = {},
): Promise<Counts> {
  const rig = new Rig(real, scenario, limitMs);
  const onUnhandled = (error: unknown): void => rig.say(`unhandled rejection: ${String(error)}`);
  process.on("unhandledRejection", onUnhandled);
  try {
    let number = 0;
    for (const phase of phases) {
      const calls = await rig.countCalls(phase);
      for (const call of phase === "first call" ? COMPILING : CALLS) {
        for (let index = 0; index < (calls.get(call) ?? 0); index++) {
          for (const failure of failuresOf(call, index)) {
            if (number++ % every !== 0) continue;
            await rig.tryFault(phase, call, failure, index);
            onProgress?.(rig.counts);
          }
        }
      }
      await rig.end();
    }
    return rig.counts;
  } finally {
    process.off("unhandledRejection", onUnhandled);
  }
}

class Rig {
  readonly counts: Counts = { tried: 0, missed: 0, rejected: 0, wentOn: 0, problems: [] };
  #fault = "no fault";
  readonly #real: GPUDevice;
  readonly #scenario: Scenario;
  readonly #limitMs: number;
  readonly #shaders = new CompiledShaders();
  #expected: Uint8Array | undefined;
  #faulty: FaultyDevice;
  #model: RcodModel | undefined;
  /** Objects on the device that belong to the loaded model. */
  #loaded = 0;
  #inRow = 0;

  constructor(real: GPUDevice, scenario: Scenario, limitMs: number) {
    this.#limitMs = limitMs;
    this.#real = real;
    this.#scenario = scenario;
    this.#faulty = new FaultyDevice(real, this.#shaders);
  }

  say(problem: string): void {
    this.counts.problems.push(`${this.#scenario.name}, ${this.#fault}: ${problem}`);
  }

  /** How often each method is called in a phase that goes well. */
  async countCalls(phase: Phase): Promise<ReadonlyMap<Call, number>> {
    this.#fault = phase;
    this.#expected ??= await this.#scenario.call(await this.#present());
    await this.#prepare(phase);
    const { counts } = this.#faulty;
    counts.clear();
    const model = await this.#present();
    if (phase !== "load") await this.#scenario.call(model);
    return new Map(counts);
  }

  /** One fault, and what must hold after it. */
  async tryFault(phase: Phase, call: Call, failure: Failure, index: number): Promise<void> {
    if (this.#inRow++ % FAULTS_IN_A_ROW === 0) await this.end();
    this.#fault = `${phase}: ${call} ${index} ${failure}`;
    this.counts.tried++;
    await this.#prepare(phase);
    const faulty = this.#faulty;
    const before = faulty.live.size;
    faulty.arm(call, failure, index);
    const outcome = await inTime(async () => {
      if (phase !== "load") return this.#scenario.call(await this.#present());
      await this.#present();
      return undefined;
    }, this.#limitMs);
    faulty.disarm();
    this.counts[outcome !== "late" && "value" in outcome ? "wentOn" : "rejected"]++;

    if (!faulty.hasFailed) this.#miss();
    if (outcome === "late") this.say(`takes more than ${this.#limitMs} ms`);
    else if ("value" in outcome) this.#compare(outcome.value);
    else {
      if (!(outcome.error instanceof DeviceError)) this.say(`untyped: ${told(outcome.error)}`);
      const kept = phase === "load" ? 0 : Math.min(before, this.#loaded);
      if (faulty.live.size > kept) this.say(`leaves ${faulty.live.size - kept} objects`);
    }
    for (const message of faulty.uncaught.splice(0)) this.say(`reaches other code: ${message}`);
    if (!faulty.isLost) return;
    this.#renew();
  }

  /** How many calls there are depends a little on what the device has done meanwhile: the last of them may be missing. */
  #miss(): void {
    this.counts.tried--;
    this.counts.missed++;
    if (this.counts.missed > 1 + this.counts.tried / 50) this.say("faults never happen");
  }

  /** A call without a fault, which must give the picture; after that the model is disposed, and nothing may be left. */
  async end(): Promise<void> {
    if (this.#expected !== undefined) {
      const call = async (): Promise<Uint8Array> => this.#scenario.call(await this.#present());
      const outcome = await inTime(call, 10 * this.#limitMs); // without a fault it only must not hang
      if (outcome === "late" || "error" in outcome)
        this.say(`a later call fails: ${outcome === "late" ? outcome : told(outcome.error)}`);
      else this.#compare(outcome.value);
    }
    this.#dispose();
  }

  /** The model, which is loaded where there is none. */
  async #present(): Promise<RcodModel> {
    if (this.#model === undefined) {
      this.#model = await loadModel(this.#scenario.files, {
        precision: "f32",
        autotune: false,
        ...this.#scenario.options,
        gpu: this.#faulty.device,
      });
      this.#loaded = this.#faulty.live.size;
    }
    return this.#model;
  }

  /** Comes to the point where a phase begins. */
  async #prepare(phase: Phase): Promise<void> {
    if (phase === "load") return this.#dispose();
    if (phase === "first call") this.#renew();
    const model = await this.#present();
    if (phase === "first call") return;
    this.#faulty.arm("createBuffer", "throw", 0);
    await this.#scenario.call(model).catch(() => undefined);
    this.#faulty.disarm();
    if (phase === "next call") await this.#scenario.call(model);
  }

  /** Another device, on which nothing is compiled. */
  #renew(): void {
    this.#dispose();
    this.#faulty = new FaultyDevice(this.#real, this.#shaders);
  }

  #dispose(): void {
    this.#model?.dispose();
    this.#model = undefined;
    const { size } = this.#faulty.live;
    if (size > 0) this.say(`leaves ${size} objects after dispose`);
    this.#faulty.live.clear();
  }

  #compare(picture: Uint8Array | undefined): void {
    if (picture?.some((byte, i) => byte !== this.#expected?.[i])) this.say("gives another picture");
  }
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown } | "late";

/** How `run` ends; "late" where it takes too long. */
async function inTime<T>(run: () => Promise<T>, limitMs: number): Promise<Outcome<T>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve("late"), limitMs);
  });
  const ended = run().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  const outcome = await Promise.race([ended, late]);
  clearTimeout(timer);
  return outcome;
}

const told = (error: unknown): string =>
  error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error);
