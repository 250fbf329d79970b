/** `rcod upscale` at work: jobs, engine, reports. */
import { lstat, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Gpu } from "../../src/gpu/device.ts";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { ExistsError } from "../atomic-write.ts";
import type { LoadModel } from "../engine.ts";
import { loadModelAt } from "../engine.ts";
import { CliError, EXIT, describeError, usageError } from "../errors.ts";
import { systemPath } from "../file-name.ts";
import { interruptible } from "../interrupt.ts";
import { launch } from "../launch.ts";
import type { ModelPaths } from "../model-paths.ts";
import { checkModelPaths, modelFilesAt, modelPaths } from "../model-paths.ts";
import type { ProgressDisplay } from "../progress.ts";
import { createProgress } from "../progress.ts";
import type { Terminal } from "../terminal.ts";
import { reportError } from "../terminal.ts";
import type { UpscaleCliOptions } from "./command.ts";
import { modelSizes } from "./geometry-check.ts";
import type { Skipped } from "./inputs.ts";
import { STREAM } from "./inputs.ts";
import type { HeldPixels, ImageWork, InspectedImage, ReadyImage } from "./one-image.ts";
import { HELD_PIXELS, inspectInput, looksReadable, readJob, upscaleJob } from "./one-image.ts";
import type { Job, Plan } from "./outputs.ts";
import { RESULT_IS_THERE, planJobs } from "./outputs.ts";
import { checkPictureOptions } from "./picture-options.ts";
import type { PlannedImage } from "./plan-only.ts";
import { planImage, planLines } from "./plan-only.ts";
import type { FailedReport, JobReport, Tally } from "./report.ts";
import { fileName, reportLine, tallyJson, tallyLine } from "./report.ts";
import { ResultFolders } from "./result-folders.ts";
import { RunEngine } from "./run-engine.ts";
import type { Streams } from "./streams.ts";
import { checkStandardOutput, processStreams } from "./streams.ts";

/** What the command takes from elsewhere; tests put their own engine here. */
export interface UpscaleDependencies {
  /** See `launch.ts`: the exit code of the process that did the work instead, or null. */
  readonly launch: (isQuiet?: boolean) => Promise<number | null>;
  readonly openGpu: (toggles: readonly string[]) => Promise<Gpu>;
  readonly loadModel: LoadModel;
  /** Default: those of the process. */
  readonly streams?: Streams;
  /** Default: what computers have room for. */
  readonly mostHeld?: HeldPixels;
}

const ENGINE: UpscaleDependencies = {
  launch,
  openGpu: (toggles) => requestNodeGpu({ toggles }),
  loadModel: loadModelAt,
};

/**
 * Runs the command and returns its exit code: 0; 1 when one of several images failed; for a single image
 * 2 when the image is to blame and 1 otherwise. Throws what concerns all images (usage, model, adapter), and
 * `CliError` when interrupted. Everything that can be checked is checked before a GPU is requested.
 */
export async function runUpscale(
  options: UpscaleCliOptions,
  terminal: Terminal,
  dependencies: UpscaleDependencies = ENGINE,
): Promise<number> {
  checkUsage(options, dependencies);
  // Of a plan it does not matter what is there already.
  const plan = await planJobs(options.plan === true ? { ...options, force: true } : options);
  const [problem] = plan.problems;
  if (problem !== undefined && options.keepGoing === false) {
    throw new CliError(
      `${fileName(problem.input)}: ${problem.error.message}`,
      problem.error.exitCode,
    );
  }
  await checkModelPaths(options);
  if (options.realism === "auto") await checkHasMem(options);
  const sizes = await modelSizes(options, options.reference ?? false);
  if (await hasWork(plan.jobs, (job) => looksReadable(job, { options, sizes }))) {
    const exitCode = await dependencies.launch(options.quiet ?? false);
    if (exitCode !== null) return exitCode;
  }
  const { streams = processStreams, mostHeld = HELD_PIXELS } = dependencies;
  return interruptible((signal) => {
    const work = { options, streams, sizes, mostHeld, signal };
    return new UpscaleRun(work, terminal, dependencies, plan).run();
  });
}

