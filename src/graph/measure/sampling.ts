/** Repeated measurements: warm-up, repeats within a pass until it is long enough, interleaved series, quantiles. */
import type { Clock } from "../../gpu/clock.ts";
import type { Recorder } from "../execution/recorder.ts";

export interface SamplingOptions {
  /** A pass is repeated within itself until it takes this long. */
  readonly minMs: number;
  /** Passes to time. */
  readonly samples: number;
  /** Fewer samples (at least 3) are taken of what would take longer than this. */
  readonly maxSeriesMs: number;
}

/** Milliseconds of one run. */
export interface Timing {
  /** Median. */
  readonly medianMs: number;
  /** A tenth of the samples is faster. */
  readonly p10Ms: number;
  /** A tenth of the samples is slower. */
  readonly p90Ms: number;
  /** Passes that were timed. */
  readonly samples: number;
  /** Repetitions within one timed pass. */
  readonly repeats: number;
}

const MAX_REPEATS = 4096;
const LEAST_SAMPLES = 3;

/** Milliseconds that `repeats` runs in a row take. */
export type Measure = (repeats: number) => Promise<number>;

/** Times several recorders in turn (A B A B …), so that a change of clock speed meets all of them. */
export async function sample(
  clock: Clock,
  recorders: readonly Recorder[],
  options: SamplingOptions,
): Promise<readonly Timing[]> {
  return sampleInTurn(
    recorders.map(
      (recorder) => (repeats) => clock.measure((pass) => recorder.record(pass, repeats)),
    ),
    options,
  );
}

/** The same for anything that can be run a number of times. */
export async function sampleInTurn(
  measures: readonly Measure[],
  options: SamplingOptions,
): Promise<readonly Timing[]> {
  const series: {
    readonly measure: Measure;
    repeats: number;
    count: number;
    readonly ms: number[];
  }[] = [];
  for (const measure of measures) {
    const { repeats, passMs } = await findRepeats(measure, options.minMs);
    const affordable = Math.floor(options.maxSeriesMs / Math.max(passMs, 1e-3));
    const count = Math.min(options.samples, Math.max(LEAST_SAMPLES, affordable));
    series.push({ measure, repeats, count, ms: [] });
  }
  for (let i = 0; i < Math.max(...series.map(({ count }) => count)); i++) {
    for (const { measure, repeats, count, ms } of series) {
      if (i < count) ms.push((await measure(repeats)) / repeats);
    }
  }
  return series.map(({ repeats, ms }) => ({
    medianMs: quantile(ms, 0.5),
    p10Ms: quantile(ms, 0.1),
    p90Ms: quantile(ms, 0.9),
    samples: ms.length,
    repeats,
  }));
}

/** Warms up, and finds how many runs fill `minMs`. */
async function findRepeats(
  measure: Measure,
  minMs: number,
): Promise<{ readonly repeats: number; readonly passMs: number }> {
  let repeats = 1;
  for (;;) {
    const ms = await measure(repeats);
    if (ms >= minMs || repeats >= MAX_REPEATS) return { repeats, passMs: ms };
    // A little more than needed, at most ×16: short passes are dominated by what is constant.
    const factor = ms > 0 ? Math.min(16, (1.2 * minMs) / ms) : 16;
    repeats = Math.min(MAX_REPEATS, Math.ceil(repeats * Math.max(factor, 1.5)));
  }
}

/** Linear interpolation between the sorted values; `q` from 0 to 1. NaN for none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? NaN;
  const above = sorted[Math.ceil(at)] ?? NaN;
  return below + (above - below) * (at - Math.floor(at));
}
