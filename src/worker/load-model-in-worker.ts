/** `loadModel` in a worker. */
import type { DeviceLostError } from "../gpu/errors.ts";
import type { FileSource, FolderSource, ModelSources } from "../rcod/loading/model-source.ts";
import type { LoadOptions } from "../rcod/model.ts";
import type { FileSet, SingleFile } from "../weights/index.ts";
import type { WorkerLike } from "./connection.ts";
import { Connection } from "./connection.ts";
import type { ModelFacts, SentFile, SentFolder, SentSource } from "./protocol.ts";
import { WorkerModel } from "./worker-model.ts";

/** A folder that a worker can read: its URL, the addresses of its files, the files of a folder input, or a directory handle. */
export type WorkerFolderSource = Exclude<FolderSource, FileSet>;

/** A file that a worker can read: its URL, a `File` or `Blob`, or a file handle. */
export type WorkerFileSource = Exclude<FileSource, SingleFile>;

/** Where the worker gets the model from: one folder, or pieces of different origin as `ModelSources` has them. */
export type WorkerModelSource =
  | WorkerFolderSource
  | {
      readonly [Piece in keyof ModelSources]: Piece extends "model" | "clip"
        ? WorkerFolderSource
        : WorkerFileSource;
    };

/**
 * Options of loading; those of `loadModel` but the device, which the worker makes, the store of measurements,
 * which is the browser's, and warnings, which are not sent.
 */
export interface WorkerLoadOptions extends Omit<LoadOptions, "gpu" | "onWarning" | "tuningStore"> {
  /**
   * A worker that runs `rcod-webgpu/worker-host`. It may serve several models, and stays alive after `dispose()`; one that
   * a function makes ends with the model. Default: a new one, of the script that a bundler has built or the package has.
   */
  readonly worker?: WorkerLike | (() => WorkerLike & { terminate(): void });
}

/**
 * Loads a model in a worker. Addresses may be relative to the page.
 * @throws what `loadModel` throws, of the same classes with the same messages; an `Error` when the worker's script
 * fails; a `TypeError` for a source that cannot be sent (`FileSet`, `SingleFile`), or where no script is known
 */
export async function loadModelInWorker(
  source: WorkerModelSource,
  options: WorkerLoadOptions = {},
): Promise<WorkerModel> {
  const { worker: given, signal, onProgress, ...rest } = options;
  for (const name of ["gpu", "onWarning", "tuningStore"]) {
    if ((rest as Readonly<Record<string, unknown>>)[name] === undefined) continue;
    throw new TypeError(`worker: option ${name} cannot be sent. Leave it out`);
  }
  const sent = sentSource(source);
  signal?.throwIfAborted();
  const worker = typeof given === "object" ? given : (given ?? startWorker)();
  const end = (): void => {
    if (worker !== given) (worker as Worker).terminate();
  };
  let onLost: (error: DeviceLostError) => void = () => {};
  const lost = new Promise<DeviceLostError>((resolve) => (onLost = resolve));
  const connection = new Connection(worker, (error) => onLost(error as DeviceLostError));
  try {
    const facts = await connection.call(() => ({ kind: "load", source: sent, options: rest }), {
      signal,
      onProgress,
    });
    return new WorkerModel(connection, facts as ModelFacts, lost, end);
  } catch (error) {
    connection.end(error instanceof Error ? error : new Error(String(error)));
    end();
    throw error;
  }
}

function startWorker(): Worker {
  try {
    // In this form bundlers see the worker and build its script. They find `.ts` behind `.js`; browsers do not.
    return new Worker(new URL("./host.js", import.meta.url), {
      type: "module",
      name: "rcod-webgpu",
    });
  } catch (error) {
    if ((error as Error).name === "SecurityError") return startForeignWorker();
    throw new TypeError(
      `worker: its script must be found beside this one, got "${(error as Error).message}". Bundle ` +
        "rcod-webgpu/worker-host as a script of its own and pass worker: () => new Worker(address)",
      { cause: error },
    );
  }
}

/** Of a script on another origin, such as a CDN: workers must be of the page's, modules that they import need not. */
function startForeignWorker(): Worker {
  const host = import.meta.url.replace(/[^/]*$/, "host.js");
  const code = new Blob([`import ${JSON.stringify(host)};`], { type: "text/javascript" });
  return new Worker(URL.createObjectURL(code), { type: "module", name: "rcod-webgpu" });
}

function sentSource(source: WorkerModelSource): SentSource {
  if (typeof source !== "object" || !("model" in source)) return { model: sentFolder(source) };
  const { model, clip, checkpoint, deNet, mem } = source;
  return {
    model: sentFolder(model),
    ...(clip !== undefined && { clip: sentFolder(clip) }),
    ...(checkpoint !== undefined && { checkpoint: sentFile(checkpoint) }),
    ...(deNet !== undefined && { deNet: sentFile(deNet) }),
    ...(mem !== undefined && { mem: sentFile(mem) }),
  };
}

function sentFolder(folder: WorkerFolderSource): SentFolder {
  if (typeof folder === "string" || folder instanceof URL) return absolute(folder);
  if (Array.isArray(folder)) {
    const files = folder as readonly File[];
    return { files, paths: files.map(({ webkitRelativePath }) => webkitRelativePath) };
  }
  if (folder instanceof Map) {
    const urls = folder as ReadonlyMap<string, string | URL>;
    return new Map(Array.from(urls, ([path, address]) => [path, absolute(address)]));
  }
  refuseReader(folder);
  return folder as FileSystemDirectoryHandle;
}

function sentFile(file: WorkerFileSource): SentFile {
  if (typeof file === "string" || file instanceof URL) return absolute(file);
  refuseReader(file);
  return file;
}

/** Functions cannot be sent. */
function refuseReader(source: object): void {
  if (!("open" in source)) return;
  throw new TypeError(
    "worker: a source must be a URL, files or a handle, got one with an open() of its own. " +
      "Use loadModel in a worker of your own, or give one of these",
  );
}

function absolute(address: string | URL): string {
  const page = typeof document === "undefined" ? globalThis.location?.href : document.baseURI;
  return new URL(address, page).href;
}
