/** From the words on the command line to image files: names, folders, globs. */
import type { Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, resolve, sep } from "node:path";
import { CliError, systemCode, systemReason, usageError } from "../errors.ts";
import { nameFromBytes, namesOfWord, systemPath } from "../file-name.ts";
import { isImageName } from "../image/formats.ts";
import type { ImageKind } from "../image/kinds.ts";
import { READABLE, recognise } from "../image/kinds.ts";
import { readHead } from "../image/source.ts";
import { shownText } from "../shown-text.ts";
import { sourceOfResult } from "./sizing.ts";

/** The word for standard input and output. */
export const STREAM = "-";

/** A file to upscale. Its path is as the user wrote it, relative ones included. */
export interface FoundImage {
  readonly path: string;
  /** Its folder below the folder that was named; empty for others. */
  readonly below: string;
  /** By its first bytes; undefined where they are no image, which reading it will tell. */
  readonly kind: ImageKind | undefined;
}

/** A file that is left out, and why, as a count can be put in front of it: "link to nothing". */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/** A word or file that cannot be, and why. */
export interface Problem {
  readonly input: string;
  readonly error: CliError;
}

/** What the words name. */
export interface FoundFiles {
  readonly images: readonly FoundImage[];
  readonly skipped: readonly Skipped[];
  readonly problems: readonly Problem[];
  /** Whether there may be more than one: several words, a folder or a glob. */
  readonly isBatch: boolean;
}

/** How folders are searched. */
export interface SearchOptions {
  readonly recursive: boolean;
  /** A folder that is left out: that of the results. */
  readonly outFolder: string | undefined;
}

/**
 * Finds the images that `words` name, each once, in order. Folders and globs give regular files and links to such whose
 * name or first bytes are an image's; results of ours (`photo-x4.png` or `photo-1920x1080.png` beside `photo.jpg`) are left out there and among
 * several words. Throws `CliError` (exit code 2) where nothing at all is found.
 */
export async function findImages(
  words: readonly string[],
  options: SearchOptions,
): Promise<FoundFiles> {
  const search = new Search(words, options);
  for (const word of new Set(words)) await search.word(word);
  return search.result();
}

class Search {
  readonly #words: readonly string[];
  readonly #options: SearchOptions;
  readonly #images = new Map<string, FoundImage>(); // by absolute path
  readonly #skipped: Skipped[] = [];
  readonly #problems: Problem[] = [];
  readonly #sources = new Map<string, Promise<ReadonlySet<string>>>();
  #isBatch: boolean;

  constructor(words: readonly string[], options: SearchOptions) {
    this.#words = words;
    this.#options = options;
    this.#isBatch = words.length > 1;
  }

  async word(word: string): Promise<void> {
    try {
      const paths = await this.#pathsOf(word);
      for (const path of paths) await this.#path(path, word);
    } catch (error) {
      this.#problem(word, error);
    }
  }

  result(): FoundFiles {
    const images = [...this.#images.values()];
    const found = { images, skipped: this.#skipped, problems: this.#problems };
    if (images.length > 0) return { ...found, isBatch: this.#isBatch };
    const [first, ...others] = this.#problems;
    if (first !== undefined && others.length === 0) throw named(first);
    if (first !== undefined) return { ...found, isBatch: true };
    const skipped = this.#skipped.length === 0 ? "" : `; ${skippedText(this.#skipped)}`;
    const what = this.#words.map(shownText).join(", ");
    throw usageError(`${what}: no image to upscale (${READABLE} can be read${skipped})`);
  }

  /** Usually the word itself; several where Node could not read its bytes. */
  async #pathsOf(word: string): Promise<readonly string[]> {
    const paths = await namesOfWord(word);
    if (paths.length === 1) return paths;
    const wanted = this.#words.filter((other) => other === word).length;
    if (paths.length > wanted) {
      throw usageError(
        `${paths.length} files have names that read like this: ${paths.map(shownText).join(", ")}. Name their folder`,
      );
    }
    return paths;
  }

  async #path(path: string, word: string): Promise<void> {
    let stats: Stats;
    try {
      stats = await stat(systemPath(path));
    } catch (error) {
      const isLink = (await lstat(systemPath(path)).catch(() => undefined)) !== undefined;
      if (isLink && this.#isList) return this.#entry(path, "");
      if (isLink && systemCode(error) === "ENOENT") throw usageError("it is a link to nothing");
      if (systemCode(error) !== "ENOENT") throw usageError(systemReason(error));
      return this.#glob(word);
    }
    if (stats.isDirectory()) {
      this.#isBatch = true;
      return this.#folder(path, "");
    }
    const isLeftOut = this.#isList && (!stats.isFile() || isCompanion(path));
    if (isLeftOut) return this.#entry(path, "");
    if (this.#isList && (await this.#isOwnResult(path))) return this.#skip(path, OWN_RESULT);
    this.#add(path, "", await kindOf(path));
  }

  /** Several words may be what a shell has made of a pattern: a search, by and large. */
  get #isList(): boolean {
    return this.#words.length > 1;
  }

  async #glob(word: string): Promise<void> {
    const { glob, isDynamicPattern } = await import("tinyglobby");
    const pattern = sep === "\\" ? word.replaceAll("\\", "/") : word;
    if (!isDynamicPattern(pattern)) throw usageError("no such file or folder");
    this.#isBatch = true;
    const matches = await glob(pattern, {
      expandDirectories: false,
      absolute: isAbsolute(word),
    });
    if (matches.length === 0) throw usageError("nothing matches");
    const links = new Map<string, Promise<boolean>>();
    for (const match of matches.toSorted()) {
      for (const path of await namesOfWord(match)) {
        if (!(await isBelowLink(path, pattern, links))) await this.#entry(path, "");
      }
    }
  }

  async #folder(folder: string, below: string): Promise<void> {
    const names = await readdir(systemPath(folder), { encoding: "buffer" }).catch((error) => {
      throw usageError(systemReason(error));
    });
    for (const name of names.map(nameFromBytes).toSorted()) {
      const path = join(folder, name);
      const stats = await lstat(systemPath(path)).catch(() => undefined);
      if (!stats?.isDirectory()) await this.#entry(path, below);
      else if (this.#options.recursive && !this.#isOutFolder(path)) {
        try {
          await this.#folder(path, join(below, name));
        } catch (error) {
          this.#problem(path, error);
        }
      }
    }
  }

