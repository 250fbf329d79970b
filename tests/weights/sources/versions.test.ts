/** Files whose ETag or date changes while they are read: the same bytes load, others do not. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { urlFiles } from "../../../src/weights/sources/files.ts";
import { httpSource } from "../../../src/weights/sources/http-source.ts";
import { PIECE_BYTES } from "../../../src/weights/sources/manifest.ts";
import { failureOf } from "../samples.ts";

/** Two pieces and a bit of bytes that do not repeat soon. */
function contentOf(seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array((2 * PIECE_BYTES + 4096) / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 0x9e3779b9);
  return new Uint8Array(words.buffer);
}
const old = contentOf(1);
const other = contentOf(2);
/** As `old`, but for its last half: weights that were trained further in part. */
const partly = old.slice();
partly.set(other.subarray(PIECE_BYTES), PIECE_BYTES);

interface Node {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Record<string, string>;
}
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const manifest = new TextEncoder().encode(
  JSON.stringify({
    piece_bytes: PIECE_BYTES,
    files: [
      {
        path: "w.bin",
        bytes: old.byteLength,
        sha256: sha256(old),
        pieces: [0, 1, 2].map((i) => sha256(old.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES))),
      },
    ],
  }),
);

let asked = 0;
/** A server of which the n-th request for the file goes to `nodeOf(n)`. */
function serverOf(nodeOf: (n: number) => Node, isListed = false): { readonly fetch: typeof fetch } {
  asked = 0;
  return {
    fetch: async (input, init) => {
      if ((input as string).endsWith("manifest.json")) {
        return new Response(manifest, { status: isListed ? 200 : 404 });
      }
      const { bytes, headers } = nodeOf(asked++);
      const range = new Headers(init?.headers).get("range") ?? "";
      const [first = 0, last = 0] = (/\d+-\d+/.exec(range)?.[0] ?? "").split("-").map(Number);
      return new Response(bytes.subarray(first, last + 1), {
        status: 206,
        headers: { ...headers, "content-range": `bytes ${first}-${last}/${bytes.byteLength}` },
      });
    },
  };
}

const tagged = (bytes: Uint8Array<ArrayBuffer>, etag: string): Node => ({
  bytes,
  headers: { etag: `"${etag}"` },
});
const dated = (bytes: Uint8Array<ArrayBuffer>, day: number): Node => ({
  bytes,
  headers: { "last-modified": `Mon, ${day} Nov 2026 10:00:00 GMT` },
});

/** Reads in the manner of a model: a header, then what lies behind in pieces. */
async function readAll(options: { readonly fetch: typeof fetch }): Promise<string> {
  const source = (await urlFiles("https://host", options).open("w.bin"))!;
  const bytes = new Uint8Array(source.byteLength);
  const edges = [0, 8, 100_000, 2 ** 20, 3 * 2 ** 20, 6 * 2 ** 20, source.byteLength];
  for (let i = 1; i < edges.length; i++) {
    const [start, end] = [edges[i - 1]!, edges[i]!];
    bytes.set(await source.read(start, end - start), start);
  }
  return sha256(bytes);
}

const WHOLE = sha256(old);

describe.each([
  ["with checksums", true],
  ["without", false],
] as const)("the same bytes load, %s", (_what, isListed) => {
  test.each<[string, (n: number) => Node]>([
    ["from nodes with ETags of their own", (n) => tagged(old, `node ${n % 3}`)],
    ["from nodes with dates of their own", (n) => dated(old, 10 + (n % 2))],
    ["with a new ETag every time", (n) => tagged(old, `${n}`)],
    ["with another ETag after some time", (n) => tagged(old, n < 3 ? "1" : "2")],
    [
      "with an ETag that comes late",
      (n) => (n < 2 ? { ...tagged(old, ""), headers: {} } : tagged(old, "1")),
    ],
  ])("%s", async (_name, nodeOf) => {
    expect(await readAll(serverOf(nodeOf, isListed))).toBe(WHOLE);
    expect(asked).toBeLessThan(24); // 6 where the ETag stays
  });
});

describe("other bytes of the same length do not", () => {
  test.each<[string, (n: number) => Node]>([
    ["replaced in the middle", (n) => (n < 3 ? tagged(old, "1") : tagged(other, "2"))],
    ["replaced, by dates", (n) => (n < 3 ? dated(old, 10) : dated(other, 11))],
    ["replaced on one node of three", (n) => tagged(n % 3 === 2 ? other : old, `node ${n % 3}`)],
  ])("%s", async (_name, nodeOf) => {
    expect(await failureOf(() => readAll(serverOf(nodeOf)))).toMatch(
      /^weights: file must stay the same while it is read, got other bytes at \d+ in version .* It was replaced/,
    );
    expect(await failureOf(() => readAll(serverOf(nodeOf, true)))).toMatch(
      /^weights: bytes \d+ to \d+ must have the sha256 [0-9a-f]{64} of the manifest/,
    );
  });

  test("partly: checksums tell, samples of what is the same cannot", async () => {
    const nodeOf = (n: number): Node => (n < 4 ? tagged(old, "1") : tagged(partly, "2"));
    expect(await failureOf(() => readAll(serverOf(nodeOf, true)))).toMatch(/must have the sha256/);
  });

  test("of another length, which is said", async () => {
    const nodeOf = (n: number): Node => (n < 3 ? tagged(old, "1") : tagged(other.slice(4), "2"));
    expect(await failureOf(() => readAll(serverOf(nodeOf)))).toMatch(
      /must keep its length, got 8392700 bytes, at first 8392704/,
    );
    const cut = serverOf(() => tagged(old.slice(4), "1"), true);
    expect(await failureOf(() => readAll(cut))).toMatch(
      /must have the 8392704 bytes that manifest\.json lists, got 8392700/,
    );
  });

  test("and nothing was read yet, so that nothing can be mixed", async () => {
    const source = await httpSource(
      "https://host/w.bin",
      serverOf((n) => tagged(n === 0 ? old : other, `${n > 0}`)),
    );
    expect(await source.read(0, 4096)).toEqual(other.subarray(0, 4096));
  });
});
