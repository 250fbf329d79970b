/** `rcod upscale` at work: jobs, engine, reports. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Gpu } from "../../src/gpu/device.ts";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import type { RawImage, UpscaleResult } from "../../src/rcod/settings/options.ts";
import { defined } from "../defined.ts";
import type { LoadModel, Model } from "../engine.ts";
import { loadModelAt } from "../engine.ts";
import { EXIT, describeError, usageError } from "../errors.ts";
import { formatBytes, formatMs } from "../format.ts";
import {
  checkOutputSize,
  formatOfPath,
  hasTransparency,
  inspectImage,
  readImage,
  writeImage,
} from "../images.ts";
import { interruptible } from "../interrupt.ts";
import { launch } from "../launch.ts";
import type { ModelPaths } from "../model-paths.ts";
import { checkModelPaths, modelFilesAt, modelPaths } from "../model-paths.ts";
import type { ProgressDisplay } from "../progress.ts";
import { createProgress } from "../progress.ts";
import type { Terminal } from "../terminal.ts";
import { reportError } from "../terminal.ts";
import type { UpscaleCliOptions } from "./command.ts";
import type { Job } from "./inputs.ts";
import { planJobs } from "./inputs.ts";

/** One line of `results` under `--json`. Sizes are `[width, height]`. */
type JobReport =
  | {
      readonly input: string;
      readonly output: string;
      readonly inputSize: readonly [number, number];
      readonly outputSize: readonly [number, number];
      readonly timestep: number;
      /** Under `--realism auto`: what the timestep was chosen by. */
      readonly predictedMetric?: number;
      /** By stage of the engine, with `read` (decoding the file) and `write` (encoding it) around them. */
      readonly timingsMs: Readonly<Record<string, number>>;
      readonly totalMs: number;
      /** Device memory: weights and activations together, and activations alone. */
      readonly peakBytes: number;
      readonly peakActivationBytes: number;
    }
  | { readonly input: string; readonly error: string };

/** What the command takes from elsewhere; tests put their own engine here. */
export interface UpscaleDependencies {
  /** See `launch.ts`: the exit code of the process that did the work instead, or null. */
  readonly launch: () => Promise<number | null>;
  readonly openGpu: (toggles: readonly string[]) => Promise<Gpu>;
  readonly loadModel: LoadModel;
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
  const jobs = await planJobs(options.input, options.out, options.force ?? false);
  await checkModelPaths(options);
  if (options.realism === "auto") await checkHasMem(options);
  const failures = await findBadInputs(jobs);
  if (failures.size < jobs.length) {
    const exitCode = await dependencies.launch();
    if (exitCode !== null) return exitCode;
  }
  return interruptible((signal) =>
    new UpscaleRun(options, terminal, dependencies, signal).run(jobs, failures),
  );
}

