/**
 * Measured variants in the browser's cache storage, which pages and workers of an origin share and which needs a
 * secure context, as WebGPU itself does. (localStorage is not there in workers; IndexedDB would be longer.)
 */
import type { TuningStore } from "./tuning-table.ts";

const CACHE = "rcod-webgpu";
/** A cache entry must have an address; this one is never fetched. */
const ENTRY = "/.rcod-webgpu/tuning.json";

/** The store of this environment, or undefined where there is none (Node). */
export function browserTuningStore(
  storage: CacheStorage | undefined = cacheStorage(),
): TuningStore | undefined {
  if (storage === undefined) return undefined;
  return {
    async read() {
      const cache = await storage.open(CACHE);
      return (await (await cache.match(ENTRY))?.text()) ?? null;
    },
    async write(text) {
      await (await storage.open(CACHE)).put(ENTRY, new Response(text));
    },
  };
}

/** In a sandboxed frame of no origin even asking for it throws. */
function cacheStorage(): CacheStorage | undefined {
  try {
    return globalThis.caches;
  } catch {
    return undefined;
  }
}
