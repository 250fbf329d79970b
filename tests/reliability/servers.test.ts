/**
 * Strange servers: a model loads from each with the same bytes, or there is a typed error that names the cause; and never
 * later than the deadline. Prints the table; `-u` writes it into docs/reliability.md.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Checksums } from "../../cli/convert/checksums.ts";
import { openModel } from "../../src/rcod/loading/open-model.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import type { FileSet, HttpOptions } from "../../src/weights/index.ts";
import { WeightsError, memoryFiles, urlFiles } from "../../src/weights/index.ts";
import { PIECE_BYTES } from "../../src/weights/sources/manifest.ts";
import { minimalFiles } from "../rcod/support.ts";
import type { Manner } from "./strange-servers.ts";
import {
  StrangeServer,
  absentIs,
  compressed,
  contentRange,
  cutAfter,
  dripping,
  endless,
  good,
  later,
  once,
  page,
  ranging,
  rangesOfCompressed,
  raw,
  reads,
  reset,
  send,
  silent,
  status,
  whole,
} from "./strange-servers.ts";

/** Milliseconds of silence that a server is allowed, less where silence is the case; and of a load in all. */
const PATIENT = { stallMs: 3000, retryDelayMs: 1 };
const STALL = 300;
const DEADLINE = 10_000;

const files = await minimalFiles();
const UNET = "unet/diffusion_pytorch_model.safetensors";

/** The bytes of all that a model is made of, as one checksum. */
async function hashOf(source: FileSet): Promise<string> {
  const configs = await readConfigs(source);
  const { sources, parameters, close } = await openModel(source, configs);
  const hash = createHash("sha256").update(JSON.stringify(configs));
  try {
    for (const [part, { tensor }] of sources) {
      for (const { name } of parameters[part]) {
        const { byteLength, read } = tensor(name);
        hash.update(name).update(await read(0, byteLength));
      }
    }
  } finally {
    await close();
  }
  return hash.digest("hex");
}

const expected = await hashOf(memoryFiles(files));

function manifestOf(listed: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const entries = Array.from(listed, ([path, bytes]) => {
    const checksums = new Checksums();
    checksums.update(bytes);
    return { path, bytes: bytes.byteLength, ...checksums.digest() };
  });
  return Buffer.from(JSON.stringify({ piece_bytes: PIECE_BYTES, files: entries }));
}

const changed = (path: string, change: (bytes: Buffer) => Buffer): Map<string, Uint8Array> =>
  new Map([...files, [path, change(Buffer.from(files.get(path)!))]]);
const listed = new Map([...files, ["manifest.json", manifestOf(files)]]);
const cut = changed(UNET, (bytes) => bytes.subarray(0, -100));
const cutAndListed = new Map([...cut, ["manifest.json", manifestOf(files)]]);
/** Another training: the same header, other weights. */
const replaced = Buffer.from(files.get(UNET)!.map((byte, i) => (i > 40_000 ? byte ^ 1 : byte)));

/** The UNet's bytes of another training from its n-th request on, of which each gives 50,000 bytes. */
const replacedAfter =
  (n: number): Manner =>
  (asked) => {
    const isUNet = asked.request.url?.endsWith(UNET) === true;
    const isNew = isUNet && asked.count > n;
    const [first, last] = asked.range ?? [0, 0];
    const range = asked.range && ([first, Math.min(last, first + 49_999)] as const);
    const bytes = isNew ? replaced : asked.bytes;
    send({ ...asked, bytes, range }, { etag: `"${isNew}"` });
  };

const head = (asked: Parameters<Manner>[0], fields: string): string =>
  `HTTP/1.1 200 OK\r\n${fields}\r\n\r\n${asked.bytes!.toString("latin1")}`;
const latin = (text: string): Buffer => Buffer.from(text, "latin1");

