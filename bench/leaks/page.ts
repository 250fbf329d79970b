/** The page of the leak loop: a model on one device, and what is still alive. `bench/leaks.ts` drives it. */
import type { RawImage, RcodModel } from "../../src/index.ts";
import { loadModel, requestGpu } from "../../src/index.ts";

/** What the page still has. */
export interface PageState {
  /** Bytes of all buffers on the device, by the engine's own count. */
  readonly gpuBytes: number;
  /** Objects that nobody has collected yet. */
  readonly images: number;
  readonly results: number;
  readonly models: number;
}

/** What the page does on demand. */
export interface LeakPage {
  load(url: string): Promise<void>;
  /** Enlarges `count` new images of `side` pixels, with another realism each. */
  upscale(count: number, side: number): Promise<void>;
  dispose(): void;
  state(): PageState;
}

const gpu = await requestGpu();
let model: RcodModel | undefined;
const images: WeakRef<object>[] = [];
const results: WeakRef<object>[] = [];
const models: WeakRef<object>[] = [];
const alive = (all: readonly WeakRef<object>[]): number =>
  all.filter((reference) => reference.deref() !== undefined).length;

function noise(side: number): RawImage {
  const data = crypto.getRandomValues(new Uint8Array(side * side * 3));
  return { width: side, height: side, channels: 3, data };
}

const page: LeakPage = {
  async load(url) {
    model = await loadModel(url, { gpu });
    models.push(new WeakRef(model));
  },
  async upscale(count, side) {
    for (let i = 0; i < count; i++) {
      const image = noise(side);
      const result = await (model as RcodModel).upscale(image, { realism: (i % 5) / 4 });
      images.push(new WeakRef(image));
      results.push(new WeakRef(result));
    }
  },
  dispose() {
    model?.dispose();
    model = undefined;
  },
  state: () => ({
    gpuBytes: gpu.memory.use().currentBytes,
    images: alive(images),
    results: alive(results),
    models: alive(models),
  }),
};
Object.assign(globalThis, { leakPage: page });
