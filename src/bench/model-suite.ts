/**
 * A whole model, end to end. Five figures, always together: load, compile, first image, warm image, peak bytes. Beside
 * them wall time by stage and, where timestamps exist, device time by class of operation. Imports nothing of Node.
 */
import type { Gpu } from "../gpu/device.ts";
import { quantile } from "../graph/measure/sampling.ts";
import { loadModel } from "../rcod/model.ts";
import type { PassTime, Precision, Progress, RawImage, Stage } from "../rcod/settings/options.ts";
import type { VariantOptions } from "../rcod/tuning/model-variants.ts";
import type { FileSet } from "../weights/index.ts";

export interface ModelSuiteOptions {
  readonly files: FileSet;
  readonly image: RawImage;
  readonly precision: Precision;
  readonly variants?: VariantOptions;
  /** Warm images to time; the median counts. */
  readonly samples: number;
  readonly signal?: AbortSignal;
  /** Called with what is going on, for a progress line. */
  readonly onProgress?: (what: string, fraction: number) => void;
}

/** Device time of all steps with the same kernel and shader label. */
export interface OpClassTime {
  readonly label: string;
  readonly steps: number;
  readonly durationMs: number;
  readonly gflops: number;
  readonly gbps: number;
}

export interface ModelSuiteResult {
  readonly precision: "f32" | "f16";
  readonly inputSize: readonly [width: number, height: number];
  readonly outputSize: readonly [width: number, height: number];
  /** From the folder to checked weights on the device. */
  readonly loadMs: number;
  /** Pipeline creation up to the end of the first image, summed over pipelines (they may overlap). */
  readonly compileMs: number;
  readonly pipelines: number;
  /** Wall time of the first image, compiling included. */
  readonly firstImageMs: number;
  readonly warmImageMs: number;
  readonly warmSamples: number;
  readonly peakBytes: number;
  readonly peakActivationBytes: number;
  /** Wall time by stage of the warm image in the middle. */
  readonly stagesMs: Readonly<Record<Exclude<Stage, "load">, number>>;
  /** Largest first; null without timestamp-query. */
  readonly opClasses: readonly OpClassTime[] | null;
}

/** Runs the model on the image. The device stays with the caller. */
export async function runModelSuite(
  gpu: Gpu,
  options: ModelSuiteOptions,
): Promise<ModelSuiteResult> {
  const { files, image, samples, signal, onProgress } = options;
  const watch = (what: string) => ({
    ...(signal && { signal }),
    onProgress: ({ fraction }: Progress) => onProgress?.(what, fraction),
  });
  const timed = async <T>(run: () => Promise<T>): Promise<readonly [T, number]> => {
    const startedAt = performance.now();
    return [await run(), performance.now() - startedAt];
  };
  const [model, loadMs] = await timed(() =>
    loadModel(files, {
      ...options.variants,
      gpu,
      precision: options.precision,
      ...watch("loading"),
    }),
  );
  try {
    // A new object every time: the pipeline keeps the encoding of the last one.
    const upscale = (what: string) => timed(() => model.upscale({ ...image }, watch(what)));
    const [first, firstImageMs] = await upscale("first image");
    const compileMs = gpu.pipelines.compileMs;
    const pipelines = gpu.pipelines.size;
    const warm: (readonly [typeof first, number])[] = [];
    for (let i = 0; i < samples; i++) warm.push(await upscale(`warm image ${i + 1} of ${samples}`));
    const middle =
      warm.toSorted(([, a], [, b]) => a - b)[Math.floor(warm.length / 2)] ??
      ([first, firstImageMs] as const);
    // A pass of its own for every step costs time: not one of the warm images.
    const profiled = { ...watch("operations"), inspect: { passes: true } };
    const { inspection } = await model.upscale({ ...image }, profiled);
    const { precision } = model;
    const { width, height } = first.image;
    return {
      precision,
      inputSize: [image.width, image.height],
      outputSize: [width, height],
      loadMs,
      compileMs,
      pipelines,
      firstImageMs,
      warmImageMs: quantile(
        warm.map(([, ms]) => ms),
        0.5,
      ),
      warmSamples: warm.length,
      peakBytes: Math.max(first.peakBytes, ...warm.map(([{ peakBytes }]) => peakBytes)),
      peakActivationBytes: first.peakActivationBytes,
      stagesMs: middle[0].timingsMs,
      opClasses: inspection?.passes ? groupByClass(inspection.passes) : null,
    };
  } finally {
    model.dispose();
  }
}

/** Sums times by shader label, largest first. */
export function groupByClass(
  times: readonly Pick<PassTime, "shader" | "durationMs" | "flops" | "bytes">[],
): readonly OpClassTime[] {
  const classes = new Map<string, { steps: number; ms: number; flops: number; bytes: number }>();
  for (const { shader, durationMs, flops, bytes } of times) {
    const entry = classes.get(shader) ?? { steps: 0, ms: 0, flops: 0, bytes: 0 };
    entry.steps++;
    entry.ms += durationMs;
    entry.flops += flops;
    entry.bytes += bytes;
    classes.set(shader, entry);
  }
  return [...classes]
    .map(([label, { steps, ms, flops, bytes }]) => ({
      label,
      steps,
      durationMs: ms,
      gflops: ms > 0 ? flops / (ms * 1e6) : 0,
      gbps: ms > 0 ? bytes / (ms * 1e6) : 0,
    }))
    .toSorted((a, b) => b.durationMs - a.durationMs);
}
