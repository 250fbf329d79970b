/**
 * A folder of files, wherever it lies: a web address, a browser folder input, a directory handle or
 * memory. Paths inside it are relative, with forward slashes, and cannot leave it.
 */
import { checkOptions } from "../../options.ts";
import { quoted, reasonOf, WeightsError } from "../errors.ts";
import { parseStrictJson } from "../strict-json.ts";
import type { JsonValue } from "../strict-json.ts";
import { decodeText } from "../utf8.ts";
import type { HttpOptions } from "./http-client.ts";
import { HTTP_RULES } from "./http-client.ts";
import { openHttp, openUrl } from "./http-source.ts";
import { MANIFEST, folderListing } from "./listing.ts";
import { readAheadFiles } from "./read-ahead.ts";
import { blobSource, bytesSource } from "./source.ts";
import type { ByteSource, FileSet } from "./source.ts";

export type { FileSet };

/** Largest text file that is read whole, in bytes: an index of 100,000 tensors has about 10 MiB. */
export const MAX_TEXT_BYTES = 16 * 2 ** 20;

/** Whether a path is relative and stays inside its folder; see `checkRelativePath`. */
export function isRelativePath(path: string): boolean {
  return (
    !/[\\\0]|^[A-Za-z]:/.test(path) &&
    path.split("/").every((name) => name !== "" && name !== "." && name !== "..")
  );
}

/**
 * Checks that a path is relative and stays inside its folder.
 * @throws WeightsError for `..`, `.`, empty names, a leading slash, drive letters, backslashes, NUL
 */
export function checkRelativePath(path: string): void {
  if (isRelativePath(path)) return;
  throw new WeightsError(
    `weights: path must be relative with plain parts, got ${quoted(path)}. ` +
      `Use forward slashes, no "..", no drive`,
  );
}

/** Files by paths that are checked, see `checkRelativePath`, before `open` sees them. */
export function checkedFiles(name: string, open: FileSet["open"]): FileSet {
  return {
    name,
    async open(path, signal) {
      checkRelativePath(path);
      signal?.throwIfAborted();
      return open(path, signal);
    },
  };
}

/**
 * Windows for the small tensors of a model, which lie near each other: 1463 reads of a Stable Diffusion and CLIP in
 * converted shards are 656 requests with them, for 0.2 % more bytes; in whole fp16 files 1022, for 4 %.
 */
const URL_WINDOW_BYTES = 2 ** 18;
/** Small models are read by one request a window, whatever the order. */
const URL_WINDOWS = 16;

/**
 * Files below a web address, e.g. `https://host/org/model/resolve/main`. Reads shorter than 256 KiB are served from
 * windows of that length, at most 16 for each open file.
 *
 * Where the folder has the `manifest.json` of `rcod convert`, what is not listed there is absent without a request, and
 * what is listed must have the length given there. Else 404, 410, a page, and also 400 and 403 count as absent; the
 * latter two are told by `refusal`.
 * @throws WeightsError for an address with a query or fragment; TypeError or RangeError for an option that there is not
 */
export function urlFiles(baseUrl: string, options: HttpOptions = {}): FileSet {
  checkOptions("urlFiles", options, HTTP_RULES);
  checkFolderUrl(baseUrl);
  const refusals = new Map<string, string>();
  const listing = folderListing(urlIn(baseUrl, MANIFEST), options);
  const files = checkedFiles(baseUrl, async (path, signal) => {
    const listed = await listing(signal);
    const file = listed?.get(path);
    if (listed !== null && file === undefined && path !== MANIFEST) return null;
    const opening = await openHttp(urlIn(baseUrl, path), options, signal, file);
    if (opening.kind === "open") return opening.source;
    if (opening.refusal !== null) refusals.set(path, opening.reason);
    return null;
  });
  const refusal = (path: string): string | null => refusals.get(path) ?? null;
  return readAheadFiles({ ...files, refusal }, URL_WINDOW_BYTES, URL_WINDOWS);
}

/** Files by relative path, each at its address (`http:`, `https:`, `data:` or `blob:`). What is not listed is absent. */
export function urlMapFiles(
  urls: ReadonlyMap<string, string | URL>,
  options: HttpOptions = {},
): FileSet {
  checkOptions("urlMapFiles", options, HTTP_RULES);
  return checkedFiles(`a list of files (${urls.size})`, async (path, signal) => {
    const url = urls.get(path);
    return url === undefined ? null : openUrl(String(url), options, signal);
  });
}

/**
 * Checks that paths can be appended to an address.
 * @throws WeightsError for a query or a fragment
 */
