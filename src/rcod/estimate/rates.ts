/**
 * How long this device takes for the stages of this model, learned from those that have run: time to set up, and then a fixed time
 * and one that grows with the work. The first run of a stage also compiles its shaders and fills caches, so it counts apart; its
 * pace counts only until there is another.
 */
import type { RunStage } from "../settings/options.ts";

/** Runs of a stage that are remembered, of each kind. */
const MOST_RUNS = 6;
/** What a run counts relative to the one after it: drivers, clocks and temperatures change. */
const FADING = 0.7;
/** Below this ratio of the largest to the least work a fixed time cannot be told from the pace. */
const LEAST_SPREAD = 1.5;
/** A run that was foreseen within this share of its time says nothing that is worth keeping. */
const FORESEEN = 0.15;

/** A finished run of a stage. */
export interface StageRun {
  /** In floating-point operations and their like. */
  readonly work: number;
  /** Until the work began: shaders, plans, weights that are read again. */
  readonly setupMs: number;
  /** From then on. */
  readonly runMs: number;
}

/** What is known of a stage, oldest first. */
export interface StageHistory {
  /** Runs in which shaders were compiled. */
  readonly first: readonly StageRun[];
  readonly later: readonly StageRun[];
}

/** As it is stored. */
export type RateRecord = Readonly<Partial<Record<RunStage, StageHistory>>>;

interface Pace {
  readonly fixedMs: number;
  readonly msPerWork: number;
}

export class Rates {
  readonly #stages = new Map<RunStage, StageHistory>();
  readonly #paces = new Map<RunStage, Pace>();
  /** Stages that have run since the model was loaded. */
  readonly #begun = new Set<RunStage>();
  readonly #keep: ((record: RateRecord) => void) | undefined;
  #isWorthKeeping = false;

  /** `record`: what another process has learned; `keep` takes what the next one should know. */
  constructor(record: RateRecord = {}, keep?: (record: RateRecord) => void) {
    this.#keep = keep;
    for (const [stage, history] of Object.entries(record)) this.#set(stage as RunStage, history);
  }

  /** Whether the next run of a stage is its first since the model was loaded. */
  isFirst(stage: RunStage): boolean {
    return !this.#begun.has(stage);
  }

  /** Takes a finished run. `isFirst`: shaders were compiled for it, or during it. */
  learn(stage: RunStage, run: StageRun, isFirst: boolean): void {
    this.#begun.add(stage);
    const expected = this.runMs(stage, run.work);
    const { first = [], later = [] } = this.#stages.get(stage) ?? {};
    const isNews = expected === undefined || Math.abs(expected - run.runMs) > FORESEEN * run.runMs;
    if (isNews || first.length + later.length < 2) this.#isWorthKeeping = true;
    const add = (runs: readonly StageRun[]): StageRun[] => [...runs, run].slice(-MOST_RUNS);
    this.#set(stage, isFirst ? { first: add(first), later } : { first, later: add(later) });
  }

  /** Milliseconds of a run without its set-up; undefined while the stage is unknown. */
  runMs(stage: RunStage, work: number): number | undefined {
    const pace = this.#paces.get(stage);
    return pace && pace.fixedMs + pace.msPerWork * work;
  }

  /** Milliseconds of a run by the pace of the known stage with the most work; undefined where none is known. */
  anyRunMs(work: number): number | undefined {
    let most: StageRun | undefined;
    for (const { first, later } of this.#stages.values()) {
      const last = later.at(-1) ?? first.at(-1);
      if (last && last.work > (most?.work ?? 0)) most = last;
    }
    return most && (most.runMs / most.work) * work;
  }

  /** Milliseconds before the work of a run begins, 0 while unknown. What a first run takes beyond a later one counts too. */
  setupMs(stage: RunStage, isFirst: boolean): number {
    const { first = [], later = [] } = this.#stages.get(stage) ?? {};
    if (!isFirst || first.length === 0) return mean(later.map(({ setupMs }) => setupMs));
    const beyond = ({ work, setupMs, runMs }: StageRun): number =>
      Math.max(0, setupMs + runMs - (this.runMs(stage, work) ?? runMs));
    return mean(first.map(later.length > 0 ? beyond : ({ setupMs }) => setupMs));
  }

  /** Whether something is known of the first run of a stage in a process. */
  knowsFirst(stage: RunStage): boolean {
    return (this.#stages.get(stage)?.first.length ?? 0) > 0;
  }

  /** Hands on what is known, where the runs since the last time have changed it. */
  settle(): void {
    if (!this.#isWorthKeeping) return;
    this.#isWorthKeeping = false;
    this.#keep?.(Object.fromEntries(this.#stages));
  }

  #set(stage: RunStage, history: StageHistory): void {
    this.#stages.set(stage, history);
    const { first, later } = history;
    const runs = later.length > 0 ? later : first;
    if (runs.length > 0) this.#paces.set(stage, paceOf(runs));
  }
}

const weightOf = (age: number): number => FADING ** age;

/** Of values of which the last counts most; 0 of none. */
function mean(values: readonly number[]): number {
  let [sum, weights] = [0, 0];
  for (const [age, value] of values.toReversed().entries()) {
    sum += weightOf(age) * value;
    weights += weightOf(age);
  }
  return weights > 0 ? sum / weights : 0;
}

/** The line through the runs with the least squares of relative errors, whose two figures are not negative. */
function paceOf(runs: readonly StageRun[]): Pace {
  const works = runs.map(({ work }) => work);
  const isSpread = Math.max(...works) > LEAST_SPREAD * Math.min(...works);
  let [one, x, xx] = [0, 0, 0]; // sums of w/t², w·x/t², w·x²/t²
  let [y, xy] = [0, 0]; // of w/t, w·x/t
  for (const [age, { work, runMs }] of runs.toReversed().entries()) {
    const t = Math.max(runMs, 1e-3);
    const w = weightOf(age);
    one += w / t ** 2;
    x += (w * work) / t ** 2;
    xx += (w * work ** 2) / t ** 2;
    y += w / t;
    xy += (w * work) / t;
  }
  const determinant = one * xx - x * x;
  const fixedMs = isSpread ? (y * xx - x * xy) / determinant : 0;
  const msPerWork = (xy - x * fixedMs) / xx;
  if (fixedMs > 0 && msPerWork > 0) return { fixedMs, msPerWork };
  return msPerWork > 0 ? { fixedMs: 0, msPerWork: xy / xx } : { fixedMs: y / one, msPerWork: 0 };
}
