/** One image from file to file: read, checked, upscaled frame by frame, written. */
import { depthOf } from "../../src/rcod/images/raw-image.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { writeFileAtomically } from "../atomic-write.ts";
import { defined } from "../defined.ts";
import type { Model } from "../engine.ts";
import { SCALE } from "../engine.ts";
import { usageError } from "../errors.ts";
import type { Picture } from "../image/decode.ts";
import { decodeImage } from "../image/decode.ts";
import { encodeImage } from "../image/encode.ts";
import type { ImageFormat } from "../image/formats.ts";
import { FORMATS, formatOfKind } from "../image/formats.ts";
import type { ImageHeader } from "../image/header.ts";
import { checkHeld, inspectImage } from "../image/header.ts";
import { stripped } from "../image/metadata.ts";
import { readImageFile } from "../image/source.ts";
import type { ProgressDisplay } from "../progress.ts";
import { shownText } from "../shown-text.ts";
import type { UpscaleCliOptions } from "./command.ts";
import type { CheckGeometry } from "./geometry-check.ts";
import { STREAM } from "./inputs.ts";
import type { Job } from "./outputs.ts";
import type { JobReport } from "./report.ts";
import type { Streams } from "./streams.ts";

/** What the work on one image needs. */
export interface ImageWork {
  readonly options: UpscaleCliOptions;
  readonly streams: Streams;
  readonly checkGeometry: CheckGeometry;
  readonly signal: AbortSignal;
}

/** An image that can be upscaled, before the model is asked for. */
export interface ReadyImage {
  readonly picture: Picture;
  readonly format: ImageFormat;
  readonly readMs: number;
}

/** Reads, checks and decodes. Throws `CliError` or `ShapeError` with a reason that does not name the file. */
export async function readJob(job: Job, work: ImageWork): Promise<ReadyImage> {
  const startedAt = performance.now();
  const bytes = await bytesOf(job, work);
  const { header, format } = await inspectJob(job, bytes, work.checkGeometry);
  const { hasFrames, hasProfile } = FORMATS[format];
  const picture = await decodeImage(bytes, header, {
    profile: hasProfile ? (work.options.profile ?? "keep") : "srgb",
    frames: hasFrames ? "all" : "first",
  });
  return { picture, format, readMs: performance.now() - startedAt };
}

/** Whether a file's header promises that it can be upscaled. */
export async function looksReadable(job: Job, checkGeometry: CheckGeometry): Promise<boolean> {
  if (job.input === STREAM) return true; // it is read once, by the process that computes
  try {
    await inspectJob(job, await readImageFile(job.input), checkGeometry);
    return true;
  } catch {
    return false;
  }
}

async function bytesOf({ input }: Job, { streams, signal }: ImageWork): Promise<Buffer> {
  return input === STREAM ? streams.read(signal) : readImageFile(input);
}

async function inspectJob(
  job: Job,
  bytes: Buffer,
  checkGeometry: CheckGeometry,
): Promise<{ readonly header: ImageHeader; readonly format: ImageFormat }> {
  const header = await inspectImage(bytes);
  const format = job.format ?? formatOfKind(header.kind);
  if (FORMATS[format].hasFrames) checkHeld(header);
  checkOutputSize(header, format);
  checkGeometry(header.width, header.height);
  return { header, format };
}

/** Throws where a result is too large for its format. */
function checkOutputSize({ width, height }: ImageHeader, format: ImageFormat): void {
  const { name, maxSide } = FORMATS[format];
  if (Math.max(width, height) * SCALE <= maxSide) return;
  throw usageError(
    `the result is ${width * SCALE} × ${height * SCALE} pixels, ${name} files end at ${maxSide}. Write a PNG: --format png`,
  );
}

