/** The encoding of the last image, kept on the device. */
import type { Gpu } from "../../gpu/device.ts";
import type { Geometry } from "../images/geometry.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { Encoded } from "./context.ts";

export class EncodedCache {
  readonly #gpu: Gpu;
  /** Images count by identity: callers who change pixels in place say so, or pass a new object. */
  #last: { readonly identity: object; readonly key: string; readonly encoded: Encoded } | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** The encoding of this image under these options, if it is the last one. */
  find(identity: object, geometry: Geometry, options: UpscaleOptions): Encoded | undefined {
    const last = this.#last;
    return last?.identity === identity && last.key === keyOf(geometry, options)
      ? last.encoded
      : undefined;
  }

  /** Keeps an encoding; its buffers are the cache's from now on. */
  keep(identity: object, geometry: Geometry, options: UpscaleOptions, encoded: Encoded): void {
    this.drop();
    this.#last = { identity, key: keyOf(geometry, options), encoded };
  }

  /** Frees what is kept. */
  drop(): void {
    if (this.#last) {
      const { source, latents, tokens } = this.#last.encoded;
      for (const buffer of [source.buffer, latents, tokens]) this.#gpu.memory.release(buffer);
    }
    this.#last = undefined;
  }
}

/** What the encoding of an image depends on. */
function keyOf(geometry: Geometry, { seed, tile, reference, depth }: UpscaleOptions): string {
  return JSON.stringify([geometry, seed ?? null, tile ?? null, reference === true, depth ?? null]);
}
