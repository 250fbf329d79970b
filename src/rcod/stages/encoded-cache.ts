/** The encoding of the last image, kept on the device. */
import type { Gpu } from "../../gpu/device.ts";
import type { Geometry } from "../images/geometry.ts";
import type { SourceImage } from "../images/source-image.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { Encoded } from "./context.ts";

export class EncodedCache {
  readonly #gpu: Gpu;
  /** By identity: callers who change pixels in place say so, or pass a new object. */
  #image: SourceImage | undefined;
  /** What else the encoding depends on. */
  #key = "";
  #encoded: Encoded | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** The encoding of this image under these options, if it is the last one. */
  find(image: SourceImage, geometry: Geometry, options: UpscaleOptions): Encoded | undefined {
    const isLast = this.#image === image && this.#key === keyOf(geometry, options);
    return isLast ? this.#encoded : undefined;
  }

  /** Keeps an encoding; its buffers are the cache's from now on. */
  keep(image: SourceImage, geometry: Geometry, options: UpscaleOptions, encoded: Encoded): void {
    this.drop();
    this.#image = image;
    this.#key = keyOf(geometry, options);
    this.#encoded = encoded;
  }

  /** Frees what is kept. */
  drop(): void {
    if (this.#encoded) {
      const { source, latents, tokens } = this.#encoded;
      for (const buffer of [source.buffer, latents, tokens]) this.#gpu.memory.release(buffer);
    }
    this.#encoded = undefined;
    this.#image = undefined;
  }
}

function keyOf(geometry: Geometry, { seed, tile, reference }: UpscaleOptions): string {
  return JSON.stringify([geometry, seed ?? null, tile ?? null, reference === true]);
}
