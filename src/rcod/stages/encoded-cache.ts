/** The encoding of the last image, kept on the device. */
import type { Gpu } from "../../gpu/device.ts";
import type { Geometry } from "../images/geometry.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { Encoded } from "./context.ts";
import { releaseEncoded } from "./context.ts";

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
    if (last?.identity !== identity || last.key !== keyOf(geometry, options)) return undefined;
    last.encoded.geometry = geometry; // its result may be of another size
    return last.encoded;
  }

  /** Keeps an encoding; its buffers are the cache's from now on. */
  keep(identity: object, geometry: Geometry, options: UpscaleOptions, encoded: Encoded): void {
    this.drop();
    this.#last = { identity, key: keyOf(geometry, options), encoded };
  }

  /** Frees what is kept. */
  drop(): void {
    if (this.#last) releaseEncoded(this.#gpu, this.#last.encoded);
    this.#last = undefined;
  }
}

/** What the encoding of an image depends on; not on how its result is finished. */
function keyOf(geometry: Geometry, { seed, tile, reference, depth }: UpscaleOptions): string {
  const { finish: _, outWidth: __, outHeight: ___, ...encoding } = geometry;
  return JSON.stringify([encoding, seed ?? null, tile ?? null, reference === true, depth ?? null]);
}
