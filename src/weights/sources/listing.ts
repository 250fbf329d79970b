/** Which files a folder on a server has: its manifest, read once. */
import { abortable, anySignal } from "../../abort.ts";
import { WeightsError } from "../errors.ts";
import { contentLength, discard, HttpClient } from "./http-client.ts";
import type { HttpOptions } from "./http-client.ts";
import { isPage } from "./http-source.ts";
import type { ManifestFile } from "./manifest.ts";

/** The files of a folder by path. */
export type Listing = ReadonlyMap<string, ManifestFile>;

/** Largest manifest, in bytes: 100,000 pieces of 4 MiB have about 7 MiB. */
const MAX_MANIFEST_BYTES = 16 * 2 ** 20;

/** In every folder that `rcod convert` writes. */
export const MANIFEST = "manifest.json";

/** Gives the listing of a folder, which is read when it is first asked for; null where the folder has none. */
export function folderListing(
  url: string,
  options: HttpOptions,
): (signal?: AbortSignal) => Promise<Listing | null> {
  return readOnce((signal) => readListing(url, options, anySignal(options.signal, signal)));
}

/** Runs `read` for whoever asks first, until it succeeds. The others wait for that. */
export function readOnce<T>(
  read: (signal?: AbortSignal) => Promise<T>,
): (signal?: AbortSignal) => Promise<T> {
  let reading: Promise<T> | null = null;
  return async function once(signal): Promise<T> {
    const isOurs = reading === null;
    reading ??= read(signal).catch((error: unknown) => {
      reading = null; // the next may find it
      throw error;
    });
    try {
      return await abortable(reading, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (isOurs || error instanceof WeightsError) throw error;
      return once(signal); // whoever asked first has stopped
    }
  };
}

async function readListing(
  url: string,
  options: HttpOptions,
  signal: AbortSignal | undefined,
): Promise<Listing | null> {
  const client = new HttpClient(url, options);
  return client.retrying(signal, async () => {
    // Without a range, for this is one request instead of two.
    const response = await client.request("GET", signal);
    const isFile = response.status === 200 && !isPage(response);
    if (!isFile || (contentLength(response) ?? 0) > MAX_MANIFEST_BYTES) {
      discard(response);
      return null;
    }
    const bytes = await client.readWhole(response, signal);
    // Loaded where there is one.
    const { parseManifestText } = await import("./manifest.ts");
    return parseManifestText(bytes, url);
  });
}
