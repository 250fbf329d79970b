/**
 * A job of a fleet: addresses and options, never pixels, never secrets. Its options are words of the command line, so that
 * clients in any language can write them and the worker, which trusts nobody, parses them by the same rules.
 */
import { createHash } from "node:crypto";
import type { Option } from "commander";
import { Command, CommanderError } from "commander";
import { modelPrecisionOption } from "../cli/command.ts";
import { oneLine, usageError } from "../cli/errors.ts";
import type { PictureOptions } from "../cli/upscale/picture-options.ts";
import {
  addEngineOptions,
  addRealismOptions,
  addResultOptions,
  checkPictureOptions,
} from "../cli/upscale/picture-options.ts";
import type { Precision } from "../src/rcod/settings/options.ts";

/** What a queue carries for one picture. */
export interface FleetJob {
  /** An absolute path or `s3://bucket/key`. */
  readonly input: string;
  /** Likewise; what is there already is the result. */
  readonly output: string;
  /** Of the input, in bytes. */
  readonly size: number;
  /** Of the input: `sha256:…`, `etag:…` or `time:…`. */
  readonly version: string;
  /** Checksum of the model, see `model-checksum.ts`. */
  readonly model: string;
  /** Words as of `rcod upscale`, in a fixed order: `["--scale", "2"]`. */
  readonly options: readonly string[];
  /** Whether the result takes the place of what is there. */
  readonly replace?: boolean;
}

/** What came of a job. */
export interface JobResult {
  /** Who did it. */
  readonly worker: string;
  /** Whether this job wrote the result, or found it there. */
  readonly outcome: "written" | "there";
  /** Width times height of the result, frames included; 0 where it was there. */
  readonly pixels: number;
  /** From claim to result. */
  readonly ms: number;
  /** What was converted, or could not be kept. */
  readonly notes?: readonly string[];
}

/** Options of jobs. */
export interface JobOptions extends PictureOptions {
  /** Storage of weights and activations. */
  readonly precision: Precision;
}

/** Adds the options of jobs to a command. */
export function addJobOptions(command: Command): Command {
  return addEngineOptions(
    addRealismOptions(addResultOptions(command)).addOption(modelPrecisionOption()),
  );
}

/** The options as words, equal for equal options. */
export function optionWords(options: JobOptions): readonly string[] {
  const given: Readonly<Record<string, unknown>> = { ...options };
  return jobCommand().options.flatMap((option: Option) => {
    const value = given[option.attributeName()];
    const flag = option.long ?? "";
    if (value === undefined || value === option.defaultValue) return [];
    return value === true ? [flag] : [flag, wordOf(value)];
  });
}

/** A box is the only value that is no word itself. */
const wordOf = (value: unknown): string =>
  typeof value === "object" && value !== null && "width" in value && "height" in value
    ? `${String(value.width)}x${String(value.height)}`
    : String(value);

/** The options that words say. Throws `CliError` (exit code 2) for words that do not parse. */
export function parseWords(words: readonly string[]): JobOptions {
  const command = jobCommand();
  try {
    command.parse(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw usageError(
      `options that do not parse: ${oneLine(error.message.replace(/^error: /, ""))}`,
    );
  }
  const options = command.opts<JobOptions>();
  checkPictureOptions(options);
  return options;
}

function jobCommand(): Command {
  return addJobOptions(new Command("job"))
    .helpOption(false)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr() {}, outputError() {} });
}

/** Equal for equal work: input, its version, result, model and options. */
export function jobId(job: FleetJob): string {
  const { input, output, size, version, model, options } = job;
  const text = JSON.stringify([input, output, size, version, model, options]);
  // A letter in front: BullMQ keeps plain numbers for its own names.
  return `j${createHash("sha256").update(text).digest("hex").slice(0, 40)}`;
}

/** What a queue handed out, as a job. Throws `CliError` (exit code 2) for what is none. */
export function checkedJob(data: unknown): FleetJob {
  const job = (typeof data === "object" && data !== null ? data : {}) as Partial<FleetJob>;
  const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
  for (const field of ["input", "output", "version", "model"] as const) {
    if (!isText(job[field]))
      throw usageError(`job: ${field} must be a text, got ${shown(job[field])}`);
  }
  if (!Number.isSafeInteger(job.size) || Number(job.size) < 0) {
    throw usageError(`job: size must be a number of bytes, got ${shown(job.size)}`);
  }
  if (!Array.isArray(job.options) || !job.options.every((word) => typeof word === "string")) {
    throw usageError(`job: options must be a list of words, got ${shown(job.options)}`);
  }
  return job as FleetJob;
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? "nothing").slice(0, 100);
