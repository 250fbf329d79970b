/** Textures that can be looked at: the picture as it came, and the last results. */
import type { RawImage } from "rcod-webgpu";
import type { LayerId } from "../protocol.ts";

/** Results kept for comparing. More would cost a 2048² picture 16 MiB each. */
const MAX_RESULTS = 4;

export class LayerStore {
  readonly #device: GPUDevice;
  readonly #results = new Map<number, GPUTexture>();
  #source: GPUTexture | undefined;
  #outputSize: readonly [number, number] = [1, 1];
  #nextId = 1;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Width and height of the enlarged picture. */
  get outputSize(): readonly [width: number, height: number] {
    return this.#outputSize;
  }

  /** A new picture: what belonged to the last one goes. */
  setSource(image: ImageData, upscale: number): void {
    for (const texture of [this.#source, ...this.#results.values()]) texture?.destroy();
    this.#results.clear();
    this.#source = this.#upload("source", image.width, image.height, image.data);
    this.#outputSize = [image.width * upscale, image.height * upscale];
  }

  addResult(image: RawImage): { readonly id: number; readonly dropped: readonly number[] } {
    const { width, height, channels, data } = image;
    if (channels !== 4) throw new Error(`internal: results have 4 channels, got ${channels}`);
    const id = this.#nextId++;
    this.#results.set(id, this.#upload(`result ${id}`, width, height, data));
    this.#outputSize = [width, height];
    const dropped = [...this.#results.keys()].slice(0, -MAX_RESULTS);
    for (const old of dropped) {
      this.#results.get(old)?.destroy();
      this.#results.delete(old);
    }
    return { id, dropped };
  }

  /** The texture of a layer; undefined where there is no such thing (any more). */
  texture(layer: LayerId): GPUTexture | undefined {
    return layer === "bicubic" ? this.#source : this.#results.get(layer);
  }

  #upload(
    label: string,
    width: number,
    height: number,
    data: Uint8Array | Uint8ClampedArray,
  ): GPUTexture {
    const texture = this.#device.createTexture({
      label,
      size: [width, height],
      format: "rgba8unorm",
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.COPY_SRC,
    });
    this.#device.queue.writeTexture(
      { texture },
      data as Uint8Array<ArrayBuffer>,
      { bytesPerRow: width * 4 },
      [width, height],
    );
    return texture;
  }
}
