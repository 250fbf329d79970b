/** A model on one device, and what is still alive of all models, images and results so far. */
import type { RawImage, RcodModel } from "../../src/index.ts";

/** What is there. */
export interface LoopState {
  /** Bytes of all buffers on the device, by the engine's own count. */
  readonly gpuBytes: number;
  /** Objects that nobody has collected yet. */
  readonly images: number;
  readonly results: number;
  readonly models: number;
}

/** What the loop does on demand. */
export interface ModelLoop {
  load(url: string): Promise<void>;
  /** Enlarges `count` new images of `side` pixels, with another realism each. */
  upscale(count: number, side: number): Promise<void>;
  dispose(): void;
  state(): LoopState;
}

/** `load` gives a model that is disposed with its device, or without one of the caller's. */
export function modelLoop(load: (url: string) => Promise<RcodModel>): ModelLoop {
  let model: RcodModel | undefined;
  let last: RcodModel["gpu"] | undefined;
  const references = { images: [], results: [], models: [] } as Record<
    "images" | "results" | "models",
    WeakRef<object>[]
  >;
  const alive = (kind: keyof typeof references): number => {
    references[kind] = references[kind].filter((reference) => reference.deref() !== undefined);
    return references[kind].length;
  };
  return {
    async load(url) {
      model = await load(url);
      last = model.gpu;
      references.models.push(new WeakRef(model));
    },
    async upscale(count, side) {
      for (let i = 0; i < count; i++) {
        const image = noise(side);
        const result = await (model as RcodModel).upscale(image, { realism: (i % 5) / 4 });
        references.images.push(new WeakRef(image));
        references.results.push(new WeakRef(result));
      }
    },
    dispose() {
      model?.dispose();
      model = undefined;
    },
    state: () => ({
      gpuBytes: last?.memory.use().currentBytes ?? 0,
      images: alive("images"),
      results: alive("results"),
      models: alive("models"),
    }),
  };
}

function noise(side: number): RawImage {
  const data = crypto.getRandomValues(new Uint8Array(side * side * 3));
  return { width: side, height: side, channels: 3, data };
}
