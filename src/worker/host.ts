/**
 * The worker's side. As the script of a dedicated worker it serves that worker's page; a worker with code of its own
 * calls `serveModels(self)`.
 */
export type {} from "../web-types.ts";
import { abortable } from "../abort.ts";
import type { Gpu } from "../gpu/device.ts";
import { requestGpu } from "../gpu/device.ts";
import type { FolderSource, ModelSource, ModelSources } from "../rcod/loading/model-source.ts";
import type { LoadOptions, RcodModel } from "../rcod/model.ts";
import { loadModel } from "../rcod/model.ts";
import type { ResultRegion, UpscaleOptions } from "../rcod/settings/options.ts";
import { errorToRecord } from "./error-record.ts";
import type { ModelFacts, Reply, Request, SentFolder, SentSource } from "./protocol.ts";
import { buffersIn, isConnect } from "./protocol.ts";

/** Where messages for a worker arrive: its global scope, or a `MessagePort`. */
export interface MessageScope {
  /** As every `EventTarget` has it. */
  addEventListener(type: string, listener: (event: Event) => void): void;
}

/** How served models get their device. */
export interface ServeOptions {
  /** A device for each model, destroyed with it. Default: `requestGpu()`. */
  readonly requestGpu?: () => Promise<Gpu>;
}

const served = new WeakSet<MessageScope>();

/** Loads and runs the models that `loadModelInWorker` asks `scope` for. Once for each scope; a repeated call does nothing. */
export function serveModels(scope: MessageScope, options: ServeOptions = {}): void {
  if (served.has(scope)) return;
  served.add(scope);
  scope.addEventListener("message", (event) => {
    const { data } = event as MessageEvent<unknown>;
    if (isConnect(data)) new ModelHost(data.port, options.requestGpu ?? requestGpu).listen();
  });
}

/** One model behind one port. */
class ModelHost {
  readonly #port: MessagePort;
  readonly #requestGpu: () => Promise<Gpu>;
  /** By the numbers of the calls under way. */
  readonly #aborts = new Map<number, AbortController>();
  /** What a call waits for that has sent a part, by its number. */
  readonly #taken = new Map<number, () => void>();
  #gpu: Gpu | undefined;
  #model: RcodModel | undefined;
  /** The image of the last call. Passing the same object again lets the model reuse its encoding. */
  #image: Extract<Request, { kind: "upscale" }>["image"];
  #disposed = false;

  constructor(port: MessagePort, request: () => Promise<Gpu>) {
    this.#port = port;
    this.#requestGpu = request;
  }

  listen(): void {
    this.#port.addEventListener("message", ({ data }) => void this.#handle(data as Request));
    this.#port.start();
  }

  async #handle(request: Request): Promise<void> {
    switch (request.kind) {
      case "load":
        return this.#answer(0, (hooks) =>
          this.#load(request.source, { ...request.options, ...hooks }),
        );
      case "upscale": {
        const { call, image = this.#image, options, hearsRegions } = request;
        this.#image = image;
        return this.#answer(call, async (hooks) => {
          if (!this.#model || !image)
            throw new Error("internal: upscale before load or without image");
          const onRegion = (region: ResultRegion): Promise<void> =>
            this.#deliver(call, region, hooks.signal);
          const all = { ...options, ...hooks, ...(hearsRegions && { onRegion }) };
          return this.#model.upscale(image, all as UpscaleOptions);
        });
      }
      case "estimate":
        return this.#answer(request.call, async () => {
          if (!this.#model) throw new Error("internal: estimate before load");
          return this.#model.estimate(request.options);
        });
      case "taken":
        return this.#taken.get(request.call)?.();
      case "abort":
        return this.#aborts.get(request.call)?.abort();
      case "dispose":
        return this.#dispose();
      default:
        return request satisfies never;
    }
  }

  /** Runs a call and posts how it ends. */
  async #answer(call: number, run: (hooks: Hooks) => Promise<unknown>): Promise<void> {
    const abort = new AbortController();
    this.#aborts.set(call, abort);
    try {
      const value = await run({
        signal: abort.signal,
        onProgress: (progress) => this.#post({ kind: "progress", call, progress }),
      });
      this.#post({ kind: "done", call, value }, [...buffersIn(value)]);
    } catch (error) {
      this.#post({ kind: "failed", call, error: errorToRecord(error) });
    } finally {
      this.#aborts.delete(call);
    }
  }

  /** Posts a part, and resolves when the page has taken it. */
  async #deliver(call: number, region: ResultRegion, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#post({ kind: "region", call, region }, [...buffersIn(region)]);
    try {
      await abortable(new Promise<void>((resolve) => this.#taken.set(call, resolve)), signal);
    } finally {
      this.#taken.delete(call);
    }
  }

  async #load(source: SentSource, options: Hooks): Promise<ModelFacts> {
    const gpu = await this.#requestGpu();
    this.#gpu = gpu;
    try {
      this.#model = await loadModel(receivedSource(source), { ...options, gpu });
    } finally {
      if (this.#disposed || !this.#model) this.#free();
    }
    void gpu.lost.then((error) => this.#post({ kind: "lost", error: errorToRecord(error) }));
    const { precision, caps, configs, supportsAuto } = this.#model;
    return { precision, caps, configs, supportsAuto };
  }

  #post(reply: Reply, transfer: Transferable[] = []): void {
    if (!this.#disposed) this.#port.postMessage(reply, transfer);
  }

  #dispose(): void {
    this.#disposed = true;
    for (const abort of this.#aborts.values()) abort.abort();
    this.#free();
    this.#port.close();
  }

  #free(): void {
    this.#model?.dispose();
    this.#gpu?.destroy();
  }
}

/** Options that every call of the model takes. */
type Hooks = Required<Pick<LoadOptions, "signal" | "onProgress">>;

function receivedSource({ model, clip, ...files }: SentSource): ModelSource {
  return {
    model: receivedFolder(model),
    ...(clip !== undefined && { clip: receivedFolder(clip) }),
    ...(files satisfies Omit<ModelSources, "model" | "clip">),
  };
}

function receivedFolder(folder: SentFolder): FolderSource {
  if (typeof folder === "string" || !("files" in folder)) return folder;
  const { files, paths } = folder;
  files.forEach((file, i) =>
    Object.defineProperty(file, "webkitRelativePath", { value: paths[i], configurable: true }),
  );
  return files;
}

// Only the scope of a dedicated worker knows this name.
if ("DedicatedWorkerGlobalScope" in globalThis) serveModels(globalThis);
