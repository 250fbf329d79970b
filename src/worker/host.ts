/**
 * The worker's side. As the script of a dedicated worker it serves that worker's page; a worker with code of its own
 * calls `serveModels(self)`.
 */
export type {} from "../web-types.ts";
import type { Gpu } from "../gpu/device.ts";
import { requestGpu } from "../gpu/device.ts";
import type { FolderSource, ModelSource, ModelSources } from "../rcod/loading/model-source.ts";
import type { RcodModel } from "../rcod/model.ts";
import { loadModel } from "../rcod/model.ts";
import type { ResultRegion, UpscaleOptions } from "../rcod/settings/options.ts";
import type { CallContext, MessageScope } from "./call-host.ts";
import { CallHost, onConnect } from "./call-host.ts";
import type { ModelFacts, Request, SentFolder, SentSource } from "./protocol.ts";

export type { MessageScope };

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
  onConnect(scope, (port) => new ModelHost(port, options.requestGpu ?? requestGpu).listen());
}

/** One model behind one port. */
class ModelHost {
  readonly #host: CallHost<Request>;
  readonly #requestGpu: () => Promise<Gpu>;
  #gpu: Gpu | undefined;
  #model: RcodModel | undefined;
  /** The image of the last call. Passing the same object again lets the model reuse its encoding. */
  #image: Extract<Request, { kind: "upscale" }>["image"];

  constructor(port: MessagePort, request: () => Promise<Gpu>) {
    this.#host = new CallHost(port);
    this.#requestGpu = request;
  }

  listen(): void {
    this.#host.listen(
      (request) => this.#handle(request),
      () => this.#free(),
    );
  }

  async #handle(request: Request): Promise<void> {
    switch (request.kind) {
      case "load":
        return this.#host.answer(0, (context) =>
          this.#load(request.source, { ...request.options, ...context }),
        );
      case "upscale": {
        const { call, image = this.#image, options, hearsRegions } = request;
        this.#image = image;
        const run = async (context: CallContext): Promise<unknown> => {
          if (!this.#model || !image)
            throw new Error("internal: upscale before load or without image");
          const onRegion = (region: ResultRegion): Promise<void> =>
            this.#host.deliver(call, region, context.signal);
          const all = { ...options, ...context, ...(hearsRegions && { onRegion }) };
          return this.#model.upscale(image, all as UpscaleOptions);
        };
        return this.#host.answer(call, run, true);
      }
      case "estimate":
        return this.#host.answer(request.call, async () => {
          if (!this.#model) throw new Error("internal: estimate before load");
          return this.#model.estimate(request.options);
        });
      default:
        return request satisfies never;
    }
  }

  async #load(source: SentSource, options: CallContext): Promise<ModelFacts> {
    const gpu = await this.#requestGpu();
    this.#gpu = gpu;
    try {
      this.#model = await loadModel(receivedSource(source), { ...options, gpu });
    } finally {
      if (this.#host.closed || !this.#model) this.#free();
    }
    void gpu.lost.then((error) => this.#host.lost(error));
    const { precision, caps, configs, supportsAuto } = this.#model;
    return { precision, caps, configs, supportsAuto };
  }

  #free(): void {
    this.#model?.dispose();
    this.#gpu?.destroy();
  }
}

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
