import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Checksums } from "../../../cli/convert/checksums.ts";
import { PIECE_BYTES } from "../../../src/weights/sources/manifest.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("checksums of a file", () => {
  const file = Uint8Array.from({ length: 2 * PIECE_BYTES + 5 }, (_, i) => (i * 2654435761) >>> 24);

  it.each([
    ["at once", file.byteLength],
    ["in parts that fit no piece", 3_000_001],
    ["by the piece", PIECE_BYTES],
  ])("are those of the whole and of each piece: %s", (_how, part) => {
    const checksums = new Checksums();
    for (let at = 0; at < file.byteLength; at += part)
      checksums.update(file.subarray(at, at + part));
    expect(checksums.digest()).toEqual({
      sha256: sha256(file),
      pieces: [0, 1, 2].map((i) => sha256(file.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES))),
    });
  });

  it.each([0, 1, PIECE_BYTES])("have no list for a file of %i bytes", (length) => {
    const checksums = new Checksums();
    checksums.update(file.subarray(0, length));
    expect(checksums.digest()).toEqual({ sha256: sha256(file.subarray(0, length)) });
  });
});
