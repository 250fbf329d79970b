/** What the tests call in the page. Bytes cross the border as base64: puppeteer passes JSON. */
import type { CachedAddress } from "../../../src/cache/index.ts";
import { cachedUrlFile, cachedUrlFiles, clearCache, listCache } from "../../../src/cache/index.ts";
import type { Gpu, ModelSource, RawImage, UpscaleOptions } from "../../../src/index.ts";
import { loadModel, requestGpu } from "../../../src/index.ts";

/** An image with its pixels as base64. */
export interface EncodedImage extends Omit<RawImage, "data"> {
  readonly data: string;
}

export interface UpscaleReport {
  readonly image: EncodedImage;
  /** `[bytesLoaded, bytesTotal]` while it loaded. */
  readonly progress: readonly (readonly [number, number])[];
}

/** What came of reading a file to its end. */
export interface ReadReport {
  /** Of each chunk; none where there is no such file. */
  readonly sha256: readonly string[];
  readonly warnings: readonly string[];
  /** Message of what was thrown, or null. */
  readonly error: string | null;
  /** Largest JavaScript heap seen above that at the start, buffers included, in bytes. */
  readonly heapBytes: number;
}

export interface ReadOptions {
  /** Default: the whole file at once. */
  readonly chunkBytes?: number;
  /** A file of its own, not of a folder. */
  readonly isSingle?: boolean;
  /** Aborts while the chunk with this number is read. */
  readonly abortedChunk?: number;
  /** Of a single file. */
  readonly cacheKey?: string;
}

/** Functions of the page, as `window.rcod`. */
export interface TestApi {
  /** Loads a model, enlarges one image in f32 and disposes. All calls share a device, and so its pipelines. */
  upscale(
    source: ModelSource,
    image: EncodedImage,
    options: UpscaleOptions,
  ): Promise<UpscaleReport>;
  cachedUrlFiles: typeof cachedUrlFiles;
  /** A folder of a server copied into the origin's own file system. */
  directory(folder: string, paths: readonly string[]): Promise<FileSystemDirectoryHandle>;
  /** Files chosen in the input `id`; a chosen folder's have their paths. */
  chosen(id: string): readonly File[];
  /** Reads one file to its end and says what came of it. */
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

/** Without what waits for the garbage collector. */
function heapNow(): number {
  (globalThis as unknown as { gc(): void }).gc();
  return (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize;
}

async function sha256(bytes: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let gpu: Promise<Gpu> | undefined;

globalThis.rcod = {
  cachedUrlFiles,

  async upscale(source, { data, ...size }, options) {
    gpu ??= requestGpu();
    const progress: [number, number][] = [];
    const model = await loadModel(source, {
      gpu: await gpu,
      precision: "f32",
      onProgress: ({ bytesLoaded = NaN, bytesTotal = NaN }) =>
        void progress.push([bytesLoaded, bytesTotal]),
    });
    try {
      const { image } = await model.upscale({ ...size, data: decode(data) }, options);
      return { image: { ...image, data: encode(image.data) }, progress };
    } finally {
      model.dispose();
    }
  },

  async directory(folder, paths) {
    const root = await navigator.storage.getDirectory();
    const top = await root.getDirectoryHandle("test folder", { create: true });
    for (const path of paths) {
      const names = path.split("/");
      const fileName = names.pop() ?? "";
      let directory = top;
      for (const name of names)
        directory = await directory.getDirectoryHandle(name, { create: true });
      const file = await directory.getFileHandle(fileName, { create: true });
      const response = await fetch(`${folder}/${path}`);
      await response.body?.pipeTo(await file.createWritable());
    }
    return top;
  },

  chosen: (id) => [...((document.getElementById(id) as HTMLInputElement).files ?? [])],

  async read(
    folder,
    path,
    { chunkBytes = Infinity, isSingle = false, abortedChunk, cacheKey } = {},
  ) {
    const controller = new AbortController();
    const { signal } = controller;
    const warnings: string[] = [];
    const options = { onWarning: (text: string) => void warnings.push(text), retryDelayMs: 1 };
    const hashes: string[] = [];
    const heapAtStart = heapNow();
    let heapBytes = 0;
    let error: string | null = null;
    try {
      const source = isSingle
        ? await cachedUrlFile(`${folder}/${path}`, {
            ...options,
            ...(cacheKey && { cacheKey }),
          }).open()
        : await cachedUrlFiles(folder, options).open(path);
      const byteLength = source?.byteLength ?? 0;
      for (let at = 0; at < byteLength; at += chunkBytes) {
        const chunk = source?.read(at, Math.min(chunkBytes, byteLength - at), signal);
        if (hashes.length === abortedChunk) controller.abort("stopped");
        const bytes = await chunk;
        hashes.push(await sha256(bytes as Uint8Array<ArrayBuffer>));
        heapBytes = Math.max(heapBytes, heapNow() - heapAtStart);
      }
      await source?.close();
    } catch (reason) {
      error = String(reason);
    }
    return { sha256: hashes, warnings, error, heapBytes };
  },

  list: listCache,
  clear: clearCache,
};
