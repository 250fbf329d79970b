/**
 * Where a page's cached files lie in the origin private file system:
 *
 * ```text
 * rcod-webgpu/<address>/address.txt       the address of a folder or file
 *                      /<path>/entry.json what the server said of a file without checksum
 *                             /<version>/0, 1, 2 …   its pieces
 * ```
 *
 * Names in angle brackets are hashes: addresses may be longer than file names, and hold anything.
 */
import { sha256 } from "../weights/sources/sha256.ts";
import { storedBytes } from "./piece-files.ts";

const ROOT = "rcod-webgpu";
const ADDRESS = "address.txt";
const ENTRY = "entry.json";

/** What the server last said of a file: a version and its length, or that there is no such file. */
export type Entry =
  | { readonly version: string; readonly byteLength: number }
  | { readonly version: null };

/** The files of one address. */
export class AddressStorage {
  readonly #directory: FileSystemDirectoryHandle;

  constructor(directory: FileSystemDirectoryHandle) {
    this.#directory = directory;
  }

  /** The entry of a file; null where there is none, or a damaged one. */
  async entry(path: string): Promise<Entry | null> {
    try {
      const directory = await this.#pathDirectory(path);
      const file = await (await directory.getFileHandle(ENTRY)).getFile();
      const entry = JSON.parse(await file.text()) as Entry;
      return entry.version === null || Number.isSafeInteger(entry.byteLength) ? entry : null;
    } catch {
      return null;
    }
  }

  async writeEntry(path: string, entry: Entry): Promise<void> {
    const directory = await this.#pathDirectory(path);
    await writeText(directory, ENTRY, JSON.stringify(entry));
    if (entry.version === null) await removeWhere(directory, (name) => name !== ENTRY);
  }

  /** The pieces of a version of a file, after all other versions are removed. */
  async version(path: string, version: string): Promise<FileSystemDirectoryHandle> {
    const directory = await this.#pathDirectory(path);
    const name = await nameOf(version);
    await removeWhere(directory, (other) => other !== name && other !== ENTRY);
    return directory.getDirectoryHandle(name, { create: true });
  }

  /** Removes all files but those at `paths`. */
  async keepOnly(paths: Iterable<string>): Promise<void> {
    const kept = new Set([ADDRESS, ...(await Promise.all(Array.from(paths, nameOf)))]);
    await removeWhere(this.#directory, (name) => !kept.has(name));
  }

  async #pathDirectory(path: string): Promise<FileSystemDirectoryHandle> {
    return this.#directory.getDirectoryHandle(await nameOf(path), { create: true });
  }
}

/** The storage of one address, or why the browser has none. */
export async function openStorage(address: string): Promise<AddressStorage | { reason: string }> {
  const root = await openRoot();
  if ("reason" in root) return root;
  try {
    const directory = await root.getDirectoryHandle(await nameOf(address), { create: true });
    await writeText(directory, ADDRESS, address);
    return new AddressStorage(directory);
  } catch (error) {
    return { reason: String(error) };
  }
}

async function openRoot(): Promise<FileSystemDirectoryHandle | { reason: string }> {
  const { storage } = (globalThis.navigator ?? {}) as {
    readonly storage?: Partial<StorageManager>;
  };
  if (storage?.getDirectory === undefined || globalThis.crypto?.subtle === undefined) {
    return { reason: "this page has no file system: it needs https or localhost" };
  }
  if (!("createWritable" in FileSystemFileHandle.prototype)) {
    return { reason: "this browser cannot write files (createWritable)" };
  }
  try {
    return await (await storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
  } catch (error) {
    return { reason: `the browser refuses it, as in private windows (${String(error)})` };
  }
}

/** Bytes that may still be stored; Infinity where the browser does not tell. */
export async function availableBytes(): Promise<number> {
  const { quota, usage } = (await navigator.storage.estimate?.().catch(() => null)) ?? {};
  return quota === undefined ? Infinity : Math.max(0, quota - (usage ?? 0));
}

/** A folder or file in the cache. */
export interface CachedAddress {
  /** What was given to `cachedUrlFiles` or `cachedUrlFile`, absolute; or its `cacheKey`. */
  readonly url: string;
  /** Bytes of it that are stored; a download that was interrupted counts as far as it came. */
  readonly bytes: number;
}

/**
 * What the cache of this page's origin holds, for a settings panel. Empty where there is no storage.
 */
export async function listCache(): Promise<readonly CachedAddress[]> {
  const root = await openRoot();
  const found: CachedAddress[] = [];
  if ("reason" in root) return found;
  for await (const handle of root.values()) {
    if (handle.kind !== "directory") continue;
    try {
      const file = await (await handle.getFileHandle(ADDRESS)).getFile();
      found.push({ url: await file.text(), bytes: await storedBytes(handle) });
    } catch {
      // Being removed, by this tab or another.
    }
  }
  return found;
}

/**
 * Removes one folder or file from the cache, or everything. A model that is loading goes on from the network.
 */
export async function clearCache(url?: string | URL): Promise<void> {
  const root = await openRoot();
  if ("reason" in root) return;
  const name = url === undefined ? null : await nameOf(addressOf(url));
  await removeWhere(root, (key) => name === null || key === name);
}

/** The same address for the same place: absolute, without a fragment and slashes at the end of the path. */
export function addressOf(url: string | URL): string {
  const { document, location } = globalThis as { document?: Document; location?: Location };
  const absolute = new URL(String(url), document?.baseURI ?? location?.href);
  return `${absolute.origin}${absolute.pathname.replace(/\/+$/, "")}${absolute.search}`;
}

async function nameOf(text: string): Promise<string> {
  return (await sha256(text)).slice(0, 32);
}

async function removeWhere(
  directory: FileSystemDirectoryHandle,
  isRemoved: (name: string) => boolean,
): Promise<void> {
  const names: string[] = []; // collected first: what a listing does while it changes is not specified
  for await (const name of directory.keys()) if (isRemoved(name)) names.push(name);
  for (const name of names) {
    // Gone already: another tab does the same.
    await directory.removeEntry(name, { recursive: true }).catch(() => {});
  }
}

async function writeText(
  directory: FileSystemDirectoryHandle,
  name: string,
  text: string,
): Promise<void> {
  const handle = await directory.getFileHandle(name, { create: true });
  const writable = await handle.createWritable();
  await writable.write(text);
  await writable.close();
}