/** Upscales and writes; what was lost on the way is in the report's notes. Throws what the engine throws. */
export async function upscaleJob(
  job: Job,
  { picture, format, readMs }: ReadyImage,
  model: Model,
  progress: ProgressDisplay,
  { options, streams, signal }: ImageWork,
): Promise<JobReport> {
  const startedAt = performance.now();
  const [first] = picture.frames;
  const { force = false } = options;
  const depth = depthOfResult(options, first, format);
  const frames = await upscaleFrames(job, picture, depth.bits, model, progress, {
    options,
    signal,
  });
  progress.stop();
  signal.throwIfAborted();
  const writeStartedAt = performance.now();
  const metadata = options.strip === true ? stripped(picture.metadata) : picture.metadata;
  const encoded = await encodeImage(frames.images, metadata, {
    format,
    lossless: options.lossless ?? (picture.isLossless && options.quality === undefined),
    ...defined({ quality: options.quality, timing: picture.timing }),
  });
  signal.throwIfAborted();
  if (job.output === STREAM) await streams.write(encoded.bytes);
  else await writeFileAtomically(job.output, encoded.bytes, { replace: force, signal });
  const endedAt = performance.now();
  const { width, height } = frames.images[0];
  const notes = [...picture.notes, ...depth.notes, ...frames.notes, ...encoded.notes];
  return {
    input: job.input,
    output: job.output,
    inputSize: [first.width, first.height],
    outputSize: [width, height],
    ...(frames.images.length > 1 && { frames: frames.images.length }),
    timestep: frames.timestep,
    ...(frames.predictedMetric !== undefined && { predictedMetric: frames.predictedMetric }),
    timingsMs: { read: readMs, ...frames.timingsMs, write: endedAt - writeStartedAt },
    totalMs: readMs + (endedAt - startedAt),
    peakBytes: frames.peakBytes,
    peakActivationBytes: frames.peakActivationBytes,
    ...(notes.length > 0 && { notes }),
  };
}

/** The bits of a result: those asked for, or the input's, as far as the format has them. */
function depthOfResult(
  { depth, reference = false }: UpscaleCliOptions,
  input: RawImage,
  format: ImageFormat,
): { readonly bits: 8 | 16; readonly notes: readonly string[] } {
  const wanted = depth ?? depthOf(input);
  const { name, depth: most } = FORMATS[format];
  if (wanted === 8) return { bits: 8, notes: [] };
  if (most === 8) return { bits: 8, notes: [`${name} is written with 8 bits a channel, not 16`] };
  return reference
    ? { bits: 8, notes: ["--reference gives 8 bits a channel"] }
    : { bits: 16, notes: [] };
}

interface Frames {
  readonly images: readonly [RawImage, ...RawImage[]];
  readonly timestep: number;
  readonly predictedMetric?: number;
  readonly timingsMs: Readonly<Record<string, number>>;
  readonly peakBytes: number;
  readonly peakActivationBytes: number;
  /** What the model says of its numbers, each once. */
  readonly notes: ReadonlySet<string>;
}

/** All frames, one after the other. What "auto" chooses for the first holds for all: the film does not flicker. */
async function upscaleFrames(
  { input }: Job,
  { frames }: Picture,
  depth: 8 | 16,
  model: Model,
  progress: ProgressDisplay,
  { options, signal }: Pick<ImageWork, "options" | "signal">,
): Promise<Frames> {
  const { realism, timestep, color, seed, tile, reference } = options;
  const images: RawImage[] = [];
  const timingsMs: Record<string, number> = {};
  const notes = new Set<string>();
  let first: Awaited<ReturnType<Model["upscale"]>> | undefined;
  let peakBytes = 0;
  let peakActivationBytes = 0;
  for (const [i, frame] of frames.entries()) {
    const subject = shownText(input === STREAM ? "standard input" : input);
    progress.start(
      frames.length === 1 ? subject : `${subject}, frame ${i + 1} of ${frames.length}`,
    );
    const choice =
      realism === "auto" && first !== undefined
        ? { timestep: first.timestep }
        : defined({ realism, timestep });
    const result = await model.upscale(frame, {
      ...choice,
      ...defined({ seed, tile, reference, colorFix: color }),
      ...(depth !== depthOf(frame) && { depth }),
      signal,
      onProgress: (state) => progress.update(state),
    });
    signal.throwIfAborted();
    images.push(result.image);
    for (const note of result.notes ?? []) notes.add(note);
    for (const [stage, ms] of Object.entries(result.timingsMs)) {
      timingsMs[stage] = (timingsMs[stage] ?? 0) + ms;
    }
    peakBytes = Math.max(peakBytes, result.peakBytes);
    peakActivationBytes = Math.max(peakActivationBytes, result.peakActivationBytes);
    first ??= result;
  }
  const [image, ...others] = images;
  if (image === undefined || first === undefined)
    throw new Error("internal: a picture without frames");
  return {
    images: [image, ...others],
    timestep: first.timestep,
    ...defined({ predictedMetric: first.predictedMetric }),
    timingsMs,
    peakBytes,
    peakActivationBytes,
    notes,
  };
}