interface Row {
  readonly name: string;
  readonly manner: Manner;
  /** Of the error; absent where the model loads. */
  readonly error?: RegExp;
  readonly files?: ReadonlyMap<string, Uint8Array>;
  readonly options?: HttpOptions;
  /** Behind the address of the server. */
  readonly below?: string;
  readonly most?: number;
}

const ROWS: readonly Row[] = [
  // Ranges
  { name: "honours ranges", manner: good },
  { name: "ignores ranges", manner: whole() },
  {
    name: "ignores ranges, chunked, no Content-Length",
    manner: ({ response, bytes }) =>
      bytes ? void (response.write(bytes), response.end()) : void response.writeHead(404).end(),
  },
  {
    name: "ignores ranges sometimes",
    manner: (asked) => (asked.total % 3 === 0 ? whole() : good)(asked),
  },
  {
    name: "206 with the whole file for any range",
    manner: ranging((_first, _last, size) => [0, size - 1]),
  },
  {
    name: "206 with whole blocks of 64 KiB",
    manner: ranging((first, last, size) => [
      first - (first % 65536),
      Math.min(size, Math.ceil((last + 1) / 65536) * 65536) - 1,
    ]),
  },
  {
    name: "206 with the first 10,000 bytes of a longer range",
    manner: ranging((first, last) => [first, Math.min(last, first + 9999)]),
  },
  {
    name: "206 of another range",
    manner: reads(ranging((first, last) => [first + 1, last])),
    error: /Content-Range must be bytes 0-\d+, got bytes 1-/,
  },
  { name: "206 without Content-Range", manner: contentRange(null) },
  {
    name: "206 without Content-Range, HEAD refused",
    manner: (asked) => (asked.request.method === "HEAD" ? status(405) : contentRange(null))(asked),
  },
  {
    name: "206 without any length",
    manner: (asked) => (asked.range ? contentRange(null) : status(405))(asked),
    error: /must tell the file length, got HTTP 405/,
  },
  {
    name: "206 with Content-Range: bytes 0-0/*",
    manner: (asked) => (asked.range?.[1] === 0 ? contentRange("bytes 0-0/*") : good)(asked),
  },
  {
    name: "206 with a malformed Content-Range",
    manner: reads(contentRange("0 to 9 of 10")),
    error: /Content-Range must be .*, got 0 to 9 of 10/,
  },
  {
    name: "206 as multipart/byteranges",
    manner: reads(
      (asked) =>
        void asked.response
          .writeHead(206, { "content-type": "multipart/byteranges; boundary=x" })
          .end("--x--"),
    ),
    error: /got multipart\/byteranges/,
  },
  {
    name: "416 for every range",
    manner: (asked) => (asked.range ? status(416) : good)(asked),
    error: /got HTTP 416/,
  },
  { name: "416 in the middle", manner: later(18, status(416)), error: /got HTTP 416/ },
  {
    name: "header names in capitals",
    manner: (asked) => send(asked, { ETAG: 'W/"1"', "CONTENT-TYPE": "Application/Octet-Stream" }),
  },
  // Encodings
  { name: "gzip", manner: compressed("gzip") },
  { name: "br", manner: compressed("br") },
  { name: "deflate", manner: compressed("deflate") },
  { name: "gzip of each range", manner: compressed("gzip", true) },
  {
    name: "ranges of the gzipped file",
    manner: rangesOfCompressed,
    error: /Content-Encoding gzip/,
  },
  // Redirects
  {
    name: "relative redirect",
    manner: (asked) =>
      asked.request.url!.startsWith("/hop1/")
        ? good(asked)
        : status(302, { location: `/hop1${asked.request.url}` })(asked),
  },
  {
    name: "chain of five redirects",
    manner: (asked) => {
      const hop = Number(/^\/hop(\d)/.exec(asked.request.url!)?.[1] ?? 0);
      return hop === 5
        ? good(asked)
        : status(307, { location: `/hop${hop + 1}${asked.request.url!.replace(/^\/hop\d/, "")}` })(
            asked,
          );
    },
  },
  {
    name: "redirect to itself",
    manner: (asked) => status(302, { location: asked.request.url! })(asked),
    error: /must be reachable, got .*redirect/,
  },
  {
    name: "redirect to another origin",
    manner: (asked) => status(302, { location: `${secondAddress}${asked.request.url}` })(asked),
  },
  // Connections
  { name: "one connection an answer", manner: (asked) => send(asked, { connection: "close" }) },
  {
    name: "reset once in each file",
    manner: (asked) => (asked.count === 2 ? cutAfter(500, reset) : good)(asked),
  },
  {
    name: "reset in every body",
    manner: reads(cutAfter(5, reset)),
    error: /body ended after 5 bytes/,
  },
  {
    name: "nobody listens",
    manner: good,
    options: { fetch: (_url, init) => fetch("http://127.0.0.1:9/", init) },
    error: /must be reachable, got TypeError: fetch failed/,
  },
  {
    name: "CORS missing (fetch fails)",
    manner: good,
    options: {
      fetch: async () => {
        throw new TypeError("Failed to fetch");
      },
    },
    error: /allow its origin \(CORS\)/,
  },
  {
    name: "says nothing",
    manner: silent,
    error: /must answer.* within 300 ms/,
    options: { stallMs: STALL },
  },
  {
    name: "says nothing, and fetch ignores its signal",
    manner: good,
    options: { fetch: () => new Promise(() => {}), stallMs: STALL },
    error: /must answer.* within 300 ms/,
  },
  {
    name: "headers, then nothing",
    manner: reads(cutAfter(0, silent)),
    error: /must answer.* within 300 ms/,
    options: { stallMs: STALL },
  },
  {
    name: "one byte, then nothing",
    manner: reads(cutAfter(1, silent)),
    error: /must answer.* within 300 ms/,
    options: { stallMs: STALL },
  },
  {
    name: "one byte now and then, for ever",
    manner: reads(dripping(1, 50)),
    error: /must answer.* within 300 ms/,
    options: { stallMs: STALL },
  },
  { name: "slow", manner: reads(dripping(8192, 5)) },
  // Failures that pass
  { name: "503 once", manner: once(status(503)) },
  { name: "503 always", manner: status(503), error: /got HTTP 503/ },
  { name: "429 with Retry-After: 0, once", manner: once(status(429, { "retry-after": "0" })) },
  {
    name: "429 with a Retry-After of an hour",
    manner: status(429, { "retry-after": "3600" }),
    error: /Try again after 3600/,
    most: 1000,
  },
  { name: "408 once", manner: once(status(408)) },
  // Lengths
  {
    name: "Content-Length too small",
    manner: raw((asked) => latin(head(asked, `content-length: ${asked.bytes!.length - 10}`))),
    error: /truncated|has no end|expected|got the end/,
  },
  {
    name: "Content-Length too large",
    manner: raw((asked) => latin(head(asked, `content-length: ${asked.bytes!.length + 10}`))),
    error: /body ended after/,
  },
  {
    name: "Content-Length too large, connection kept",
    manner: raw((asked) => latin(head(asked, `content-length: ${asked.bytes!.length + 10}`)), true),
    error: /must answer.* within 300 ms/,
    options: { stallMs: STALL },
  },
  {
    name: "no length, ended by closing",
    manner: raw((asked) => latin(head(asked, "connection: close"))),
  },
  {
    name: "a range that is too short",
    manner: reads((asked) => {
      const [first, last] = asked.range!;
      asked.response.writeHead(206, {
        "content-range": `bytes ${first}-${last}/${asked.bytes!.length}`,
      });
      asked.response.end(asked.bytes!.subarray(first, last));
    }),
    error: /body must have \d+ bytes, got \d+/,
  },
  {
    name: "endless ranges",
    manner: reads(endless(206)),
    error: /body must have \d+ bytes, got more/,
  },
  { name: "endless file", manner: endless(200), error: /limit 67108864/ },
  {
    name: "a proxy that adds bytes",
    manner: whole({}, (body) => Buffer.concat([body, Buffer.from("<!-- proxy -->")])),
    error: /expected the end|data must end/,
  },
  {
    name: "a proxy that adds bytes, with a manifest",
    manner: (asked) =>
      (asked.request.url === "/manifest.json"
        ? good
        : whole({}, (body) => Buffer.concat([body, Buffer.from("<!-- proxy -->")])))(asked),
    files: listed,
    error: /bytes that manifest\.json lists/,
  },
  { name: "a truncated file", manner: good, files: cut, error: /truncated/ },
  {
    name: "a truncated file, with a manifest",
    manner: good,
    files: cutAndListed,
    error: /bytes that manifest\.json lists/,
  },
  {
    name: "empty bodies",
    manner: ({ response }) => void response.writeHead(200).end(),
    error: /got an empty file/,
  },
  { name: "204", manner: status(204), error: /got HTTP 204/ },
  { name: "304", manner: status(304), error: /got HTTP 304/ },
  // Absent files
  { name: "404 for absent files", manner: absentIs(status(404)) },
  { name: "410 for absent files", manner: absentIs(status(410)) },
  { name: "403 for absent files", manner: absentIs(status(403)) },
  { name: "400 for absent files", manner: absentIs(status(400)) },
  {
    name: "401 for absent files",
    manner: absentIs(status(401)),
    error: /got HTTP 401 .* Access is denied/,
  },
  { name: "a start page for absent files", manner: absentIs(page("text/html")) },
  {
    name: "Text/HTML; charset=UTF-8 for absent files",
    manner: absentIs(page("Text/HTML; charset=UTF-8")),
  },
  {
    name: "a start page without a type for absent files",
    manner: absentIs(({ response }) => void response.end("<!doctype html>")),
    error: /got a web page \(HTML\) \("mem\/config\.json"\)/,
  },
  { name: "500 for absent files, with a manifest", manner: absentIs(status(500)), files: listed },
  {
    name: "404 for a file that the manifest lists",
    manner: (asked) => (asked.request.url?.endsWith(UNET) ? status(404) : good)(asked),
    files: listed,
    error: /must exist, for manifest\.json lists it, got HTTP 404/,
  },
  {
    name: "403 for everything",
    manner: status(403),
    error: /are missing\. The server answered HTTP 403 for unet\/config\.json/,
  },
  { name: "a login page for everything", manner: page("text/html"), error: /are missing/ },
  {
    name: "a login page in the middle",
    manner: later(18, page("text/html")),
    error: /got an HTML page|are missing|no weights/,
  },
  {
    name: "404 in the middle of a file",
    manner: (asked) =>
      (asked.request.url?.endsWith(UNET) && asked.count > 1 ? status(404) : good)(asked),
    error: /got HTTP 404 .* The file is gone/,
  },
  // Versions
  {
    name: "another ETag in every answer",
    manner: (asked) => send(asked, { etag: `"${asked.total}"` }),
  },
  {
    name: "another ETag in every answer, with a manifest",
    manner: (asked) => send(asked, { etag: `"${asked.total}"` }),
    files: listed,
  },
  {
    name: "Last-Modified by node",
    manner: (asked) =>
      send(asked, { "last-modified": `Mon, 2${asked.total % 2} Nov 2026 10:00:00 GMT` }),
  },
  {
    name: "weak and strong ETags",
    manner: (asked) => send(asked, { etag: asked.total % 2 ? '"1"' : 'W/"1"' }),
  },
  {
    name: "a file replaced while it is read",
    manner: replacedAfter(2),
    error: /must stay the same while it is read/,
  },
  {
    name: "a file replaced while it is read, with a manifest",
    manner: replacedAfter(2),
    files: new Map(listed),
    error: /must have the sha256/,
  },
  // Names and texts
  { name: "address with a slash at the end", manner: good, below: "/" },
  { name: "address with spaces and percent signs", manner: good, below: "/a%20b" },
  {
    name: "byte order marks in JSON",
    manner: good,
    files: new Map(
      Array.from(files, ([path, bytes]) => [
        path,
        path.endsWith(".json") ? Buffer.concat([Buffer.from("\ufeff"), bytes]) : bytes,
      ]),
    ),
  },
  {
    name: "a manifest.json of a web app",
    manner: good,
    files: new Map([...files, ["manifest.json", Buffer.from('{"name":"app","icons":[]}')]]),
  },
  {
    name: "a manifest.json that is no JSON",
    manner: good,
    files: new Map([...files, ["manifest.json", Buffer.from("<!doctype html>")]]),
  },
];

