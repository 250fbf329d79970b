/** A web server for pages and weights: byte ranges, ETags, a log of requests, and faults on demand. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import type { ByteSource, FileSet } from "../../src/weights/index.ts";

/** What one request asked for and got. */
export interface ServedRequest {
  readonly method: string;
  /** Without the query, decoded. */
  readonly path: string;
  /** First and last byte asked for; null without a Range. */
  readonly range: readonly [number, number] | null;
  readonly status: number;
  /** Of the body, as far as it was sent. */
  readonly bytes: number;
}

/** What is wrong with an answer; none of it, and the file is sent. */
export interface Fault {
  /** Instead of the file. */
  readonly status?: number;
  /** Bytes of the body after which the connection is dropped. */
  readonly cutAfter?: number;
  /** Send nothing, and keep the connection open. */
  readonly isStuck?: boolean;
  /** Answer with the whole file, as servers without ranges do. */
  readonly ignoreRange?: boolean;
  /** Neither ETag nor Last-Modified. */
  readonly anonymous?: boolean;
}

export interface FileServer {
  /** `http://127.0.0.1:port`, without a slash at the end. */
  readonly address: string;
  /** Requests since the last `clear`, in the order in which they ended. */
  readonly requests: readonly ServedRequest[];
  clear(): void;
  /** Serves `files` under `/name/…`, in place of what was there; null takes them away. */
  mount(name: string, files: FileSet | null): void;
  /** Asked before every answer; null: no faults. */
  fault: ((path: string, range: ServedRequest["range"]) => Fault | null) | null;
  /** What every answer says of caches; at first that they must ask again. */
  cacheControl: string;
  /** While true every connection is dropped, as from a server that is down. */
  isDown: boolean;
  close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".svg": "image/svg+xml",
};

/** Starts a server on a free port of this machine. A path that ends in `/` is its `index.html`. */
export async function startFileServer(): Promise<FileServer> {
  const mounts = new Map<string, FileSet>();
  const requests: ServedRequest[] = [];
  const state = {
    isDown: false,
    fault: null as FileServer["fault"],
    cacheControl: "no-cache",
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (state.isDown) {
      request.socket.destroy();
      return;
    }
    const path = decodeURIComponent((request.url ?? "").replace(/\?.*$/, ""));
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const range: ServedRequest["range"] =
      first === undefined ? null : [Number(first), last === "" ? Infinity : Number(last)];
    const fault = state.fault?.(path, range) ?? {};
    if (fault.isStuck) return;
    let sent = 0;
    response.on("close", () => {
      const { method = "" } = request;
      requests.push({ method, path, range, status: response.statusCode, bytes: sent });
    });
    const [, mount = "", inner = ""] = /^\/([^/]+)\/(.*)$/.exec(path) ?? [];
    const name = inner === "" || inner.endsWith("/") ? `${inner}index.html` : inner;
    const file = (await mounts.get(mount)?.open(name)) ?? null;
    // Any origin may read everything: pages of other ports too.
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Expose-Headers", "Content-Range, ETag");
    if (file === null || fault.status !== undefined) {
      await file?.close();
      response.writeHead(fault.status ?? 404).end();
      return;
    }
    try {
      const total = file.byteLength;
      const start = range !== null && !fault.ignoreRange ? range[0] : 0;
      const end = Math.min(range === null || fault.ignoreRange ? total : range[1] + 1, total);
      if (start >= end && total > 0) {
        response.writeHead(416, { "Content-Range": `bytes */${total}` }).end();
        return;
      }
      response.writeHead(range !== null && !fault.ignoreRange ? 206 : 200, {
        "Content-Type": TYPES[extname(name)] ?? "application/octet-stream",
        "Content-Length": end - start,
        ...(range &&
          !fault.ignoreRange && { "Content-Range": `bytes ${start}-${end - 1}/${total}` }),
        ...(!fault.anonymous && { ETag: await etagOf(file) }),
        "Cache-Control": state.cacheControl,
      });
      if (request.method === "HEAD") {
        response.end();
        return;
      }
      for (let at = start; at < end && !response.destroyed;) {
        const stop = Math.min(end, at + 2 ** 16, start + (fault.cutAfter ?? Infinity));
        const bytes = await file.read(at, stop - at);
        sent += bytes.byteLength;
        if (!response.write(bytes)) await drained(response);
        at = stop;
        if (at - start === fault.cutAfter && at < end) {
          response.destroy();
          return;
        }
      }
      response.end();
    } finally {
      await file.close();
    }
  };

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    clear: () => void (requests.length = 0),
    mount: (name, files) => void (files === null ? mounts.delete(name) : mounts.set(name, files)),
    get fault() {
      return state.fault;
    },
    set fault(fault) {
      state.fault = fault;
    },
    get cacheControl() {
      return state.cacheControl;
    },
    set cacheControl(cacheControl) {
      state.cacheControl = cacheControl;
    },
    get isDown() {
      return state.isDown;
    },
    set isDown(isDown) {
      state.isDown = isDown;
      if (isDown) server.closeAllConnections();
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Of the length and the first mebibyte: enough to tell test files apart. */
async function etagOf(file: ByteSource): Promise<string> {
  const hash = createHash("sha256").update(String(file.byteLength));
  hash.update(await file.read(0, Math.min(file.byteLength, 2 ** 20)));
  return `"${hash.digest("hex").slice(0, 16)}"`;
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
    if (response.destroyed) done(); // it may have been closed before
  });
}
