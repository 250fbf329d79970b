/** One image from file to file: read, checked, upscaled frame by frame or region by region, written. */
import { depthOf } from "../../src/rcod/images/raw-image.ts";
import type {
  ImageReader,
  RawImage,
  UpscaleOptions,
  UpscaleReport,
  UpscaleResult,
} from "../../src/rcod/settings/options.ts";
import { writeFileAtomically } from "../atomic-write.ts";
import { defined } from "../defined.ts";
import { usageError } from "../errors.ts";
import type { LargePicture } from "../image/band-reader.ts";
import { openLargeImage } from "../image/band-reader.ts";
import type { Picture } from "../image/decode.ts";
import { decodeImage } from "../image/decode.ts";
import { isRowFormat } from "../image/encode-rows.ts";
import { encodeImage } from "../image/encode.ts";
import type { ImageFormat } from "../image/formats.ts";
import { FORMATS, formatOfKind } from "../image/formats.ts";
import type { ImageHeader } from "../image/header.ts";
import { checkHeld, inspectImage, isReadInBands } from "../image/header.ts";
import type { Metadata } from "../image/metadata.ts";
import { stripped } from "../image/metadata.ts";
import { readImageFile } from "../image/source.ts";
import { shownText } from "../shown-text.ts";
import type { UpscaleCliOptions } from "./command.ts";
import type { ModelSizes } from "./geometry-check.ts";
import { STREAM } from "./inputs.ts";
import type { Job } from "./outputs.ts";
import type { JobReport } from "./report.ts";
import type { RunEngine } from "./run-engine.ts";
import type { Size, TargetSize } from "./sizing.ts";
import { targetSize } from "./sizing.ts";
import { writeStreamed } from "./streamed-result.ts";
import type { Streams } from "./streams.ts";

/** What the work on one image needs. */
export interface ImageWork {
  readonly options: UpscaleCliOptions;
  readonly streams: Streams;
  readonly sizes: ModelSizes;
  readonly mostHeld: HeldPixels;
  readonly signal: AbortSignal;
}

/** An image that can be upscaled, before the model is asked for. */
export interface ReadyImage {
  readonly picture: Picture | LargePicture;
  readonly size: Size;
  readonly target: TargetSize;
  readonly format: ImageFormat;
  readonly readMs: number;
}

/** How many pixels are held in memory at once. */
export interface HeldPixels {
  /** Of a file; more are read in bands, where that is possible. */
  readonly input: number;
  /** Of a result; more go to their file while they are computed, in formats that can do so. */
  readonly result: number;
}

export const HELD_PIXELS: HeldPixels = { input: 2 ** 24, result: 2 ** 25 };

/** Results of other formats, all frames together: 1 GiB with alpha. */
const MOST_RESULT_PIXELS = 2 ** 28;

/** Reads, checks and decodes. Throws `CliError` or `ShapeError` with a reason that does not name the file. */
export async function readJob(job: Job, work: ImageWork): Promise<ReadyImage> {
  const startedAt = performance.now();
  const { bytes, header, format, target } = await inspectInput(job, work);
  const { hasFrames, hasProfile } = FORMATS[format];
  const profile = hasProfile ? (work.options.profile ?? "keep") : "srgb";
  const isLarge = pixelsOf(header) > work.mostHeld.input && isReadInBands(header);
  const picture = isLarge
    ? await openLargeImage(bytes, header, profile)
    : await decodeImage(bytes, header, { profile, frames: hasFrames ? "all" : "first" });
  return { picture, size: header, target, format, readMs: performance.now() - startedAt };
}

/** What an image and its result will be, by the header of its file. */
export interface InspectedImage {
  readonly header: ImageHeader;
  readonly format: ImageFormat;
  readonly target: TargetSize;
}

/** Reads a file and checks what its header says. Throws as `readJob`. */
export async function inspectInput(
  job: Job,
  work: ImageWork,
): Promise<InspectedImage & { readonly bytes: Buffer }> {
  const { streams, signal } = work;
  const isStream = job.input === STREAM;
  const bytes = await (isStream ? streams.read(signal) : readImageFile(job.input));
  return { bytes, ...(await inspectJob(job, bytes, work)) };
}

