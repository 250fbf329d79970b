/**
 * How far a call is and how long it still takes: what its stages should take at the pace that is known of this device, corrected by
 * what this call has shown of late. So it follows a device that slows down, and a device that nothing is known of.
 */
import type { RunStage } from "../settings/options.ts";
import type { CallWork, StageWork } from "./call-work.ts";
import type { Rates } from "./rates.ts";

/** How far back the pace of a call is looked at, as a share of its time. */
const WINDOW = 0.15;
/** What earlier calls weigh against the beginning of this one, as a share of its time. */
const TRUST = 0.05;
/** Spans of time that are compared with what was foreseen are at least this share of the call. */
const SPAN = 0.005;
/** On a device that nothing is known of, the pace is told after this share of the work. */
const TOLD_FROM = 0.05;
/** Waiting longer for shaders, in milliseconds, means that they were compiled. */
const COMPILED = 2;
/** Spans that are kept: older ones weigh nothing. */
const MOST_SPANS = 128;

export interface ForecastOptions {
  /** Milliseconds. Default: those of `performance`. */
  readonly now?: () => number;
  /** Milliseconds for which shaders have been waited for so far. Default: none. */
  readonly waitedMs?: () => number;
  /** Regions that another device has finished. Default 0. */
  readonly done?: number;
  /** Whether the runs of this call are like others. Default true. */
  readonly teaches?: boolean;
}

/** A stage under way. */
interface Present {
  readonly stage: RunStage;
  /** A run that is expected; another takes what it takes. */
  readonly isExpected: boolean;
  readonly isFirst: boolean;
  readonly work: number;
  readonly waitedMs: number;
  readonly startedAt: number;
  fraction: number;
  /** The first report: work had begun before it. */
  first?: { readonly at: number; readonly fraction: number };
  /** The end of the last span. */
  spanned: { readonly at: number; readonly fraction: number };
}

/** A part of a run, and what it took. */
interface Span {
  readonly stage: RunStage;
  /** Of the run. */
  readonly work: number;
  readonly share: number;
  readonly ms: number;
}

export class Forecast {
  readonly #rates: Rates;
  readonly #now: () => number;
  readonly #waitedMs: () => number;
  readonly #teaches: boolean;
  /** Runs that are still to begin. */
  readonly #ahead: Map<RunStage, StageWork>;
  /** What a run of each stage counts in the fraction. */
  readonly #counts = new Map<RunStage, number>();
  readonly #isKnown: boolean;
  readonly #spans: Span[] = [];
  #present: Present | undefined;
  /** Between runs: what others do with regions. */
  #pausedMs = 0;
  #endedAt: number | undefined;
  #ended = 0;
  #done = 0;
  #total = 0;
  #fraction = 0;

  constructor(work: CallWork, rates: Rates, options: ForecastOptions = {}) {
    this.#rates = rates;
    this.#now = options.now ?? (() => performance.now());
    this.#waitedMs = options.waitedMs ?? (() => 0);
    this.#teaches = options.teaches ?? true;
    this.#ahead = new Map(work);
    const stages = [...work];
    this.#isKnown = stages.every(([stage, each]) => rates.runMs(stage, each.work) !== undefined);
    for (const [stage, { work: each, runs }] of stages) {
      const count = this.#runMs(stage, each) + rates.setupMs(stage, rates.isFirst(stage));
      this.#counts.set(stage, count);
      this.#total += count * runs;
      if (runs === 1 || options.done === undefined) continue;
      this.#ahead.set(stage, { work: each, runs: runs - options.done });
      this.#done += count * options.done;
    }
  }