  #isOutFolder(path: string): boolean {
    const { outFolder } = this.#options;
    return outFolder !== undefined && resolve(outFolder) === resolve(path);
  }

  /** A file that nobody has named. */
  async #entry(path: string, below: string): Promise<void> {
    const name = basename(path);
    const isLink =
      (await lstat(systemPath(path)).catch(() => undefined))?.isSymbolicLink() ?? false;
    const stats = await stat(systemPath(path)).catch((error: unknown) => systemCode(error) ?? "");
    if (typeof stats === "string") {
      const reason = stats === "ELOOP" ? "link in a circle" : "link to nothing";
      return this.#skip(path, isLink ? reason : "unreadable file");
    }
    if (stats.isDirectory()) return this.#skip(path, "link to a folder");
    if (!stats.isFile()) return this.#skip(path, "special file");
    if (isCompanion(path)) return this.#skip(path, "companion of macOS (._*)");
    if (/^\.rcod-.*\.tmp$/.test(name)) return; // one of ours, half written
    const head = await readHead(path).catch(() => undefined);
    const found = head && recognise(head);
    const kind = found && "kind" in found ? found.kind : undefined;
    if (kind === undefined && !isImageName(name)) {
      return this.#skip(path, found ? unreadReason(found) : "file of another kind");
    }
    if (await this.#isOwnResult(path)) return this.#skip(path, OWN_RESULT);
    this.#add(path, below, kind);
  }

  /** Whether the file is named as the result of an image that lies beside it. */
  async #isOwnResult(path: string): Promise<boolean> {
    const source = sourceOfResult(basename(path, extname(path)));
    if (source === undefined) return false;
    const folder = dirname(path);
    const sources = this.#sources.get(folder) ?? imageStems(folder);
    this.#sources.set(folder, sources);
    return (await sources).has(source);
  }

  #add(path: string, below: string, kind: ImageKind | undefined): void {
    const key = resolve(path);
    if (!this.#images.has(key)) this.#images.set(key, { path, below, kind });
  }

  #skip(path: string, reason: string): void {
    this.#skipped.push({ path, reason });
  }

  #problem(input: string, error: unknown): void {
    if (!(error instanceof CliError)) throw error;
    this.#problems.push({ input, error });
  }
}

/** macOS writes `._photo.jpg` beside `photo.jpg` on disks of others: no image, whatever its name says. */
const isCompanion = (path: string): boolean => basename(path).startsWith("._");

/**
 * Whether a match lies in a folder that the pattern does not name and that is a link: what is in there is found where it
 * is, or would not be found in a folder that is searched either.
 */
async function isBelowLink(
  path: string,
  pattern: string,
  links: Map<string, Promise<boolean>>,
): Promise<boolean> {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
    if (folder === "." || pattern.startsWith(`${folder}/`)) return false;
    const isLink =
      links.get(folder) ??
      lstat(systemPath(folder)).then(
        (stats) => stats.isSymbolicLink(),
        () => false,
      );
    links.set(folder, isLink);
    if (await isLink) return true;
  }
  return false;
}

const OWN_RESULT = "result of an earlier run";

/** `an SVG drawing` → `SVG drawing`, so that a count can stand in front. */
const unreadReason = (found: object): string =>
  "unread" in found ? String(found.unread).replace(/^an? /, "") : "file of another kind";

/** A problem that ends the command. */
function named({ input, error }: Problem): CliError {
  return new CliError(`${shownText(input)}: ${error.message}`, error.exitCode);
}

/** `2 skipped (1 link to nothing, 1 special file)`; several of one reason have no plural. */
export function skippedText(skipped: readonly Skipped[]): string {
  const counts = new Map<string, number>();
  for (const { reason } of skipped) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const list = [...counts].map(([reason, count]) => `${count} × ${reason}`);
  return `${skipped.length} skipped${list.length === 0 ? "" : ` (${list.join(", ")})`}`;
}

async function kindOf(path: string): Promise<ImageKind | undefined> {
  const head = await readHead(path).catch(() => undefined);
  const found = head && recognise(head);
  return found && "kind" in found ? found.kind : undefined;
}

async function imageStems(folder: string): Promise<ReadonlySet<string>> {
  const names = await readdir(systemPath(folder), { encoding: "buffer" }).catch(() => []);
  return new Set(
    names
      .map(nameFromBytes)
      .filter(isImageName)
      .map((name) => basename(name, extname(name))),
  );
}