export function checkFolderUrl(baseUrl: string): void {
  if (!/[?#]/.test(baseUrl)) return;
  throw new WeightsError(`weights: folder address must have no "?" or "#", got ${baseUrl}`);
}

/**
 * The address of a file below a folder's.
 * @throws WeightsError for paths that could leave it; see `checkRelativePath`
 */
export function urlIn(baseUrl: string, path: string): string {
  checkRelativePath(path);
  return `${baseUrl.replace(/\/+$/, "")}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/**
 * Files of `<input type="file" webkitdirectory>`, or of a plain file input. The folder that all
 * files share (the one that was chosen) is not part of the paths.
 * @throws WeightsError when two files have the same path
 */
export function fileListFiles(files: Iterable<File>): FileSet {
  const entries = Array.from(files, (file) => ({
    path: file.webkitRelativePath || file.name,
    file,
  }));
  const top = entries[0]?.path.split("/", 1)[0] ?? "";
  const hasTop = entries.length > 0 && entries.every(({ path }) => path.startsWith(`${top}/`));
  const byPath = new Map<string, File>();
  for (const { path, file } of entries) {
    const inner = hasTop ? path.slice(top.length + 1) : path;
    if (byPath.has(inner)) {
      throw new WeightsError(
        `weights: two files have the path ${quoted(inner)}. Choose one folder`,
      );
    }
    byPath.set(inner, file);
  }
  return checkedFiles(hasTop ? top : "chosen files", async (path) => {
    const file = byPath.get(path);
    return file === undefined ? null : blobSource(path, file);
  });
}

/** Files below a directory that the user gave access to (`showDirectoryPicker`, or OPFS). */
export function directoryHandleFiles(directory: FileSystemDirectoryHandle): FileSet {
  return checkedFiles(directory.name, async (path): Promise<ByteSource | null> => {
    const folders = path.split("/");
    const fileName = folders.pop() ?? "";
    try {
      let current = directory;
      for (const folder of folders) current = await current.getDirectoryHandle(folder);
      const handle = await current.getFileHandle(fileName);
      return blobSource(path, await handle.getFile());
    } catch (cause) {
      const kind = cause instanceof Error ? cause.name : "";
      // TypeMismatchError: a folder in the place of a file, or the reverse.
      if (kind === "NotFoundError" || kind === "TypeMismatchError") return null;
      throw new WeightsError(
        `weights: file cannot be opened, got ${reasonOf(cause)} (${quoted(path)}). ` +
          `Choose the folder again and allow reading`,
        { cause },
      );
    }
  });
}

/** Files that are in memory already; keys are relative paths. */
export function memoryFiles(files: ReadonlyMap<string, Uint8Array>, name = "memory"): FileSet {
  return checkedFiles(name, async (path) => {
    const bytes = files.get(path);
    return bytes === undefined ? null : bytesSource(path, bytes);
  });
}

/**
 * The text of a file of at most 16 MiB, without a byte order mark.
 * @throws WeightsError when it is absent, larger, or not UTF-8
 */
export async function readText(
  files: FileSet,
  path: string,
  signal?: AbortSignal,
): Promise<string> {
  const source = await files.open(path, signal);
  if (source === null) {
    throw new WeightsError(`weights: file ${quoted(path)} must exist (${files.name})`);
  }
  try {
    if (source.byteLength > MAX_TEXT_BYTES) {
      throw new WeightsError(
        `weights: text file may have ${MAX_TEXT_BYTES} bytes, got ${source.byteLength} ` +
          `(${quoted(source.name)}). Is it another file?`,
      );
    }
    const bytes = await source.read(0, source.byteLength, signal);
    return decodeText(bytes, quoted(source.name));
  } finally {
    await source.close();
  }
}

/**
 * The JSON value in a file of at most 16 MiB, read strictly (see `parseStrictJson`).
 * @throws WeightsError when it is absent, larger, not UTF-8, or not JSON
 */
export async function readJson(
  files: FileSet,
  path: string,
  signal?: AbortSignal,
): Promise<JsonValue> {
  const text = await readText(files, path, signal);
  return parsedJson(text, quoted(path), () => parseStrictJson(text, quoted(path)));
}

/**
 * What `parse` makes of a text that should be JSON.
 * @throws WeightsError naming the kind of file that it is instead, or what `parse` throws
 */
export async function parsedJson<T>(text: string, where: string, parse: () => T): Promise<T> {
  try {
    return parse();
  } catch (error) {
    const { kindOfBytes } = await import("../foreign-file.ts");
    const bytes = new TextEncoder().encode(text.slice(0, 200));
    const kind = kindOfBytes(bytes, bytes.byteLength);
    if (kind === null || /^\s*[{["]/.test(text)) throw error;
    throw new WeightsError(
      `weights: the file must be JSON, got ${kind.what} (${where}). ${kind.advice}`,
      { cause: error },
    );
  }
}
