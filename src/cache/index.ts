/**
 * Models in the browser's own storage (OPFS): the second load needs no network.
 *
 * ```ts
 * const model = await loadModel(cachedUrlFiles("https://host/rcod-o-fp16", { onWarning: console.warn }));
 * ```
 */
export type {} from "../web-types.ts";
export { cachedUrlFile, cachedUrlFiles } from "./cached-files.ts";
export type { CacheFileOptions } from "./cached-files.ts";
export type { CacheOptions } from "./address-cache.ts";
export { clearCache, listCache } from "./storage.ts";
export type { CachedAddress } from "./storage.ts";