/** Whether a file's header promises that it can be upscaled. */
export async function looksReadable(job: Job, work: InspectWork): Promise<boolean> {
  if (job.input === STREAM) return true; // it is read once, by the process that computes
  try {
    await inspectJob(job, await readImageFile(job.input), work);
    return true;
  } catch {
    return false;
  }
}

type InspectWork = Pick<ImageWork, "options" | "sizes">;

async function inspectJob(
  job: Job,
  bytes: Buffer,
  { options, sizes }: InspectWork,
): Promise<InspectedImage> {
  const header = await inspectImage(bytes);
  const format = job.format ?? formatOfKind(header.kind);
  const frames = FORMATS[format].hasFrames ? header.frames : 1;
  if (frames > 1) checkHeld(header);
  const target = targetSize(header, options, sizes.upscale);
  checkResult(target.result, frames, format);
  sizes.check(target.input.width, target.input.height);
  return { header, format, target };
}

/** Throws where a result is too large for its format. */
function checkResult({ width, height }: Size, frames: number, format: ImageFormat): void {
  const { name, maxSide } = FORMATS[format];
  const size = `${width} × ${height} pixels`;
  if (Math.max(width, height) > maxSide) {
    throw usageError(
      `the result is ${size}, ${name} files end at ${maxSide}. Write a PNG: --format png`,
    );
  }
  if (isRowFormat(format) || width * height * frames <= MOST_RESULT_PIXELS) return;
  const most = Math.floor(MOST_RESULT_PIXELS / frames / 1e6);
  const advice = frames > 1 ? "" : "Write a PNG: --format png, or make it smaller: ";
  throw usageError(
    `the result is ${frames > 1 ? `${frames} frames of ` : ""}${size}, more than a ${name} is written of here. ` +
      `${advice || "Make it smaller: "}--max-megapixels ${most}`,
  );
}

/** Upscales and writes; what was lost on the way is in the report's notes. Throws what the engine throws. */
export async function upscaleJob(
  job: Job,
  ready: ReadyImage,
  engine: Pick<RunEngine, "upscale">,
  work: ImageWork,
): Promise<JobReport> {
  const startedAt = performance.now();
  const { picture, size, target, format, readMs } = ready;
  const { options } = work;
  const first = firstOf(picture);
  const depth = depthOfResult(options, depthIn(first), format);
  const isStreamed = isRowFormat(format) && pixelsOf(target.result) > work.mostHeld.result;
  const made = await (isStreamed ? streamed : held)(job, ready, depth.bits, engine, work);
  const notes = [...target.notes, ...picture.notes, ...depth.notes, ...made.notes];
  const { timestep, predictedMetric, regions, frames, timingsMs, writeMs } = made;
  return {
    input: job.input,
    output: job.output,
    inputSize: [size.width, size.height],
    outputSize: [target.result.width, target.result.height],
    ...(frames > 1 && { frames }),
    ...(regions > 1 && { regions }),
    timestep,
    ...defined({ predictedMetric }),
    timingsMs: { read: readMs, ...timingsMs, write: writeMs },
    totalMs: readMs + (performance.now() - startedAt),
    peakBytes: made.peakBytes,
    peakActivationBytes: made.peakActivationBytes,
    ...(notes.length > 0 && { notes }),
  };
}

const pixelsOf = ({ width, height }: Size): number => width * height;
const firstOf = (picture: Picture | LargePicture): RawImage | ImageReader =>
  "reader" in picture ? picture.reader : picture.frames[0];
const depthIn = (image: RawImage | ImageReader): 8 | 16 =>
  "read" in image ? image.depth : depthOf(image);

/** What has been computed and written. */
interface Made extends Omit<UpscaleReport, "reused" | "notes"> {
  readonly frames: number;
  readonly writeMs: number;
  readonly notes: readonly string[];
}

/** What every call is asked for. */
function callOptions(
  { realism, timestep, color, seed, tile, region, reference }: UpscaleCliOptions,
  { asked }: TargetSize,
  image: RawImage | ImageReader,
  depth: 8 | 16,
): UpscaleOptions {
  return {
    ...asked,
    ...defined({ realism, timestep, seed, tile, region, reference, colorFix: color }),
    ...(depth !== depthIn(image) && { depth }),
  };
}

const subjectOf = ({ input }: Job): string =>
  shownText(input === STREAM ? "standard input" : input);

const metadataOf = (picture: Picture | LargePicture, { strip }: UpscaleCliOptions): Metadata =>
  strip === true ? stripped(picture.metadata) : picture.metadata;

