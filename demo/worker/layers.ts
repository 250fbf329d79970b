/** Textures that can be looked at: the picture as it came, and the last results. */
import type { LayerId } from "../protocol.ts";

/** Results kept for comparing. More would cost a 2048² picture 16 MiB each. */
const MAX_RESULTS = 4;

export class LayerStore {
  readonly #device: GPUDevice;
  readonly #results = new Map<number, GPUTexture>();
  /** The picture as it came; the viewer enlarges it until the engine has. */
  #source: GPUTexture | undefined;
  #enlarged: GPUTexture | undefined;
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
    for (const texture of [this.#source, this.#enlarged, ...this.#results.values()]) {
      texture?.destroy();
    }
    this.#results.clear();
    this.#enlarged = undefined;
    this.#source = uploadedTexture(this.#device, image);
    this.#outputSize = [image.width * upscale, image.height * upscale];
  }

  /** Whether `setEnlarged` has been called for the present picture. */
  get hasEnlarged(): boolean {
    return this.#enlarged !== undefined;
  }

  /** The engine's own bicubic enlargement; it belongs to the store from now on. */
  setEnlarged(texture: GPUTexture): void {
    this.#enlarged?.destroy();
    this.#enlarged = texture;
  }

  /** A result, which belongs to the store from now on. */
  addResult(texture: GPUTexture): { readonly id: number; readonly dropped: readonly number[] } {
    const id = this.#nextId++;
    this.#results.set(id, texture);
    this.#outputSize = [texture.width, texture.height];
    const dropped = [...this.#results.keys()].slice(0, -MAX_RESULTS);
    for (const old of dropped) {
      this.#results.get(old)?.destroy();
      this.#results.delete(old);
    }
    return { id, dropped };
  }

  /** The texture of a layer; undefined where there is no such thing (any more). */
  texture(layer: LayerId): GPUTexture | undefined {
    return layer === "bicubic" ? (this.#enlarged ?? this.#source) : this.#results.get(layer);
  }
}

function uploadedTexture(device: GPUDevice, { width, height, data }: ImageData): GPUTexture {
  const texture = device.createTexture({
    label: "source",
    size: [width, height],
    format: "rgba8unorm",
    usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST,
  });
  device.queue.writeTexture({ texture }, data, { bytesPerRow: width * 4 }, [width, height]);
  return texture;
}
