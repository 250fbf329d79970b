/** `rcod fleet submit` at work: pictures, jobs, what the queue knows of them already. */
import { EXIT, describeError, usageError } from "../../cli/errors.ts";
import { interruptible } from "../../cli/interrupt.ts";
import { checkModelPaths, modelPaths } from "../../cli/model-paths.ts";
import type { ModelPaths } from "../../cli/model-paths.ts";
import { shownText } from "../../cli/shown-text.ts";
import type { Terminal } from "../../cli/terminal.ts";
import { reportError } from "../../cli/terminal.ts";
import type { Problem, Skipped } from "../../cli/upscale/inputs.ts";
import { skippedText } from "../../cli/upscale/inputs.ts";
import { checkPictureOptions } from "../../cli/upscale/picture-options.ts";
import { checkHasMem } from "../../cli/upscale/run.ts";
import type { FleetJob, JobOptions } from "../job.ts";
import { jobId, parseWords, optionWords } from "../job.ts";
import { modelChecksum } from "../model-checksum.ts";
import type { JobStore } from "../queue/job-store.ts";
import { withStore } from "../queue/with-store.ts";
import type { QueueOptions } from "../queue/with-store.ts";
import { addressOf, isS3 } from "../storage/address.ts";
import { Storages } from "../storage/storages.ts";
import { findPictures } from "./find-pictures.ts";
import { makeJobs } from "./make-jobs.ts";
import { watchJobs } from "./watch.ts";

export interface SubmitOptions extends QueueOptions, ModelPaths, JobOptions {
  readonly input: readonly string[];
  readonly to: string;
  readonly recursive?: boolean;
  readonly force?: boolean;
  /** Files are known by size and time. */
  readonly byTime?: boolean;
  /** Seconds. */
  readonly retryDelay: number;
  readonly watch?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** What `submit` tells, also as JSON. */
interface SubmitTally {
  readonly pictures: number;
  /** New jobs. */
  readonly added: number;
  /** Jobs that were there and are not finished. */
  readonly waiting: number;
  /** Whose result is there. */
  readonly done: number;
  /** Whose job failed before. */
  readonly failed: number;
  readonly skipped: number;
  readonly problems: readonly { readonly input: string; readonly error: string }[];
}

/** Exit code 0; 1 where pictures cannot be jobs or, watched, jobs failed. Throws what concerns all of them. */
export async function runSubmit(options: SubmitOptions, terminal: Terminal): Promise<number> {
  checkPictureOptions(options);
  parseWords(optionWords(options)); // as every worker will
  const to = addressOf(options.to);
  await checkModelPaths(options);
  if (options.realism === "auto") await checkHasMem(options);
  const storages = new Storages();
  try {
    return await interruptible((signal) =>
      withStore(options, terminal, (store) =>
        submit(store, storages, to, options, terminal, signal),
      ),
    );
  } finally {
    storages.close();
  }
}

async function submit(
  store: JobStore,
  storages: Storages,
  to: string,
  options: SubmitOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const { recursive = false, force = false, byTime = false, watch, quiet, json } = options;
  await storages.of(to).checkWritable(to);
  const outFolder = isS3(to) ? undefined : to;
  const found = await findPictures(options.input, storages, { recursive, outFolder });
  const model = await modelChecksum(modelPaths(options));
  signal.throwIfAborted();
  const made = await makeJobs(found.pictures, { to, model, options, force, byTime });
  signal.throwIfAborted();
  const problems = [...found.problems, ...made.problems];
  for (const { input, error } of problems) reportError(terminal, error, shownText(input));
  if (made.jobs.length === 0) return nothing(problems, found.skipped);
  await store.useModel(model);
  const { tally, watched } = await enqueue(store, storages, made.jobs, options);
  const whole: SubmitTally = {
    pictures: made.jobs.length + problems.length,
    ...tally,
    skipped: found.skipped.length,
    problems: problems.map(({ input, error }) => ({
      input,
      error: describeError(error).message,
    })),
  };
  if (quiet !== true && json !== true) terminal.out(tallyText(whole, found.skipped));
  let failed = 0;
  if (watch === true) {
    const ended = await watchJobs(store, watched, { terminal, isQuiet: quiet === true, signal });
    failed = ended.failed;
    const isTold = quiet !== true && json !== true && watched.length > 0;
    if (isTold) terminal.out(`${ended.done} done, ${failed} failed`);
    if (failed > 0) terminal.note("rcod: what failed, and why: rcod fleet failed");
    if (json === true) terminal.out(JSON.stringify({ ...whole, ended }));
  } else if (json === true) terminal.out(JSON.stringify(whole));
  return problems.length + failed > 0 ? EXIT.failed : EXIT.ok;
}

function nothing(problems: readonly Problem[], skipped: readonly Skipped[]): number {
  if (problems.length > 0) return EXIT.usage; // each has been told
  const left = skipped.length === 0 ? "" : ` (${skippedText(skipped)})`;
  throw usageError(`no picture to submit${left}`);
}

type Queued = Pick<SubmitTally, "added" | "waiting" | "done" | "failed">;

/** Adds what is neither done nor known. */
async function enqueue(
  store: JobStore,
  storages: Storages,
  jobs: readonly FleetJob[],
  { force = false, retryDelay }: SubmitOptions,
): Promise<{ readonly tally: Queued; readonly watched: readonly string[] }> {
  const outputs = jobs.map(({ output }) => output);
  const [first = ""] = outputs;
  const there = await storages.of(first).existing(outputs);
  const states = await store.states(jobs.map(jobId));
  const added: FleetJob[] = [];
  const again: string[] = [];
  const watched: string[] = [];
  const count = { waiting: 0, done: 0, failed: 0 };
  for (const [i, job] of jobs.entries()) {
    const id = jobId(job);
    const state = states[i];
    const isDone = there.has(job.output) && !force;
    if (state === "waiting") count.waiting++;
    else if (isDone) count.done++;
    else if (state === "failed") count.failed++;
    else {
      // A result that is gone, or is to be replaced, is made again.
      if (state === "done") again.push(id);
      added.push(job);
    }
    if (!isDone || state === "waiting") watched.push(id);
  }
  await store.remove(again);
  await store.add(added, retryDelay);
  return { tally: { added: added.length, ...count }, watched };
}

function tallyText(tally: SubmitTally, skipped: readonly Skipped[]): string {
  const { pictures, added, waiting, done, failed, problems } = tally;
  const parts = [
    `${added} submitted`,
    ...(waiting > 0 ? [`${waiting} in the queue already`] : []),
    ...(done > 0 ? [`${done} done before`] : []),
    ...(failed > 0 ? [`${failed} failed before (again: rcod fleet failed --retry)`] : []),
    ...(problems.length > 0 ? [`${problems.length} refused`] : []),
    ...(skipped.length > 0 ? [skippedText(skipped)] : []),
  ];
  return `${pictures} pictures: ${parts.join(", ")}`;
}
