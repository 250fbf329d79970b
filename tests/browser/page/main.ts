/** What the tests call in the page. Bytes cross the border as base64: puppeteer passes JSON. */
import type {
  CachedAddress,
  ModelSource,
  Progress,
  RawImage,
  UpscaleOptions,
} from "../../../src/index.ts";
import {
  cachedUrlFile,
  cachedUrlFiles,
  clearCache,
  listCache,
  loadModel,
} from "../../../src/index.ts";
import { urlFiles } from "../../../src/weights/index.ts";

/** An image with its pixels as base64. */
export interface EncodedImage extends Omit<RawImage, "data"> {
  readonly data: string;
}

/** What came of reading a file to its end. */
export interface ReadReport {
  /** Null where there is no such file. */
  readonly sha256: string | null;
  readonly warnings: readonly string[];
  /** Message of what was thrown, or null. */
  readonly error: string | null;
  /** Largest JavaScript heap seen above that at the start, buffers included, in bytes. */
  readonly heapBytes: number;
}

export interface ReadOptions {
  /** Default: the whole file at once. */
  readonly chunkBytes?: number;
  readonly isCached?: boolean;
  /** A file of its own, not of a folder. */
  readonly isSingle?: boolean;
}

/** Functions of the page, as `window.rcod`. */
export interface TestApi {
  /** Loads a model, enlarges one image in f32 and disposes. `cached` has folders and files by their URLs stored. */
  upscale(source: ModelSource, image: EncodedImage, options: UpscaleOptions): Promise<EncodedImage>;
  cachedFolder: typeof cachedUrlFiles;
  /** Reads files of a folder one after the other. */
  read(folder: string, path: string, options?: ReadOptions): Promise<ReadReport>;
  list(): Promise<readonly CachedAddress[]>;
  clear(url?: string): Promise<void>;
}

declare global {
  var rcod: TestApi;
}

const decode = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

const encode = (bytes: ArrayLike<number>): string => {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number);
  return btoa(text);
};

const heapNow = (): number =>
  (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize;

/** Of the chunks' hashes where there are several: nothing here may hold a whole file. */
async function hashOf(hashes: readonly Uint8Array[]): Promise<string> {
  const digest = async (bytes: BufferSource) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const [first = new Uint8Array()] = hashes;
  const last =
    hashes.length === 1 ? first : await digest(await new Blob(hashes as BlobPart[]).arrayBuffer());
  return Array.from(last, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

globalThis.rcod = {
  cachedFolder: cachedUrlFiles,

  async upscale(source, { data, ...size }, options) {
    const model = await loadModel(source, { precision: "f32" });
    try {
      const { image } = await model.upscale({ ...size, data: decode(data) }, options);
      return { ...image, data: encode(image.data) };
    } finally {
      model.dispose();
    }
  },

  async read(folder, path, { chunkBytes = Infinity, isCached = true, isSingle = false } = {}) {
    const warnings: string[] = [];
    const options = { onWarning: (text: string) => void warnings.push(text), retryDelayMs: 1 };
    const files = isCached ? cachedUrlFiles(folder, options) : urlFiles(folder, options);
    const heapAtStart = heapNow();
    let heapBytes = 0;
    try {
      const source = isSingle
        ? await cachedUrlFile(`${folder}/${path}`, options).open()
        : await files.open(path);
      const hashes: Uint8Array[] = [];
      for (let at = 0; source !== null && at < source.byteLength; at += chunkBytes) {
        const length = Math.min(chunkBytes, source.byteLength - at);
        const bytes = (await source.read(at, length)) as Uint8Array<ArrayBuffer>;
        hashes.push(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
        heapBytes = Math.max(heapBytes, heapNow() - heapAtStart);
      }
      await source?.close();
      return { sha256: source && (await hashOf(hashes)), warnings, error: null, heapBytes };
    } catch (error) {
      return { sha256: null, warnings, error: String(error), heapBytes };
    }
  },

  list: listCache,
  clear: clearCache,
};
