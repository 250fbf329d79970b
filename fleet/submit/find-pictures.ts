/** From the words of `rcod fleet submit` to pictures: files, folders, globs, lists of them, prefixes of buckets. */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import { CliError, systemReason, usageError } from "../../cli/errors.ts";
import { systemPath } from "../../cli/file-name.ts";
import type { ImageFormat } from "../../cli/image/formats.ts";
import { shownText } from "../../cli/shown-text.ts";
import type { Problem, Skipped } from "../../cli/upscale/inputs.ts";
import { STREAM, findImages } from "../../cli/upscale/inputs.ts";
import { formatOf } from "../../cli/upscale/outputs.ts";
import { addressOf, isS3, parseS3 } from "../storage/address.ts";
import type { Storages } from "../storage/storages.ts";

/** A picture to submit. */
export interface FoundPicture {
  readonly address: string;
  /** Its folder below the folder or prefix that was named; empty for others. */
  readonly below: string;
  /** Of the input, as far as can be told without decoding it. */
  readonly format: ImageFormat;
  /** In bytes. */
  readonly size: number;
  /** Undefined where only reading tells. */
  readonly version: string | undefined;
}

export interface FoundPictures {
  readonly pictures: readonly FoundPicture[];
  readonly skipped: readonly Skipped[];
  readonly problems: readonly Problem[];
}

export interface FindOptions {
  readonly recursive: boolean;
  /** A local folder that is left out: that of the results. */
  readonly outFolder: string | undefined;
}

/** Throws `CliError` (exit code 2) where nothing at all is found. */
export async function findPictures(
  words: readonly string[],
  storages: Storages,
  options: FindOptions,
): Promise<FoundPictures> {
  const all = await withLists(words);
  if (all.includes(STREAM)) throw usageError("- (standard input) cannot be read by other machines");
  const remote = all.filter((word) => isS3(addressOf(word)));
  const local = all.filter((word) => !isS3(addressOf(word)));
  const found = local.length === 0 ? EMPTY : await findImages(local, options);
  const pictures: FoundPicture[] = [];
  const problems: Problem[] = [...found.problems];
  for (const image of found.images) {
    const { path, below } = image;
    try {
      const { size } = await stat(systemPath(path));
      const address = resolve(path);
      pictures.push({ address, below, format: formatOf(image), size, version: undefined });
    } catch (error) {
      problems.push({ input: path, error: usageError(systemReason(error)) });
    }
  }
  for (const word of new Set(remote)) {
    try {
      for (const picture of await picturesAt(addressOf(word), storages, options.recursive)) {
        pictures.push(picture);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const told = error instanceof CliError ? error : new CliError(error.message);
      problems.push({ input: word, error: told });
    }
  }
  return { pictures: unique(pictures), skipped: found.skipped, problems };
}

const EMPTY = { images: [], skipped: [], problems: [] } as const;

/** How editors on Windows begin a file. */
const BYTE_ORDER_MARK = /^\ufeff/;

/** A list has an address a line; `@` says that a file is one, and so does `.txt`. */
async function withLists(words: readonly string[]): Promise<readonly string[]> {
  const all: string[] = [];
  for (const word of words) {
    const list = word.startsWith("@") ? word.slice(1) : /\.txt$/i.test(word) ? word : undefined;
    if (list === undefined || isS3(list)) {
      all.push(word);
      continue;
    }
    const text = await readFile(list, "utf8").catch((error: unknown) => {
      throw usageError(`list ${shownText(list)}: ${systemReason(error)}`);
    });
    // One by one: a call takes no hundred thousand arguments.
    for (const line of text.replace(BYTE_ORDER_MARK, "").split(/\r?\n/)) {
      if (line.trim() !== "") all.push(line);
    }
  }
  return all;
}

/** A key that is a picture, or all pictures whose keys begin so. */
async function picturesAt(
  address: string,
  storages: Storages,
  recursive: boolean,
): Promise<readonly FoundPicture[]> {
  const { key } = parseS3(address);
  const isFolder = key === "" || key.endsWith("/");
  const storage = storages.of(address);
  let files = await storage.list(address, recursive);
  let root = isFolder ? key : dirname(key);
  // s3://bucket/photos means the folder, unless that is a picture itself or the start of names.
  if (!isFolder && files.length === 0) {
    files = await storage.list(`${address}/`, recursive);
    root = key;
  }
  if (files.length === 0) throw usageError("no picture there");
  return files.map(({ address: at, size, version }) => {
    const folder = relative(root === "." ? "" : root, dirname(parseS3(at).key));
    const format = formatOf({ path: basename(at), kind: undefined });
    return { address: at, below: folder === "." ? "" : folder, format, size, version };
  });
}

const unique = (pictures: readonly FoundPicture[]): readonly FoundPicture[] => [
  ...new Map(pictures.map((picture) => [picture.address, picture])).values(),
];