async function checkHasMem(paths: ModelPaths): Promise<void> {
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

/** Errors that the files' headers show already, by job. */
async function findBadInputs(jobs: readonly Job[]): Promise<ReadonlyMap<Job, unknown>> {
  const failures = new Map<Job, unknown>();
  for (const job of jobs) {
    try {
      checkOutputSize(await inspectImage(job.input), job.output);
    } catch (error) {
      failures.set(job, error);
    }
  }
  return failures;
}

/** State of one call: the engine, loaded for the first image that can be decoded, and what has been done. */
class UpscaleRun {
  readonly #options: UpscaleCliOptions;
  readonly #terminal: Terminal;
  readonly #dependencies: UpscaleDependencies;
  readonly #signal: AbortSignal;
  readonly #reports: JobReport[] = [];
  #engine: { readonly gpu: Gpu; readonly model: Model; readonly loadMs: number } | undefined;

  constructor(
    options: UpscaleCliOptions,
    terminal: Terminal,
    dependencies: UpscaleDependencies,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#terminal = terminal;
    this.#dependencies = dependencies;
    this.#signal = signal;
  }

  async run(jobs: readonly Job[], knownFailures: ReadonlyMap<Job, unknown>): Promise<number> {
    const terminal = this.#terminal;
    const { json = false, quiet = false } = this.#options;
    const progress = await createProgress(terminal, quiet);
    let exitCode: number = EXIT.ok;
    try {
      for (const job of jobs) {
        this.#signal.throwIfAborted();
        const startedAt = performance.now();
        let image: RawImage;
        try {
          if (knownFailures.has(job)) throw knownFailures.get(job);
          image = await readImage(job.input);
        } catch (error) {
          exitCode = this.#fail(job, error, jobs.length);
          continue;
        }
        const readMs = performance.now() - startedAt;
        // A model that does not load concerns every image: it ends the command.
        const { model } = await this.#load(image, progress);
        try {
          const report = await this.#upscale(job, image, readMs, model, progress);
          this.#reports.push(report);
          if (!json && !quiet) terminal.out(summary(report));
        } catch (error) {
          progress.stop();
          this.#signal.throwIfAborted();
          exitCode = this.#fail(job, error, jobs.length);
          if (error instanceof DeviceLostError) break; // nothing further can work
        }
      }
    } finally {
      progress.stop();
      this.#engine?.model.dispose();
      this.#engine?.gpu.destroy();
    }
    if (json) terminal.out(JSON.stringify(this.#result()));
    return exitCode;
  }

  /** Reports a failed image and returns the command's exit code so far. */
  #fail(job: Job, error: unknown, jobCount: number): number {
    const exitCode = reportError(this.#terminal, error, job.input);
    this.#reports.push({ input: job.input, error: describeError(error).message });
    return jobCount === 1 ? exitCode : EXIT.failed;
  }

  /** `image`: the first; its shaders are compiled while the weights load. */
  async #load(image: RawImage, progress: ProgressDisplay): Promise<{ readonly model: Model }> {
    if (this.#engine !== undefined) return this.#engine;
    const { openGpu, loadModel } = this.#dependencies;
    const { precision, autotune, dawnToggles, lowMemory = false } = this.#options;
    const { tile, reference } = this.#options;
    const { width, height } = image;
    const gpu = await openGpu(dawnToggles);
    try {
      this.#signal.throwIfAborted();
      progress.start("model");
      const startedAt = performance.now();
      const model = await loadModel(modelPaths(this.#options), {
        gpu,
        precision,
        lowMemory,
        ...defined({ autotune }),
        prepareFor: { width, height, ...defined({ tile, reference }) },
        signal: this.#signal,
        onProgress: (state) => progress.update(state),
      });
      this.#engine = { gpu, model, loadMs: performance.now() - startedAt };
      return this.#engine;
    } catch (error) {
      gpu.destroy();
      throw error;
    } finally {
      progress.stop();
    }
  }

  async #upscale(
    job: Job,
    image: RawImage,
    readMs: number,
    model: Model,
    progress: ProgressDisplay,
  ): Promise<Exclude<JobReport, { readonly error: string }>> {
    const startedAt = performance.now();
    progress.start(job.input);
    const { realism, timestep, color, seed, tile, reference } = this.#options;
    const result = await model.upscale(image, {
      ...defined({ realism, timestep, seed, tile, reference, colorFix: color }),
      signal: this.#signal,
      onProgress: (state) => progress.update(state),
    });
    progress.stop();
    this.#signal.throwIfAborted();
    this.#noteLostAlpha(job, result);
    const writeStartedAt = performance.now();
    await writeImage(job.output, result.image, this.#signal);
    const endedAt = performance.now();
    return {
      input: job.input,
      output: job.output,
      inputSize: [image.width, image.height],
      outputSize: [result.image.width, result.image.height],
      timestep: result.timestep,
      ...(result.predictedMetric !== undefined && { predictedMetric: result.predictedMetric }),
      timingsMs: { read: readMs, ...result.timingsMs, write: endedAt - writeStartedAt },
      totalMs: readMs + (endedAt - startedAt),
      peakBytes: result.peakBytes,
      peakActivationBytes: result.peakActivationBytes,
    };
  }

  #noteLostAlpha(job: Job, { image }: UpscaleResult): void {
    if (this.#options.quiet || formatOfPath(job.output) !== "jpeg" || !hasTransparency(image))
      return;
    this.#terminal.note(
      `rcod: ${job.output}: JPEG has no transparency; transparent parts become white`,
    );
  }

  #result(): unknown {
    const engine = this.#engine;
    const { vendor, architecture, device, description, isSoftware } = engine?.gpu.caps ?? {};
    const errors = this.#reports.flatMap((report) => ("error" in report ? [report.error] : []));
    return {
      ...modelPaths(this.#options),
      precision: engine?.model.precision ?? null,
      lowMemory: this.#options.lowMemory ?? false,
      adapter: engine ? { vendor, architecture, device, description, isSoftware } : null,
      loadMs: engine?.loadMs ?? null,
      results: this.#reports,
      failed: errors.length,
      ...(errors[0] !== undefined && { error: errors[0] }),
    };
  }
}

function summary(report: Exclude<JobReport, { readonly error: string }>): string {
  const size = ([width, height]: readonly [number, number]) => `${width} × ${height}`;
  const { timestep, predictedMetric } = report;
  const choice =
    predictedMetric === undefined
      ? ""
      : `timestep ${timestep} for a predicted metric of ${predictedMetric.toFixed(4)}  `;
  return (
    `${report.input} → ${report.output}  ${size(report.inputSize)} → ${size(report.outputSize)}  ${choice}` +
    `${formatMs(report.totalMs)}, GPU memory ${formatBytes(report.peakBytes)}`
  );
}
