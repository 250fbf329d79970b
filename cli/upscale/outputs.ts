/** Where results go, in which format, and what stands in their way. */
import { lstat, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import { ExistsError, writableError } from "../atomic-write.ts";
import { CliError, usageError } from "../errors.ts";
import { systemPath } from "../file-name.ts";
import type { ImageFormat } from "../image/formats.ts";
import { FORMATS, WRITABLE_EXTENSIONS, formatOfKind, formatOfPath } from "../image/formats.ts";
import { shownText } from "../shown-text.ts";
import type { FoundFiles, FoundImage, Problem, Skipped } from "./inputs.ts";
import { STREAM, findImages } from "./inputs.ts";
import type { SizeOptions } from "./sizing.ts";
import { resultSuffix } from "./sizing.ts";

/** Why an image is left out under `--skip-existing`. */
export const RESULT_IS_THERE = "result there already";

/** One image to upscale; `-` stands for standard input and output. */
export interface Job {
  readonly input: string;
  readonly output: string;
  /** Of the result; undefined for the input's own, which reading it tells. */
  readonly format: ImageFormat | undefined;
}

/** What the options say about files. */
export interface PlanOptions extends SizeOptions {
  readonly input: readonly string[];
  readonly out?: string;
  readonly format?: ImageFormat;
  readonly force?: boolean;
  readonly skipExisting?: boolean;
  readonly recursive?: boolean;
  readonly lossless?: boolean;
}

/** What there is to do. */
export interface Plan {
  readonly jobs: readonly Job[];
  readonly skipped: readonly Skipped[];
  /** Inputs that are refused before any work. */
  readonly problems: readonly Problem[];
  readonly isBatch: boolean;
}

/**
 * Finds the images and where each result goes:
 *
 * - `out` absent: beside the input, as `<name>-x4.<extension>` or what else the size is (`resultSuffix`), in the input's format or `format`;
 * - `out` a folder (existing, or written with a slash at the end): the same names in there, below it those of folders
 *   that were searched;
 * - `out` a file, or `-`: only for a single image, format by extension or `format`.
 *
 * Throws `CliError` (exit code 2) for words that cannot be meant, and for a single image whatever stands in its way; of
 * several it is a problem of that image. Only looks: makes nothing.
 */
export async function planJobs(options: PlanOptions): Promise<Plan> {
  const { input, out } = options;
  checkOptions(options);
  if (input.includes(STREAM)) return { ...streamPlan(options), skipped: [], problems: [] };
  const folder = out === undefined || out === STREAM ? undefined : await outputFolder(out);
  const { recursive = false } = options;
  const found = await findImages(input, { recursive, outFolder: folder });
  const isFile = out !== undefined && folder === undefined;
  if (isFile && found.images.length > 1) {
    throw usageError(
      `${found.images.length} images cannot go to one file (${out}). For a folder, end it with a slash: -o ${out}/`,
    );
  }
  const format = options.format ?? (isFile && out !== STREAM ? requireFormat(out) : undefined);
  const suffix = resultSuffix(options);
  const jobs = found.images.map((image): Job => {
    const own = format ?? formatOf(image);
    const output = isFile ? out : defaultOutput(image, suffix, own, folder);
    return { input: image.path, output, format: own };
  });
  return checked(jobs, found, options);
}

function checkOptions({ input, out, format, lossless }: PlanOptions): void {
  if (input.includes(STREAM) && input.length > 1) {
    throw usageError("- (standard input) is read alone. Give the files in another call");
  }
  checkLossless(lossless, format);
  if (out === undefined || out === STREAM || format === undefined) return;
  const ofName = formatOfPath(out);
  if (ofName !== undefined && ofName !== format) {
    throw usageError(
      `${out} is a name of ${FORMATS[ofName].name} and --format asks for ${FORMATS[format].name}. Give one of the two`,
    );
  }
}

/** Throws `CliError` (exit code 2) for a format that cannot do without loss. */
export function checkLossless(lossless = false, format?: ImageFormat): void {
  if (!lossless || (format !== "jpeg" && format !== "gif")) return;
  throw usageError(
    `${FORMATS[format].name} always loses something. For --lossless choose --format png, webp, avif or tiff`,
  );
}

function streamPlan({ out = STREAM, format }: PlanOptions): Pick<Plan, "jobs" | "isBatch"> {
  if (out.endsWith("/") || out.endsWith(sep)) {
    throw usageError(
      `${out}: what comes from standard input has no name; give a file: -o NAME.png`,
    );
  }
  const asked = format ?? (out === STREAM ? undefined : requireFormat(out));
  return { jobs: [{ input: STREAM, output: out, format: asked }], isBatch: false };
}

function requireFormat(out: string): ImageFormat {
  const format = formatOfPath(out);
  if (format !== undefined) return format;
  throw usageError(
    `${shownText(out)}: the name must end in ${WRITABLE_EXTENSIONS}, or in a slash for a folder; or give --format`,
  );
}

/** Of what the file is; of what its name says where that cannot be known, since reading it will fail. */
export function formatOf({ kind, path }: Pick<FoundImage, "kind" | "path">): ImageFormat {
  return kind === undefined ? (formatOfPath(path) ?? "png") : formatOfKind(kind);
}

/** `photo.jpg` → `photo-x4.jpg`, in `folder` or beside the input. */
function defaultOutput(
  { path, below }: FoundImage,
  suffix: string,
  format: ImageFormat,
  folder: string | undefined,
): string {
  const name = resultName(path, suffix, format);
  return folder === undefined ? join(dirname(path), name) : join(folder, below, name);
}

/** The name of a result without its folder; an extension that fits stays as it is written. */
export function resultName(path: string, suffix: string, format: ImageFormat): string {
  const own = extname(path);
  const extension = formatOfPath(path) === format ? own : FORMATS[format].extensions[0];
  return `${basename(path, own)}${suffix}${extension}`;
}

/** Sorts out what cannot be written. */
async function checked(
  jobs: readonly Job[],
  found: FoundFiles,
  options: PlanOptions,
): Promise<Plan> {
  const inputs = new Map(jobs.map(({ input }) => [fileKey(input), input]));
  const byOutput = new Map<string, Job[]>();
  for (const job of jobs) {
    const key = fileKey(job.output);
    byOutput.set(key, [...(byOutput.get(key) ?? []), job]);
  }
  const folders = new Map<string, Promise<CliError | undefined>>();
  const ready: Job[] = [];
  const skipped: Skipped[] = [...found.skipped];
  const problems: Problem[] = [...found.problems];
  for (const job of jobs) {
    const { input, output } = job;
    try {
      if (output !== STREAM) {
        checkLossless(options.lossless, job.format);
        const rival = byOutput.get(fileKey(output))?.find((other) => other !== job);
        checkRivals(job, rival, inputs.has(fileKey(output)));
        const folder = dirname(output);
        const writable = folders.get(folder) ?? writableError(folder);
        folders.set(folder, writable);
        const error = await writable;
        if (error !== undefined) throw error;
        const stats = await lstat(systemPath(output)).catch(() => undefined);
        if (stats?.isDirectory())
          throw usageError(`${shownText(output)} is a folder. Choose another -o`);
        if (stats !== undefined && options.skipExisting === true) {
          skipped.push({ path: input, reason: RESULT_IS_THERE });
          continue;
        }
        if (stats !== undefined && options.force !== true) {
          const advice = found.isBatch ? ", or --skip-existing to go on with the others" : "";
          throw new ExistsError(output, advice);
        }
      }
      ready.push(job);
    } catch (error) {
      if (!(error instanceof CliError) || !found.isBatch) throw error;
      problems.push({ input, error });
    }
  }
  return { jobs: ready, skipped, problems, isBatch: found.isBatch };
}

function checkRivals({ input, output }: Job, rival: Job | undefined, isInput: boolean): void {
  const to = shownText(output);
  if (rival !== undefined) {
    throw usageError(
      `${shownText(input)} and ${shownText(rival.input)} would both be written to ${to}. Upscale them separately`,
    );
  }
  if (isInput) throw usageError(`${to} is an input: it would be overwritten. Choose another -o`);
}

/** `out` when it names a folder, undefined when it names a file. */
async function outputFolder(out: string): Promise<string | undefined> {
  if (out.endsWith("/") || out.endsWith(sep)) return out;
  const stats = await stat(out).catch(() => undefined);
  return stats?.isDirectory() ? out : undefined;
}

/** Windows and macOS disks are case-insensitive by default: names that differ only in case are one file. */
function fileKey(path: string): string {
  const absolute = resolve(path);
  return process.platform === "win32" || process.platform === "darwin"
    ? absolute.toLowerCase()
    : absolute;
}
