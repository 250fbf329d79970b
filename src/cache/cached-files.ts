/** Folders and files over HTTP that are kept: the first load streams to the device and to storage at once. */
import type { FileSet, SingleFile } from "../weights/index.ts";
import { readJson } from "../weights/index.ts";
import { checkFolderUrl, urlIn } from "../weights/sources/files.ts";
import type { ManifestFile } from "../weights/sources/manifest.ts";
import { MANIFEST, parseManifest } from "../weights/sources/manifest.ts";
import type { CacheOptions } from "./address-cache.ts";
import { AddressCache } from "./address-cache.ts";
import { addressOf } from "./storage.ts";

type Listing = ReadonlyMap<string, ManifestFile>;

/**
 * The files below a web address, stored by the browser as they are read. Use it wherever a folder is taken.
 *
 * A folder with the `manifest.json` of `rcod convert` is stored by its checksums: every piece of 4 MiB is checked
 * as it comes and again when it is read from storage, and a new version of the folder fetches only what changed.
 * Any other folder is stored by size and ETag (or Last-Modified) of each file. Only what is missing, damaged or
 * outdated is fetched: an interrupted load continues where it stopped. Without a network the stored files are
 * used.
 *
 * Where storage is missing, refused or too small, the files are read from the network and `onWarning` says why.
 * It looks up the current version once: make a new one for each load.
 * @throws WeightsError for an address with a query or fragment
 */
export function cachedUrlFiles(baseUrl: string | URL, options: CacheOptions = {}): FileSet {
  const base = addressOf(baseUrl);
  checkFolderUrl(String(baseUrl));
  const cache = new AddressCache(base, options);
  let listing: Promise<Listing | null> | null = null;
  const readListing = async (signal?: AbortSignal): Promise<Listing | null> => {
    const source = await cache.open(MANIFEST, urlIn(base, MANIFEST), signal);
    if (source === null) return null;
    const opened: FileSet = { name: base, open: async () => source };
    const listed = parseManifest(await readJson(opened, MANIFEST, signal));
    if (listed !== null) await cache.prepare(listed, MANIFEST);
    return listed;
  };
  return {
    name: String(baseUrl),
    async open(path, signal) {
      const url = urlIn(base, path);
      signal?.throwIfAborted();
      listing ??= readListing(signal);
      const listed = await listing.catch((error: unknown) => {
        listing = null; // the next file may find it
        throw error;
      });
      if (listed === null || path === MANIFEST) return cache.open(path, url, signal);
      const file = listed.get(path);
      return file === undefined ? null : cache.openListed(path, url, file, signal);
    },
  };
}

/** A single file at a web address, such as a checkpoint, stored by the browser; see `cachedUrlFiles`. */
export function cachedUrlFile(url: string | URL, options: CacheOptions = {}): SingleFile {
  const address = addressOf(url);
  const cache = new AddressCache(address, options);
  return {
    name: address,
    async open(signal) {
      signal?.throwIfAborted();
      return cache.open("", String(url), signal);
    },
  };
}
