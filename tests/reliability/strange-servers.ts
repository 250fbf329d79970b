/** Servers that answer in manners of their own, for the table of `servers.test.ts`. */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";

/** One request for a file. */
export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The file, or null where there is none. */
  readonly bytes: Buffer | null;
  /** First and last byte that are asked for, or null for all. */
  readonly range: readonly [number, number] | null;
  /** How many requests there were for this path, this one included, and in all. */
  readonly count: number;
  readonly total: number;
}

/** Answers a request. */
export type Manner = (asked: Asked) => void;

type Headers = Readonly<Record<string, string>>;

/** What a good server sends: 206 for a range, 404 for what is absent. */
export function send(
  { request, response, bytes, range }: Asked,
  headers: Headers = {},
  change: (body: Buffer) => Buffer = (body) => body,
): void {
  if (bytes === null) return void response.writeHead(404).end("none");
  const isHead = request.method === "HEAD";
  const [first, last] = range ?? [0, bytes.length - 1];
  const body = change(bytes.subarray(first, last + 1));
  const contentRange = { "content-range": `bytes ${first}-${last}/${bytes.length}` };
  response.writeHead(range ? 206 : 200, {
    "content-length": String(body.length),
    ...(range && contentRange),
    ...headers,
  });
  response.end(isHead ? undefined : body);
}

export const good: Manner = (asked) => send(asked);

/** The whole file, whatever is asked for. */
export const whole =
  (headers: Headers = {}, change?: (body: Buffer) => Buffer): Manner =>
  (asked) =>
    send({ ...asked, range: null }, headers, change);

/** In the quality of servers that compress as they send; the default takes seconds. */
const brotli = (bytes: Buffer): Buffer =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });

/** Compressed whole, or range by range. */
export const compressed =
  (encoding: "gzip" | "br" | "deflate", isByRange = false): Manner =>
  (asked) => {
    const compress = { gzip: gzipSync, br: brotli, deflate: deflateSync }[encoding];
    const shown = isByRange ? asked : { ...asked, range: null };
    send(shown, { "content-encoding": encoding }, (body) => compress(body));
  };

/** Ranges of the compressed file: its bytes, its length. */
export const rangesOfCompressed: Manner = (asked) => {
  const bytes = asked.bytes && gzipSync(asked.bytes);
  send({ ...asked, bytes }, { "content-encoding": "gzip" });
};

export const status =
  (code: number, headers: Headers = {}): Manner =>
  ({ response }) =>
    response.writeHead(code, headers).end(code === 204 || code === 304 ? undefined : "no");

/** What is absent is answered by `manner`; what is there, well. */
export const absentIs =
  (manner: Manner): Manner =>
  (asked) =>
    asked.bytes === null ? manner(asked) : good(asked);

/** Files that are there: the first request for each is answered by `manner`. */
export const once =
  (manner: Manner): Manner =>
  (asked) =>
    asked.bytes !== null && asked.count === 1 ? manner(asked) : good(asked);

/** From the n-th request on. */
export const later =
  (n: number, manner: Manner): Manner =>
  (asked) =>
    asked.total >= n ? manner(asked) : good(asked);

/** Ranges longer than the probe's byte. */
export const reads =
  (manner: Manner): Manner =>
  (asked) =>
    asked.bytes !== null && asked.range !== null && asked.range[1] > 0
      ? manner(asked)
      : good(asked);

export const page = (type: string): Manner => status(200, { "content-type": type });

/** A range other than the one that is asked for; ends included. */
export const ranging =
  (other: (first: number, last: number, size: number) => readonly [number, number]): Manner =>
  (asked) => {
    const { bytes, range } = asked;
    send(bytes && range ? { ...asked, range: other(range[0], range[1], bytes.length) } : asked);
  };

/** As `send`, without the header or with another one. */
export const contentRange =
  (header: string | null): Manner =>
  (asked) => {
    if (asked.bytes === null || asked.range === null) return good(asked);
    const [first, last] = asked.range;
    const body = asked.bytes.subarray(first, last + 1);
    asked.response.writeHead(206, {
      "content-length": String(body.length),
      ...(header !== null && { "content-range": header }),
    });
    asked.response.end(body);
  };

/** Part of the body, then `end`. */
export const cutAfter =
  (bytes: number, end: (response: ServerResponse) => void): Manner =>
  (asked) => {
    if (asked.bytes === null || asked.range === null) return good(asked);
    const { response, bytes: file, range } = asked;
    const [first, last] = range;
    response.writeHead(206, {
      "content-length": String(last - first + 1),
      "content-range": `bytes ${first}-${last}/${file.length}`,
    });
    response.write(file.subarray(first, Math.min(first + bytes, last + 1)), () => end(response));
  };

export const reset = (response: ServerResponse): void => void response.destroy();
export const silent = (): void => {};

/** Pieces of `size` bytes every `ms`, until the end or for ever. */
export const dripping =
  (size: number, ms: number): Manner =>
  (asked) => {
    if (asked.bytes === null || asked.range === null) return good(asked);
    const { response, bytes, range } = asked;
    const [first, last] = range;
    response.writeHead(206, { "content-range": `bytes ${first}-${last}/${bytes.length}` });
    let at = first;
    const next = (): void => {
      if (response.destroyed) return;
      response.write(bytes.subarray(at, Math.min(at + size, last + 1)));
      at += size;
      if (at > last) response.end();
      else setTimeout(next, ms);
    };
    next();
  };

/** A body without an end. */
export const endless =
  (code: 200 | 206): Manner =>
  ({ response, bytes, range }) => {
    const [first, last] = range ?? [0, 0];
    response.writeHead(code, { "content-range": `bytes ${first}-${last}/${bytes?.length ?? 1}` });
    const block = new Uint8Array(2 ** 20);
    const more = (): void => {
      while (!response.destroyed && response.write(block));
      if (!response.destroyed) response.once("drain", more);
    };
    more();
  };

/** An answer that no HTTP library would write. */
export const raw =
  (text: (asked: Asked) => string | Buffer, isKept = false): Manner =>
  (asked) => {
    if (asked.bytes === null) return good(asked);
    const { socket } = asked.request;
    if (isKept) socket.write(text(asked));
    else socket.end(text(asked));
  };

/** A server for `files`; `manner` answers, after `redirect` where that is given. */
export class StrangeServer {
  readonly files: ReadonlyMap<string, Buffer>;
  manner: Manner = good;
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #server: Server;

  constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.files = new Map(Array.from(files, ([path, bytes]) => [path, Buffer.from(bytes)]));
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  reset(manner: Manner): void {
    this.#server.closeAllConnections();
    this.manner = manner;
    this.asked.length = 0;
    this.#counts.clear();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url ?? "").replace(/^\/|\?.*$/g, ""));
    this.asked.push(path);
    const count = (this.#counts.get(path) ?? 0) + 1;
    this.#counts.set(path, count);
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const bytes = this.files.get(path.replace(/^(?:[^/]* [^/]*|hop\d)\//, "")) ?? null;
    response.on("error", () => {});
    this.manner({
      request,
      response,
      bytes,
      range:
        first === undefined
          ? null
          : [Number(first), Math.min(Number(last), (bytes?.length ?? 1) - 1)],
      count,
      total: this.asked.length,
    });
  }
}
