/** Folders and files over HTTP that are kept: the first load streams to the device and to storage at once. */
import type { OptionRules } from "../options.ts";
import { checkOptions, typed } from "../options.ts";
import type { FileSet, SingleFile } from "../weights/index.ts";
import { MAX_TEXT_BYTES, checkFolderUrl, urlIn } from "../weights/sources/files.ts";
import { MANIFEST, readOnce } from "../weights/sources/listing.ts";
import type { Listing } from "../weights/sources/listing.ts";
import { parseManifestText } from "../weights/sources/manifest.ts";
import type { CacheOptions } from "./address-cache.ts";
import { AddressCache, CACHE_RULES } from "./address-cache.ts";
import { addressOf } from "./storage.ts";

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
  checkOptions("cachedUrlFiles", options, CACHE_RULES);
  const base = addressOf(baseUrl);
  checkFolderUrl(String(baseUrl));
  const cache = new AddressCache(base, options);
  const listing = readOnce(async (signal): Promise<Listing | null> => {
    const source = await cache.open(MANIFEST, urlIn(base, MANIFEST), signal);
    if (source === null) return null;
    const bytes = await source.read(0, Math.min(source.byteLength, MAX_TEXT_BYTES), signal);
    await source.close();
    const listed = parseManifestText(bytes, MANIFEST);
    if (listed !== null) await cache.prepare(listed, MANIFEST);
    return listed;
  });
  return {
    name: String(baseUrl),
    refusal: (path) => cache.refusals.get(path) ?? null,
    async open(path, signal) {
      const url = urlIn(base, path);
      signal?.throwIfAborted();
      const listed = await listing(signal);
      if (listed === null || path === MANIFEST) return cache.open(path, url, signal);
      const file = listed.get(path);
      return file === undefined ? null : cache.openListed(path, url, file, signal);
    },
  };
}

/** How a single file is fetched and stored. */
export interface CacheFileOptions extends CacheOptions {
  /**
   * The address under which the file is kept and listed. Default: its URL, with the query. Give one where the query
   * changes from load to load or must not be written down, as in signed URLs.
   */
  readonly cacheKey?: string | URL;
}

const FILE_RULES: OptionRules<CacheFileOptions> = {
  ...CACHE_RULES,
  cacheKey: typed("an address", (value) => typeof value === "string" || value instanceof URL),
};

/**
 * A single file at a web address, such as a checkpoint, stored by the browser; see `cachedUrlFiles`. Files whose URLs
 * differ in the query are two files, unless they have the same `cacheKey`.
 */
export function cachedUrlFile(url: string | URL, options: CacheFileOptions = {}): SingleFile {
  checkOptions("cachedUrlFile", options, FILE_RULES);
  const cache = new AddressCache(addressOf(options.cacheKey ?? url), options);
  return {
    name: addressOf(url).replace(/\?.*$/, ""),
    async open(signal) {
      signal?.throwIfAborted();
      return cache.open("", String(url), signal, { isRequired: true });
    },
  };
}
