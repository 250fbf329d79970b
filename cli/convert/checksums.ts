/** SHA-256 of a file that arrives in blocks of any size, and of each of its pieces, which a browser checks singly. */
import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import { PIECE_BYTES } from "../../src/weights/sources/manifest.ts";

export class Checksums {
  readonly #whole = createHash("sha256");
  readonly #pieces: string[] = [];
  #piece: Hash = createHash("sha256");
  /** Bytes of `#piece` so far. */
  #filled = 0;

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    for (let start = 0; start < bytes.byteLength;) {
      const end = Math.min(bytes.byteLength, start + PIECE_BYTES - this.#filled);
      this.#piece.update(bytes.subarray(start, end));
      this.#filled += end - start;
      if (this.#filled === PIECE_BYTES) this.#endPiece();
      start = end;
    }
  }

  /** Ends the file. A file of one piece has no list of them. */
  digest(): { readonly sha256: string; readonly pieces?: readonly string[] } {
    if (this.#filled > 0) this.#endPiece();
    const sha256 = this.#whole.digest("hex");
    return this.#pieces.length > 1 ? { sha256, pieces: this.#pieces } : { sha256 };
  }

  #endPiece(): void {
    this.#pieces.push(this.#piece.digest("hex"));
    this.#piece = createHash("sha256");
    this.#filled = 0;
  }
}
