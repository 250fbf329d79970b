/** One job from input to result, whatever queue it came from. Its effect is the same however often it is done. */
import { describeError } from "../../cli/errors.ts";
import { formatOfPath } from "../../cli/image/formats.ts";
import { shownText } from "../../cli/shown-text.ts";
import { RefusedError, StorageError, WrongWorkerError } from "../errors.ts";
import { fileVersion } from "../file-version.ts";
import type { Inference } from "../inference/inference.ts";
import { InferenceError } from "../inference/inference.ts";
import type { FleetJob, JobResult } from "../job.ts";
import { checkedJob, parseWords } from "../job.ts";
import { isBelow } from "../storage/address.ts";
import type { LocalFile } from "../storage/storage.ts";
import type { Storages } from "../storage/storages.ts";

/** What a worker does jobs with. */
export interface JobTools {
  /** Name of the worker, for results. */
  readonly worker: string;
  /** Where inputs and results lie. */
  readonly storages: Storages;
  /** What computes. */
  readonly inference: Inference;
  /** Checksum of the model that `inference` has. */
  readonly model: string;
  /** Largest file that is read. */
  readonly mostBytes: number;
  /** Folders and prefixes that jobs may name; empty for all. */
  readonly allowed: readonly string[];
}

/**
 * Does a job: a result that is there is success, else the picture is read, upscaled and written under its address at
 * once. `onBegun` is called when the GPU works on it. Throws `RefusedError`, `WrongWorkerError`, `StorageError`, `InferenceError`, `CliError`.
 */
export async function doJob(
  data: unknown,
  tools: JobTools,
  signal: AbortSignal,
  onBegun: () => void = () => {},
): Promise<JobResult> {
  const startedAt = performance.now();
  const { worker, storages, inference } = tools;
  const job = acceptedJob(data, tools);
  const { input, output, replace = false } = job;
  const finished = (outcome: JobResult["outcome"], pixels: number): JobResult => ({
    worker,
    outcome,
    pixels,
    ms: Math.round(performance.now() - startedAt),
  });
  const target = storages.of(output);
  if (!replace && (await target.has(output))) return finished("there", 0);
  const local = await storages.of(input).read(input, tools.mostBytes, signal);
  try {
    await checkVersion(job, local, signal);
    const place = await target.place(output);
    try {
      const task = {
        input: local.path,
        output: place.path,
        format: formatOfPath(output),
        options: job.options,
      };
      const report = await inference.upscale(task, signal, onBegun).catch((error: unknown) => {
        throw ofPlace(error, output);
      });
      const outcome = await place.publish(replace, signal);
      const [width, height] = report.outputSize;
      const { notes } = report;
      return {
        ...finished(outcome, width * height * (report.frames ?? 1)),
        ...(notes !== undefined && { notes }),
      };
    } finally {
      await place.discard();
    }
  } finally {
    await local.release();
  }
}

/** A result that cannot be written where it is made cannot be written under its address. */
function ofPlace(error: unknown, output: string): unknown {
  if (!(error instanceof InferenceError) || error.why !== "place") return error;
  return new StorageError(`cannot write ${shownText(output)}: ${error.message}`);
}

/** The job, if it is one for this worker. */
function acceptedJob(data: unknown, { model, allowed }: JobTools): FleetJob {
  let job: FleetJob;
  try {
    job = checkedJob(data);
    parseWords(job.options);
  } catch (error) {
    throw new RefusedError(describeError(error).message);
  }
  for (const address of [job.input, job.output]) {
    if (allowed.length === 0 || allowed.some((folder) => isBelow(address, folder))) continue;
    throw new RefusedError(
      `${shownText(address)} is not below what this worker was allowed (--allow ${allowed.join(", ")})`,
    );
  }
  if (job.model !== model) {
    throw new WrongWorkerError(
      `the queue's jobs are for the model ${job.model.slice(0, 12)}…, this worker has ${model.slice(0, 12)}…. ` +
        `Start it with the --model of rcod fleet submit, or give the other jobs a queue of their own: --name`,
    );
  }
  return job;
}

/** A picture that was replaced since it was submitted is another picture. */
async function checkVersion(job: FleetJob, local: LocalFile, signal: AbortSignal): Promise<void> {
  const [kind = ""] = job.version.split(":");
  const version = local.version ?? (await fileVersion(local.path, kind, signal));
  if (local.size === job.size && version === job.version) return;
  throw new RefusedError(
    `${shownText(job.input)} has changed since it was submitted. Submit it again`,
  );
}
