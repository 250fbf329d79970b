/** From the words on the command line to pairs of input and output files. */
import { access, constants, readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, resolve, sep } from "node:path";
import { usageError } from "../errors.ts";
import { formatOfPath } from "../images.ts";

/** One image to upscale. Paths are as the user wrote them, relative ones included. */
export interface Job {
  readonly input: string;
  readonly output: string;
}

/** Between the name and the extension of results that get no name from the user. */
const RESULT_SUFFIX = "-x4";

/**
 * Finds the images that `inputs` (files, folders, globs) name and where each result goes:
 *
 * - `out` absent: beside the input, as `<name>-x4.<extension>`, in the input's format;
 * - `out` a folder (existing, or written with a slash at the end): the same names in there;
 * - `out` a file: only for a single image, format by extension.
 *
 * Throws `CliError` (exit code 2) where nothing is found, two images share a result, or a result exists
 * already and `force` is off. Only looks: makes nothing.
 */
export async function planJobs(
  inputs: readonly string[],
  out: string | undefined,
  force: boolean,
): Promise<readonly Job[]> {
  const images = await findImages(inputs);
  const folder = out === undefined ? undefined : await outputFolder(out);
  if (out !== undefined && folder === undefined) {
    if (images.length > 1) {
      throw usageError(
        `${images.length} images cannot go to one file (${out}). For a folder, end it with a slash: -o ${out}/`,
      );
    }
    if (formatOfPath(out) === undefined) {
      throw usageError(
        `${out}: the name must end in .png, .jpg, .jpeg or .webp, or in a slash for a folder`,
      );
    }
  }
  const jobs = images.map((input) => ({
    input,
    output: out !== undefined && folder === undefined ? out : defaultOutput(input, folder),
  }));
  checkCollisions(jobs);
  for (const output of new Set(jobs.map((job) => dirname(job.output)))) await checkWritable(output);
  if (!force) {
    for (const { output } of jobs) {
      if ((await stat(output).catch(() => undefined)) !== undefined)
        throw usageError(`${output} exists already. Use --force to replace it`);
    }
  }
  return jobs;
}

/** `photo.jpg` → `photo-x4.jpg`, in `folder` or beside the input. */
function defaultOutput(input: string, folder: string | undefined): string {
  const extension = formatOfPath(input) === undefined ? ".png" : extname(input);
  const name = basename(input, extname(input));
  return join(folder ?? dirname(input), `${name}${RESULT_SUFFIX}${extension}`);
}

async function findImages(inputs: readonly string[]): Promise<readonly string[]> {
  const found = new Map<string, string>(); // absolute path → path as written
  for (const input of inputs) {
    for (const path of await expand(input)) {
      const absolute = resolve(path);
      if (!found.has(absolute)) found.set(absolute, path);
    }
  }
  return [...found.values()];
}

async function expand(input: string): Promise<readonly string[]> {
  const stats = await stat(input).catch(() => undefined);
  if (stats?.isDirectory()) {
    const names = (await readdir(input, { withFileTypes: true }))
      .filter((entry) => !entry.isDirectory() && formatOfPath(entry.name) !== undefined)
      .map((entry) => entry.name);
    const images = withoutOwnResults(names).toSorted();
    if (images.length === 0)
      throw usageError(`${input}: the folder has no PNG, JPEG or WebP image`);
    return images.map((name) => join(input, name));
  }
  if (stats !== undefined) return [input];
  const { glob, isDynamicPattern } = await import("tinyglobby");
  const pattern = sep === "\\" ? input.replaceAll("\\", "/") : input;
  if (!isDynamicPattern(pattern)) throw usageError(`${input}: no such file or folder`);
  const matches = (await glob(pattern, { expandDirectories: false, absolute: isAbsolute(input) }))
    .filter((path) => formatOfPath(path) !== undefined)
    .toSorted();
  if (matches.length === 0) throw usageError(`${input}: no PNG, JPEG or WebP image matches`);
  return matches;
}

/** Leaves out `name-x4.png` beside `name.png`, so that a folder can be upscaled twice. */
function withoutOwnResults(names: readonly string[]): readonly string[] {
  const all = new Set(names);
  return names.filter((name) => {
    const extension = extname(name);
    const stem = basename(name, extension);
    return !(
      stem.endsWith(RESULT_SUFFIX) && all.has(stem.slice(0, -RESULT_SUFFIX.length) + extension)
    );
  });
}

/** `out` when it names a folder, undefined when it names a file. */
async function outputFolder(out: string): Promise<string | undefined> {
  if (out.endsWith("/") || out.endsWith(sep)) return out;
  const stats = await stat(out).catch(() => undefined);
  return stats?.isDirectory() ? out : undefined;
}

function checkCollisions(jobs: readonly Job[]): void {
  const inputs = new Set(jobs.map(({ input }) => fileKey(input)));
  const byOutput = new Map<string, string>();
  for (const { input, output } of jobs) {
    const key = fileKey(output);
    const other = byOutput.get(key);
    if (other !== undefined) {
      throw usageError(
        `${other} and ${input} would both be written to ${output}. Upscale them separately`,
      );
    }
    if (inputs.has(key))
      throw usageError(`${output} is an input: it would be overwritten. Choose another -o`);
    byOutput.set(key, input);
  }
}

/** Windows and macOS disks are case-insensitive by default: names that differ only in case are one file. */
function fileKey(path: string): string {
  const absolute = resolve(path);
  return process.platform === "win32" || process.platform === "darwin"
    ? absolute.toLowerCase()
    : absolute;
}

/** Checks that files can be made in `folder`, or in the nearest folder above that exists. */
async function checkWritable(folder: string): Promise<void> {
  for (let path = resolve(folder); ; path = dirname(path)) {
    const stats = await stat(path).catch(() => undefined);
    if (stats === undefined && path !== dirname(path)) continue;
    if (!stats?.isDirectory())
      throw usageError(`cannot write to ${folder}: ${path} is not a folder`);
    await access(path, constants.W_OK).catch(() => {
      throw usageError(`cannot write to ${folder}: permission denied`);
    });
    return;
  }
}
