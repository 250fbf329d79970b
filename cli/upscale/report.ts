/** What `rcod upscale` tells: a line for each image, one for a batch, the same as JSON. */
import { formatBytes, formatMs } from "../format.ts";
import { shownText } from "../shown-text.ts";
import type { Skipped } from "./inputs.ts";
import { STREAM, skippedText } from "./inputs.ts";

/** An image that was upscaled: an element of `results` under `--json`. Sizes are `[width, height]`. */
export interface JobReport {
  readonly input: string;
  readonly output: string;
  readonly inputSize: readonly [number, number];
  readonly outputSize: readonly [number, number];
  /** Of an animation. */
  readonly frames?: number;
  /** Of a picture that was computed in several. */
  readonly regions?: number;
  readonly timestep: number;
  /** Under `--realism auto`: what the timestep was chosen by. */
  readonly predictedMetric?: number;
  /** By stage of the engine, with `read` (decoding the file) and `write` (encoding it) around them. */
  readonly timingsMs: Readonly<Record<string, number>>;
  readonly totalMs: number;
  /** Device memory: weights and activations together, and activations alone. */
  readonly peakBytes: number;
  readonly peakActivationBytes: number;
  /** What was converted, or could not be kept. */
  readonly notes?: readonly string[];
}

/** An image that failed. */
export interface FailedReport {
  readonly input: string;
  readonly error: string;
}

/** What a call has done. */
export interface Tally {
  readonly reports: readonly (JobReport | FailedReport)[];
  readonly skipped: readonly Skipped[];
  /** Images that were not tried, since the call ended before. */
  readonly left: number;
  readonly totalMs: number;
}

const isFailed = (report: JobReport | FailedReport): report is FailedReport => "error" in report;

/** The same numbers as in the line, and the files that were left out. */
export function tallyJson({ reports, skipped, left, totalMs }: Tally): object {
  const errors = reports.filter(isFailed);
  return {
    results: reports,
    done: reports.length - errors.length,
    skipped: skipped.length,
    failed: errors.length,
    ...(left > 0 && { left }),
    totalMs,
    skippedFiles: skipped,
    ...(errors[0] !== undefined && { error: errors[0].error }),
  };
}

/** `12 done, 3 skipped (3 × result there already), 1 failed in 2 min 4 s`. */
export function tallyLine({ reports, skipped, left, totalMs }: Tally): string {
  const failed = reports.filter(isFailed).length;
  const notTried = left === 0 ? "" : `, ${left} not tried`;
  return (
    `${reports.length - failed} done, ${skippedText(skipped)}, ${failed} failed${notTried} ` +
    `in ${formatMs(totalMs)}`
  );
}

/** One line about an image that was upscaled. */
export function reportLine(report: JobReport): string {
  const size = ([width, height]: readonly [number, number]) => `${width} × ${height}`;
  const { timestep, predictedMetric, frames, regions } = report;
  const parts = frames === undefined ? "" : `, ${frames} frames`;
  const pieces = regions === undefined ? "" : `, ${regions} regions`;
  const choice =
    predictedMetric === undefined
      ? ""
      : `timestep ${timestep} for a predicted metric of ${predictedMetric.toFixed(4)}  `;
  return (
    `${fileName(report.input, "standard input")} → ${fileName(report.output, "standard output")}  ` +
    `${size(report.inputSize)} → ${size(report.outputSize)}${parts}${pieces}  ${choice}` +
    `${formatMs(report.totalMs)}, GPU memory ${formatBytes(report.peakBytes)}`
  );
}

/** A path for people. */
export function fileName(path: string, stream = "standard input"): string {
  return path === STREAM ? stream : shownText(path);
}
