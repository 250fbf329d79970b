/**
 * Finds the module that first computes NaN or infinity: networks run step by step, and the counters are read after each.
 * A call that has met such values is made once more with it, so it loads on demand.
 */
import type { RunProgram } from "../../graph/program.ts";
import { NumbersError } from "../settings/numbers-error.ts";
import type { CallFaults, FaultCounters } from "./fault-counters.ts";
import { STATIONS, stationStage } from "./fault-counters.ts";

export class FaultSearch {
  readonly #faults: FaultCounters;

  constructor(faults: FaultCounters) {
    this.#faults = faults;
  }

  /** Runs the steps of a program one by one. */
  async run(...[program, inputs, { signal, steps }]: Parameters<RunProgram>): Promise<void> {
    const [from, to] = steps ?? [0, program.plan.steps.length];
    for (let step = from; step < to; step++) {
      await program.run(step === from ? inputs : {}, { signal, steps: [step, step + 1] });
      await this.check(program.plan.steps[step]?.node.path ?? "");
    }
  }

  /** Throws `NumbersError` where `module`, which has just run, has computed what is no finite number. */
  async check(module: string): Promise<void> {
    const error = numbersError(await this.#faults.read(), module);
    if (error) throw error;
  }
}

/** The error for the first station with NaN or infinity; null where there is none. */
export function numbersError(counts: CallFaults, module?: string): NumbersError | null {
  const station = STATIONS.find((at) => (counts.get(at)?.nonFinite ?? 0) > 0);
  if (station === undefined) return null;
  const where = module === undefined ? "" : `, module "${module}"`;
  return new NumbersError(
    `numbers: networks must compute finite numbers, got ${counts.get(station)?.nonFinite} or more that are NaN or infinite, the first ` +
      `in stage "${stationStage(station)}"${where}. The weights themselves are finite: do these files belong together? ` +
      'If precision is "f16", try "f32"',
  );
}
