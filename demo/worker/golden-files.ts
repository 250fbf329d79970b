/** Golden files for a verification: each is fetched once, whatever refers to it. */
import type { ByteSource } from "rcod-webgpu/weights";
import { blobSource } from "rcod-webgpu/weights";
import type { GoldenSource } from "../tabs/verify/outcome.ts";

export class GoldenFiles {
  readonly #signal: AbortSignal;
  readonly #blobs = new Map<string, Promise<Blob>>();
  #failure: string | null = null;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async open(source: GoldenSource): Promise<ByteSource> {
    const blob = "blob" in source ? source.blob : await this.#fetched(source.url);
    return blobSource(source.name, blob);
  }

  /** Why a file could not be had since the last call, as a sentence without its dot; null where none was missing. */
  takeFailure(): string | null {
    const failure = this.#failure;
    this.#failure = null;
    return failure;
  }

  #fetched(url: string): Promise<Blob> {
    const known = this.#blobs.get(url);
    if (known) return known;
    const blob = this.#fetch(url).catch((error: unknown) => {
      this.#blobs.delete(url); // whoever asks again may have more luck
      throw error;
    });
    this.#blobs.set(url, blob);
    return blob;
  }

  /** The largest file has 1.7 MB. */
  async #fetch(url: string): Promise<Blob> {
    let failure = "The server cannot be reached";
    try {
      const response = await fetch(url, { signal: this.#signal });
      if (response.ok) return await response.blob();
      failure = `The server answers ${response.status}`;
    } catch {
      this.#signal.throwIfAborted();
    }
    this.#failure = failure;
    throw new Error(failure);
  }
}