/** A result that is written while it is computed. */
async function streamed(
  job: Job,
  { picture, target, format }: ReadyImage,
  depth: 8 | 16,
  engine: Pick<RunEngine, "upscale">,
  { options, streams, signal }: ImageWork,
): Promise<Made> {
  if (!isRowFormat(format)) throw new Error(`internal: ${format} is not written in rows`);
  const image = firstOf(picture);
  const { made, notes, writeMs } = await writeStreamed(
    {
      output: job.output,
      streams,
      replace: options.force ?? false,
      signal,
      shape: { ...target.result, channels: image.channels, depth },
      metadata: metadataOf(picture, options),
      encoding: { format, ...defined({ quality: options.quality }) },
    },
    (onRegion) =>
      engine.upscale(subjectOf(job), image, {
        ...callOptions(options, target, image, depth),
        output: "regions",
        regionOrder: "rows",
        onRegion,
      }),
  );
  return { ...made, frames: 1, writeMs, notes: [...(made.notes ?? []), ...notes] };
}

/** A result that is written when all of it is there. */
async function held(
  job: Job,
  { picture, target, format }: ReadyImage,
  depth: 8 | 16,
  engine: Pick<RunEngine, "upscale">,
  { options, streams, signal }: ImageWork,
): Promise<Made> {
  const { images, made } = await upscaleFrames(job, picture, target, depth, engine, options);
  signal.throwIfAborted();
  const writeStartedAt = performance.now();
  const encoded = await encodeImage(images, metadataOf(picture, options), {
    format,
    lossless: options.lossless ?? (picture.isLossless && options.quality === undefined),
    ...defined({
      quality: options.quality,
      timing: "timing" in picture ? picture.timing : undefined,
    }),
  });
  signal.throwIfAborted();
  const replace = options.force ?? false;
  if (job.output === STREAM) await streams.write(encoded.bytes);
  else await writeFileAtomically(job.output, encoded.bytes, { replace, signal });
  const writeMs = performance.now() - writeStartedAt;
  return { ...made, writeMs, notes: [...made.notes, ...encoded.notes] };
}

/** The bits of a result: those asked for, or the input's, as far as the format has them. */
function depthOfResult(
  { depth, reference = false }: UpscaleCliOptions,
  ofInput: 8 | 16,
  format: ImageFormat,
): { readonly bits: 8 | 16; readonly notes: readonly string[] } {
  const wanted = depth ?? ofInput;
  const { name, depth: most } = FORMATS[format];
  if (wanted === 8) return { bits: 8, notes: [] };
  if (most === 8) return { bits: 8, notes: [`${name} is written with 8 bits a channel, not 16`] };
  return reference
    ? { bits: 8, notes: ["--reference gives 8 bits a channel"] }
    : { bits: 16, notes: [] };
}

/** All frames, one after the other. What "auto" chooses for the first holds for all: the film does not flicker. */
async function upscaleFrames(
  job: Job,
  picture: Picture | LargePicture,
  target: TargetSize,
  depth: 8 | 16,
  engine: Pick<RunEngine, "upscale">,
  options: UpscaleCliOptions,
): Promise<{
  readonly images: readonly [RawImage, ...RawImage[]];
  readonly made: Omit<Made, "writeMs">;
}> {
  const frames = "reader" in picture ? [picture.reader] : picture.frames;
  const images: RawImage[] = [];
  const timingsMs: Record<string, number> = {};
  const notes = new Set<string>();
  let first: UpscaleResult | undefined;
  let peakBytes = 0;
  let peakActivationBytes = 0;
  for (const [i, frame] of frames.entries()) {
    const number = frames.length === 1 ? "" : `, frame ${i + 1} of ${frames.length}`;
    const asked = callOptions(options, target, frame, depth);
    const isChosen = options.realism === "auto" && first !== undefined;
    const { realism: _, ...others } = asked;
    const result = await engine.upscale(
      `${subjectOf(job)}${number}`,
      frame,
      isChosen ? { ...others, ...defined({ timestep: first?.timestep }) } : asked,
    );
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
  const made = {
    ...first,
    timingsMs: timingsMs as UpscaleResult["timingsMs"],
    peakBytes,
    peakActivationBytes,
    frames: images.length,
    notes: [...notes],
  };
  return { images: [image, ...others], made };
}