function checkUsage(options: UpscaleCliOptions, { streams }: UpscaleDependencies): void {
  const { input, out, json, plan = false } = options;
  checkPictureOptions(options);
  const isStream = out === STREAM || (out === undefined && input.includes(STREAM));
  if (!isStream || plan) return;
  if (json === true) {
    throw usageError("--json and the image would both go to standard output. Give -o FILE");
  }
  if (streams === undefined) checkStandardOutput();
}

async function hasWork(
  jobs: readonly Job[],
  isReady: (job: Job) => Promise<boolean>,
): Promise<boolean> {
  for (const job of jobs) if (await isReady(job)) return true;
  return false;
}

/** Throws `CliError` (exit code 2) for a model that cannot choose a realism by itself. */
export async function checkHasMem(paths: ModelPaths): Promise<void> {
  const { model, checkpoint } = paths;
  const mem = await stat(join(model, "mem", "config.json")).catch(() => undefined);
  if (mem !== undefined || (await isRcodS(model))) return;
  const { predictsMetric } = await import("../../src/rcod/settings/model-configs.ts");
  const { readConfigs } = await import("../../src/rcod/loading/read-configs.ts");
  if (checkpoint !== undefined && predictsMetric(await readConfigs(await modelFilesAt(paths)))) {
    return;
  }
  const needed = checkpoint === undefined ? "mem/" : "mem/ and is given no --mem";
  throw usageError(
    `--realism auto: model ${model} has no ${needed}; choose fidelity, neutral, realism or a number from 0 to 1`,
  );
}

/** Whether a folder says that it is RCOD_S, whose metric estimation module is no folder. */
async function isRcodS(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, "rcod_config.json"), "utf8").catch(() => "");
  return /"instance"\s*:\s*"RCOD_S"/.test(text);
}

/** State of one call: the engine, loaded for the first image that can be decoded, and what has been done. */
class UpscaleRun {
  readonly #work: ImageWork;
  readonly #terminal: Terminal;
  readonly #dependencies: UpscaleDependencies;
  readonly #plan: Plan;
  readonly #reports: (JobReport | FailedReport)[] = [];
  readonly #plans: PlannedImage[] = [];
  readonly #skipped: Skipped[];
  readonly #folders = new ResultFolders();
  readonly #startedAt = performance.now();
  #exitCode: number = EXIT.ok;
  /** Of `--json`: what computed. */
  #about: object = aboutEngine(undefined);

  constructor(work: ImageWork, terminal: Terminal, dependencies: UpscaleDependencies, plan: Plan) {
    this.#work = work;
    this.#terminal = terminal;
    this.#dependencies = dependencies;
    this.#plan = plan;
    this.#skipped = [...plan.skipped];
  }