let secondAddress = "";

describe("strange servers", () => {
  const outcomes: string[] = [];
  const servers: StrangeServer[] = [];
  const serverFor = new Map<ReadonlyMap<string, Uint8Array>, [StrangeServer, string]>();
  const start = async (
    served: ReadonlyMap<string, Uint8Array>,
  ): Promise<[StrangeServer, string]> => {
    const server = new StrangeServer(served);
    servers.push(server);
    return [server, await server.listen()];
  };
  beforeAll(async () => {
    secondAddress = (await start(files))[1];
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.close()));
  });

  it.each(ROWS)(
    "$name",
    async ({
      name,
      manner,
      error,
      files: served = files,
      options,
      below = "",
      most = DEADLINE,
    }) => {
      const known = serverFor.get(served) ?? (await start(served));
      serverFor.set(served, known);
      const [server, address] = known;
      server.reset(manner);
      const began = performance.now();
      const source = urlFiles(address + below, { ...PATIENT, ...options });
      const outcome = await hashOf(source).catch((reason: unknown) => reason as Error);
      const ms = performance.now() - began;
      expect(ms, "milliseconds").toBeLessThan(most);
      if (error === undefined) expect(outcome).toBe(expected);
      else {
        expect(outcome).toBeInstanceOf(WeightsError);
        expect((outcome as Error).message).toMatch(error);
      }
      const message = outcome instanceof Error ? outcome.message : "";
      const told = error
        ?.exec(message)?.[0]
        .replaceAll(/\d{4,}/g, "…")
        .replaceAll("|", "\\|");
      outcomes.push(`| ${name} | ${told === undefined ? "loads" : `error: ${told}`} |`);
    },
  );

  it("are as documented", async () => {
    console.log(outcomes.join("\n"));
    expect(outcomes.length).toBe(ROWS.length);
    const path = fileURLToPath(new URL("../../docs/reliability.md", import.meta.url));
    const text = await readFile(path, "utf8");
    await expect(withSection(text, sectionOf(outcomes))).toMatchFileSnapshot(path);
  });
});

const TITLE = "## Servers";

function sectionOf(rows: readonly string[]): string {
  const loaded = rows.filter((row) => row.endsWith("| loads |")).length;
  return [
    TITLE,
    "",
    `A small model from ${rows.length} servers that answer in manners of their own: from ${loaded} it loads with the same bytes, ` +
      `for ${rows.length - loaded} there is a \`WeightsError\` that names the cause, all within ${DEADLINE / 1000} s where a server may be ` +
      `silent for ${STALL} ms (\`stallMs\`). Written by \`npx vitest run tests/reliability/servers -u\`.`,
    "",
    "| server | outcome |",
    "|---|---|",
    ...rows,
    "",
  ].join("\n");
}

/** `text` with our section in its place, or at its end. */
function withSection(text: string, section: string): string {
  const start = text.indexOf(`${TITLE}\n`);
  if (start === -1) return `${text.trimEnd()}\n\n${section}`;
  const next = text.indexOf("\n## ", start + 1);
  return `${text.slice(0, start)}${section}${next === -1 ? "" : text.slice(next)}`;
}