  /** 0 … 1 of the call, by the time that it should take; never less than before. */
  get fraction(): number {
    const { stage, isExpected, fraction } = this.#present ?? { fraction: 0 };
    const within = stage && isExpected ? (this.#counts.get(stage) ?? 0) * fraction : 0;
    const isOver = this.#total === 0;
    this.#fraction = Math.max(
      this.#fraction,
      isOver ? 0 : Math.min(1, (this.#done + within) / this.#total),
    );
    return this.#fraction;
  }

  /** Milliseconds to the end of the call; undefined while that would be a guess. */
  get leftMs(): number | undefined {
    const rates = this.#rates;
    let [run, setup, runsLeft] = [0, 0, 0];
    for (const [stage, { work, runs }] of this.#ahead) {
      if (runs === 0) continue;
      runsLeft += runs;
      const isNew = rates.isFirst(stage) && this.#present?.stage !== stage;
      run += runs * this.#runMs(stage, work);
      setup += (runs - 1) * rates.setupMs(stage, false) + rates.setupMs(stage, isNew);
    }
    const present = this.#present;
    if (present) {
      run += (1 - present.fraction) * this.#runMs(present.stage, present.work);
      if (present.first === undefined) {
        const waited = this.#now() - present.startedAt;
        setup += Math.max(0, rates.setupMs(present.stage, present.isFirst) - waited);
      }
    }
    const [pace, seen] = this.#pace(run);
    if (!this.#isKnown && seen < TOLD_FROM * (run + seen)) return undefined;
    const pauses = this.#ended > 0 ? (this.#pausedMs / this.#ended) * runsLeft : 0;
    return pace * run + setup + pauses;
  }

  /** Leaves out stages that need not run. */
  skip(stages: readonly RunStage[]): void {
    for (const stage of stages) {
      const { runs = 0 } = this.#ahead.get(stage) ?? {};
      this.#total -= runs * (this.#counts.get(stage) ?? 0);
      this.#ahead.delete(stage);
    }
  }

  /** A stage begins; the one before has ended. `isForeseen`: for what `work` says of it. */
  begin(stage: RunStage, isForeseen = true): void {
    this.end();
    const { work = 0, runs = 0 } = (isForeseen && this.#ahead.get(stage)) || {};
    const at = this.#now();
    this.#pausedMs += at - (this.#endedAt ?? at);
    this.#endedAt = undefined;
    this.#present = {
      stage,
      work,
      isExpected: runs > 0,
      isFirst: this.#rates.isFirst(stage),
      waitedMs: this.#waitedMs(),
      startedAt: at,
      fraction: 0,
      spanned: { at, fraction: 0 },
    };
    if (runs > 0) this.#ahead.set(stage, { work, runs: runs - 1 });
  }

  /** The stage under way is so far. */
  report(fraction: number): void {
    const present = this.#present;
    if (present === undefined || fraction <= present.fraction) return;
    present.fraction = fraction;
    const at = this.#now();
    if (present.first === undefined) {
      present.first = present.spanned = { at, fraction };
      return;
    }
    const { spanned } = present;
    const share = fraction - spanned.fraction;
    const count = this.#counts.get(present.stage) ?? 0;
    if (share * count < SPAN * this.#total && fraction < 1) return;
    this.#span(present, share, at - spanned.at);
    present.spanned = { at, fraction };
  }

  /** The stage under way has ended. */
  end(): void {
    const present = this.#present;
    this.#present = undefined;
    if (present === undefined || !present.isExpected) return;
    const { stage, work, first, startedAt } = present;
    this.#done += this.#counts.get(stage) ?? 0;
    this.#ended++;
    const at = this.#now();
    this.#endedAt = at;
    const ms = at - startedAt;
    const waitedMs = this.#waitedMs() - present.waitedMs;
    const isFirst = present.isFirst || waitedMs > COMPILED;
    // One report in the middle of the run, or none, does not tell when it began.
    const isSplit = first !== undefined && first.fraction <= 0.5;
    const workedMs = isSplit ? (at - first.at) / (1 - first.fraction) : ms - waitedMs;
    const runMs = Math.max(0, Math.min(ms, workedMs));
    if (!isSplit && !isFirst) this.#span(present, 1, ms);
    if (this.#teaches) this.#rates.learn(stage, { work, setupMs: ms - runMs, runMs }, isFirst);
  }

  #span({ stage, work }: Present, share: number, ms: number): void {
    this.#spans.push({ stage, work, share, ms });
    if (this.#spans.length > MOST_SPANS) this.#spans.shift();
  }

  /** Milliseconds of a run at the pace that is known, or in a unit of its own where nothing is known. */
  #runMs(stage: RunStage, work: number): number {
    return this.#rates.runMs(stage, work) ?? this.#rates.anyRunMs(work) ?? work;
  }

  /** How much slower this call is than foreseen, and how much of what was foreseen it has done; `left` is still to come. */
  #pace(left: number): readonly [pace: number, seen: number] {
    const foreseen = this.#spans.map(({ stage, work, share }) => share * this.#runMs(stage, work));
    const seen = foreseen.reduce((sum, ms) => sum + ms, 0);
    const window = WINDOW * (left + seen);
    let [taken, expected, since] = [0, 0, 0];
    for (let i = this.#spans.length - 1; i >= 0; i--) {
      const part = foreseen[i] as number;
      const weight = Math.exp(-(since + part / 2) / window);
      taken += weight * (this.#spans[i] as Span).ms;
      expected += weight * part;
      since += part;
    }
    const trust = this.#isKnown ? TRUST * (left + seen) * Math.exp(-since / window) : 0;
    return [expected + trust > 0 ? (taken + trust) / (expected + trust) : 1, seen];
  }
}