  async run(): Promise<number> {
    const { json = false, quiet = false, keepGoing = true, plan = false } = this.#work.options;
    const { jobs, problems, isBatch } = this.#plan;
    for (const { input, error } of problems) this.#fail(input, error);
    const progress = await createProgress(this.#terminal, quiet);
    const engine = new RunEngine({
      ...this.#work,
      ...this.#dependencies,
      progress,
      onNote: (message) => {
        if (!quiet) this.#terminal.note(`rcod: ${message}`);
      },
    });
    try {
      for (const job of jobs) {
        const mayGoOn = await this.#job(job, engine, progress);
        if (!mayGoOn || (!keepGoing && this.#exitCode !== EXIT.ok)) break;
      }
    } finally {
      progress.stop();
      this.#about = aboutEngine(engine);
      engine.close();
      await this.#failLost();
      if (isBatch && !json && !quiet && !plan) this.#say(tallyLine(this.#tally()));
    }
    if (json) this.#terminal.out(JSON.stringify(this.#result()));
    return this.#exitCode;
  }

  /** One image; false where nothing further can work. Throws what concerns all images. */
  async #job(job: Job, engine: RunEngine, progress: ProgressDisplay): Promise<boolean> {
    const { options, signal } = this.#work;
    signal.throwIfAborted();
    if (options.plan === true) return this.#figures(job, engine);
    let ready: ReadyImage;
    try {
      await this.#checkOutput(job);
      ready = await readJob(job, this.#work);
    } catch (error) {
      signal.throwIfAborted();
      this.#leave(job, error);
      return true;
    }
    // A model that does not load concerns every image: it ends the command.
    await engine.load(ready.size, ready.target.asked);
    try {
      const report = await upscaleJob(job, ready, engine, this.#work);
      this.#reports.push(report);
      if (job.output !== STREAM) await this.#folders.add(job.output);
      if (options.quiet === true) return true;
      if (report.notes !== undefined) {
        this.#terminal.note(`rcod: ${fileName(job.input)}: ${report.notes.join("; ")}`);
      }
      if (options.json !== true) this.#say(reportLine(report));
    } catch (error) {
      progress.stop();
      signal.throwIfAborted();
      this.#leave(job, error);
      return !(error instanceof DeviceLostError);
    }
    return true;
  }

  /** Says what an image will take. */
  async #figures(job: Job, engine: RunEngine): Promise<true> {
    const { options, signal } = this.#work;
    const fail = (error: unknown): true => {
      signal.throwIfAborted();
      this.#fail(job.input, error);
      return true;
    };
    let inspected: InspectedImage;
    try {
      inspected = await inspectInput(job, this.#work);
    } catch (error) {
      return fail(error);
    }
    const model = await engine.load(inspected.header, inspected.target.asked);
    try {
      const planned = await planImage(job, inspected, model, options);
      this.#plans.push(planned);
      if (options.json !== true) for (const line of planLines(planned)) this.#terminal.out(line);
    } catch (error) {
      return fail(error);
    }
    return true;
  }

  /** The plan has looked already; another process may have been quicker since, which is cheap to see now. */
  async #checkOutput({ output }: Job): Promise<void> {
    if (output === STREAM || this.#work.options.force === true) return;
    const stats = await lstat(systemPath(output)).catch(() => undefined);
    if (stats !== undefined) throw new ExistsError(output);
  }

  /** Skips or reports an image that did not become a result. */
  #leave({ input }: Job, error: unknown): void {
    if (error instanceof ExistsError && this.#work.options.skipExisting === true) {
      this.#skipped.push({ path: input, reason: RESULT_IS_THERE });
    } else this.#fail(input, error);
  }

  /** Results that were written and are gone with their folder have failed after all. */
  async #failLost(): Promise<void> {
    const lost = await this.#folders.lost();
    for (const [i, report] of this.#reports.entries()) {
      const error = "output" in report ? lost.get(report.output) : undefined;
      if (error === undefined) continue;
      const { input } = report;
      this.#exitCode = reportError(this.#terminal, new CliError(error), fileName(input));
      this.#reports[i] = { input, error };
    }
  }

  /** Reports a failed image. */
  #fail(input: string, error: unknown): void {
    const exitCode = reportError(this.#terminal, error, fileName(input));
    this.#reports.push({ input, error: describeError(error).message });
    this.#exitCode = this.#plan.isBatch ? EXIT.failed : exitCode;
  }

  /** A line of results; on stderr where the result itself goes to stdout. */
  #say(line: string): void {
    if (this.#plan.jobs.some(({ output }) => output === STREAM)) this.#terminal.note(line);
    else this.#terminal.out(line);
  }

  #tally(): Tally {
    const { jobs, problems, skipped } = this.#plan;
    const skippedNow = this.#skipped.length - skipped.length + this.#plans.length;
    return {
      reports: this.#reports,
      skipped: this.#skipped,
      left: jobs.length + problems.length - this.#reports.length - skippedNow,
      totalMs: performance.now() - this.#startedAt,
    };
  }

  #result(): unknown {
    const { options } = this.#work;
    return {
      ...modelPaths(options),
      lowMemory: options.lowMemory ?? false,
      ...this.#about,
      ...(options.plan === true && { plans: this.#plans }),
      ...tallyJson(this.#tally()),
    };
  }
}

function aboutEngine(engine: RunEngine | undefined): object {
  const loaded = engine?.loaded;
  const { vendor, architecture, device, description, isSoftware } = loaded?.gpu.caps ?? {};
  return {
    precision: loaded?.model.precision ?? null,
    adapter: loaded ? { vendor, architecture, device, description, isSoftware } : null,
    loadMs: loaded?.loadMs ?? null,
  };
}
