import { describe, expect, it } from "vitest";
import type { JsonValue } from "../../../src/weights/index.ts";
import { PIECE_BYTES, parseManifest } from "../../../src/weights/sources/manifest.ts";

const [A, B, C] = ["a", "b", "c"].map((digit) => digit.repeat(64)) as [string, string, string];

describe("a manifest", () => {
  it("gives every file its pieces, where they are of our length", () => {
    const files = [
      { path: "one", bytes: 5, sha256: A },
      { path: "unet/two", bytes: PIECE_BYTES + 1, sha256: A, pieces: [B, C] },
      { path: "old", bytes: PIECE_BYTES + 1, sha256: A },
      { path: "short", bytes: PIECE_BYTES + 1, sha256: A, pieces: [B] },
      { path: "broken", bytes: PIECE_BYTES + 1, sha256: A, pieces: [B, "c"] },
      { path: "empty", bytes: 0, sha256: A },
    ];
    const pieces = (json: JsonValue) =>
      Array.from(parseManifest(json) ?? [], ([path, file]) => [path, file.pieces]);
    const rest = [
      ["old", null],
      ["short", null],
      ["broken", null],
      ["empty", null],
    ];
    expect(pieces({ piece_bytes: PIECE_BYTES, files })).toEqual([
      ["one", [A]],
      ["unet/two", [B, C]],
      ...rest,
    ]);
    expect(pieces({ piece_bytes: 1000, files })).toEqual([
      ["one", [A]],
      ["unet/two", null],
      ...rest,
    ]);
  });

  it.each<[string, JsonValue]>([
    ["of a web app", { name: "app", icons: [] }],
    ["that is a list", []],
    ["without hashes", { files: [{ path: "a", bytes: 1 }] }],
    ["with other hashes", { files: [{ path: "a", bytes: 1, sha256: A.slice(1) }] }],
    ["with impossible sizes", { files: [{ path: "a", bytes: -1, sha256: A }] }],
    ["of paths alone", { files: ["a"] }],
  ])("%s is none", (_what, json) => {
    expect(parseManifest(json)).toBeNull();
  });
});
