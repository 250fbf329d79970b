import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openSafetensors } from "../../../src/weights/safetensors.ts";
import { urlFiles } from "../../../src/weights/sources/files.ts";
import { MAX_WHOLE_BYTES } from "../../../src/weights/sources/http-client.ts";
import { httpSource } from "../../../src/weights/sources/http-source.ts";
import { urlFile } from "../../../src/weights/sources/single-file.ts";
import { failureOf, fileOf, headerOf } from "../samples.ts";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const tensorFile = fileOf(headerOf(["a", "F32", [2], 0, 8]), 8);

type Answer = (request: IncomingMessage, response: ServerResponse, tries: number) => void;

/** The range a request asks for; both ends included. */
function rangeOf(request: IncomingMessage): [number, number] {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  return [Number(first), Number(last)];
}

/** A partial answer that claims `header` and sends `body`. */
function partial(response: ServerResponse, header: string | null, body: Uint8Array): void {
  response.writeHead(206, header === null ? {} : { "content-range": header });
  response.end(body);
}

/** Answers the probe well, so that opening succeeds and the first read meets `then`. */
const afterProbe =
  (then: Answer): Answer =>
  (request, response, tries) => {
    const [first, last] = rangeOf(request);
    if (last === 0) partial(response, "bytes 0-0/1000", content.subarray(first, 1));
    else then(request, response, tries);
  };

const ranges =
  (bytes: Uint8Array): Answer =>
  (request, response) => {
    const [first, last] = rangeOf(request);
    partial(response, `bytes ${first}-${last}/${bytes.length}`, bytes.subarray(first, last + 1));
  };

/** Ranges with an ETag that is another one after the probe. */
const versions =
  (etag: string, later: string): Answer =>
  (request, response) => {
    const [first, last] = rangeOf(request);
    response.writeHead(206, {
      "content-range": `bytes ${first}-${last}/1000`,
      etag: last === 0 ? etag : later,
    });
    response.end(content.subarray(first, last + 1));
  };

const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) => {
    response.writeHead(code, headers);
    response.end("no");
  };

/** Sends part of the promised body and drops the connection. */
const dropped: Answer = (request, response) => {
  const [first, last] = rangeOf(request);
  response.writeHead(206, {
    "content-range": `bytes ${first}-${last}/1000`,
    "content-length": String(last - first + 1),
  });
  response.write(content.subarray(first, first + 5), () => response.destroy());
};

const answers: Record<string, Answer> = {
  "/good": ranges(content),
  "/st/model.safetensors": ranges(tensorFile),
  "/st/with%20space%23%3F/a.bin": ranges(content),
  // As sirv (Vite's server) does: a last byte of 0 is none.
  "/last-0-is-none": (request, response) => {
    const [first, last] = rangeOf(request);
    const end = last || content.length - 1;
    partial(response, `bytes ${first}-${end}/1000`, content.subarray(first, end + 1));
  },
  "/empty": status(416, { "content-range": "bytes */0" }),
  "/beyond": status(416, { "content-range": "bytes */1000" }),
  "/html": status(200, { "content-type": "text/html; charset=utf-8" }),
  "/gone": status(410),
  "/denied": status(403),
  "/teapot": status(418),
  "/broken": status(500),
  "/busy-once": (request, response, tries) =>
    tries < 3 ? status(503)(request, response, tries) : ranges(content)(request, response, tries),
  "/whole": (_, response) => response.end(content),
  "/whole-cut": (_, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write(content.subarray(0, 10), () => response.destroy());
  },
  "/whole-huge": (_, response) => {
    response.writeHead(200, { "content-length": String(MAX_WHOLE_BYTES + 1) });
    response.write(content);
  },
  "/whole-endless": (_, response) => {
    const block = new Uint8Array(2 ** 20);
    const send = (): void => {
      while (!response.destroyed && response.write(block));
      if (!response.destroyed) response.once("drain", send);
    };
    send();
  },
  "/hidden": (request, response) => {
    const [first, last] = rangeOf(request);
    if (request.method === "HEAD") response.writeHead(200, { "content-length": "1000" }).end();
    else partial(response, null, content.subarray(first, last + 1));
  },
  "/unknown-total": (request, response) => {
    const [first, last] = rangeOf(request);
    if (request.method === "HEAD") response.writeHead(200, { "content-length": "1000" }).end();
    else partial(response, `bytes ${first}-${last}/*`, content.subarray(first, last + 1));
  },
  "/no-length": (request, response) =>
    request.method === "HEAD"
      ? response.writeHead(405).end()
      : partial(response, null, content.subarray(0, 1)),
  "/wrong-probe": (_, response) => partial(response, "bytes 5-5/1000", content.subarray(5, 6)),
  "/wrong-range": afterProbe((_, response) =>
    partial(response, "bytes 0-9/1000", content.subarray(0, 10)),
  ),
  "/malformed-range": afterProbe((_, response) =>
    partial(response, "10-19 of 1000", content.subarray(10, 20)),
  ),
  "/other-total": afterProbe((_, response) =>
    partial(response, "bytes 10-19/999", content.subarray(10, 20)),
  ),
  "/short": afterProbe((_, response) =>
    partial(response, "bytes 10-19/1000", content.subarray(10, 15)),
  ),
  "/short-once": afterProbe((request, response, tries) =>
    tries === 2
      ? partial(response, "bytes 10-19/1000", content.subarray(10, 15))
      : ranges(content)(request, response, tries),
  ),
  "/long": afterProbe((_, response) =>
    partial(response, "bytes 10-19/1000", content.subarray(10, 30)),
  ),
  "/dropped": afterProbe(dropped),
  "/dropped-once": afterProbe((request, response, tries) =>
    (tries === 2 ? dropped : ranges(content))(request, response, tries),
  ),
  "/ignored-later": afterProbe((_, response) => response.end(content)),
  "/changed-later": afterProbe((_, response) => response.end(content.subarray(1))),
  "/gone-later": afterProbe(status(404)),
  "/cut-later": afterProbe(status(416)),
  "/weak-later": versions('W/"1"', '"1"'),
  "/stuck": () => {},
  "/stuck-later": afterProbe(() => {}),
  "/slow-body": afterProbe((_, response) => {
    response.writeHead(206, { "content-range": "bytes 10-19/1000" });
    response.write(content.subarray(10, 12));
  }),
};

let server: Server;
let base = "";
let onRequest: (count: number) => void = () => {};
let requests: { method: string; url: string; headers: IncomingMessage["headers"] }[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = request.url ?? "";
    requests.push({ method: request.method ?? "", url, headers: request.headers });
    onRequest(requests.length);
    const tries = requests.filter((earlier) => earlier.url === url).length;
    (answers[url] ?? status(404))(request, response, tries);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  onRequest = () => {};
  requests = [];
});

const quick = { retryDelayMs: 1 };
const open = (path: string) => httpSource(base + path, quick);
/** What reading bytes 10 to 19 ends with. */
const failureAt = (path: string) =>
  failureOf(async () => {
    const source = await open(path);
    await source.read(10, 10);
  });

describe("httpSource", () => {
  test("reads from servers that answer the probe with the whole file as a range", async () => {
    const source = await open("/last-0-is-none");
    expect(source.byteLength).toBe(1000);
    expect(await source.read(0, 20)).toEqual(content.subarray(0, 20));
    expect(requests.map(({ headers }) => headers.range)).toEqual(["bytes=0-0", "bytes=0-19"]);
  });

  test("reads ranges, and nothing more", async () => {
    const source = await open("/good");
    expect(source.byteLength).toBe(1000);
    expect(await source.read(300, 20)).toEqual(content.subarray(300, 320));
    expect(await source.read(0, 1000)).toEqual(content);
    expect((await source.read(1000, 0)).byteLength).toBe(0);
    expect(requests.map(({ method, headers }) => `${method} ${headers.range}`)).toEqual([
      "GET bytes=0-0",
      "GET bytes=300-319",
      "GET bytes=0-999",
    ]);
    expect(await failureOf(() => source.read(999, 2))).toMatch(/must lie inside the file/);
    await source.close();
    expect(await failureOf(() => source.read(0, 1))).toMatch(/file is closed/);
  });

  test("serves safetensors", async () => {
    const file = await openSafetensors(await open("/st/model.safetensors"));
    expect([...(await file.read("a"))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("sends the given headers and uses the given fetch", async () => {
    const sent: string[] = [];
    const source = await httpSource(`${base}/good`, {
      headers: { authorization: "Bearer x" },
      fetch: (url, init) => {
        sent.push(url);
        return fetch(url, init);
      },
    });
    await source.read(1, 2);
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(["Bearer x", "Bearer x"]);
    expect(sent).toEqual([`${base}/good`, `${base}/good`]);
  });

  test("holds a small file whole where ranges are ignored", async () => {
    const source = await open("/whole");
    expect(source.byteLength).toBe(1000);
    expect(await source.read(10, 10)).toEqual(content.subarray(10, 20));
    expect(requests.length).toBe(1);
    const later = await open("/ignored-later");
    expect(await later.read(10, 10)).toEqual(content.subarray(10, 20));
  });

  test("serves the small reads of a folder's file from windows, whose requests are few", async () => {
    const source = await urlFiles(base, quick).open("good");
    for (const [offset, length] of [
      [0, 8],
      [8, 300],
      [990, 10],
      [500, 20],
    ] as const) {
      expect(await source?.read(offset, length)).toEqual(content.subarray(offset, offset + length));
    }
    expect(requests.slice(1).map(({ headers }) => headers.range)).toEqual([
      "bytes=0-0",
      "bytes=0-999",
    ]);
  });

  test("takes a weak ETag for the strong one", async () => {
    const source = await open("/weak-later");
    expect(await source.read(10, 10)).toEqual(content.subarray(10, 20));
  });

  test("opens an empty file", async () => {
    expect((await open("/empty")).byteLength).toBe(0);
  });

  test("asks HEAD for the length where Content-Range is hidden or open-ended", async () => {
    for (const path of ["/hidden", "/unknown-total"]) {
      const source = await open(path);
      expect(source.byteLength).toBe(1000);
      expect(await source.read(10, 10)).toEqual(content.subarray(10, 20));
    }
  });

  test.each([
    ["/busy-once", 4],
    ["/short-once", 3],
    ["/dropped-once", 3],
  ])("tries again what may pass: %s", async (path, count) => {
    const source = await open(path);
    expect(await source.read(10, 10)).toEqual(content.subarray(10, 20));
    expect(requests.length).toBe(count);
  });

  test.each<[string, number, RegExp]>([
    ["/none", 1, /file must exist on the server, got HTTP 404 .* Check the address/],
    ["/gone", 1, /got HTTP 410/],
    ["/html", 1, /got an HTML page/],
    ["/denied", 1, /must answer 206 or 200, got HTTP 403 Forbidden .* Access is denied/],
    ["/teapot", 1, /got HTTP 418/],
    ["/beyond", 1, /got HTTP 416/],
    ["/broken", 3, /must answer with the file, got HTTP 500 .* Try again later/],
    ["/whole-huge", 1, /ignores range requests, and the file has 67108865 bytes or more, limit/],
    ["/whole-endless", 1, /ignores range requests, and the file has 67\d+ bytes or more/],
    ["/whole-cut", 3, /body ended after \d+ bytes with .* load it again/],
    ["/no-length", 3, /must tell the file length, got HTTP 405 .* Expose the header Content-Range/],
    ["/wrong-probe", 1, /Content-Range must be bytes 0-0, got bytes 5-5\/1000/],
    ["/wrong-range", 2, /Content-Range must be bytes 10-19, got bytes 0-9\/1000/],
    ["/malformed-range", 2, /Content-Range must be bytes 10-19, got 10-19 of 1000/],
    ["/other-total", 2, /must keep its length, got 999 bytes, at first 1000/],
    ["/changed-later", 2, /must keep its length, got 999 bytes, at first 1000/],
    ["/short", 4, /body must have 10 bytes, got 5 .* was cut; load it again/],
    ["/long", 2, /body must have 10 bytes, got more/],
    ["/dropped", 4, /body ended after \d bytes with TypeError/],
    ["/gone-later", 2, /got HTTP 404 .* The file is gone/],
    ["/cut-later", 2, /got HTTP 416 .* shorter than before/],
  ])("refuses %s after %i requests", async (path, count, message) => {
    const got = await failureAt(path);
    expect(got).toMatch(message);
    expect(got).toMatch(/^weights: /);
    expect(got).toContain(base + path);
    expect(requests.length).toBe(count);
  });

  test("says that a server cannot be reached, after three tries", async () => {
    let tries = 0;
    const failing: typeof fetch = () => {
      tries++;
      return Promise.reject(new TypeError("fetch failed"));
    };
    const call = () => httpSource("http://127.0.0.1:9/x", { ...quick, fetch: failing });
    expect(await failureOf(call)).toMatch(
      /must be reachable, got TypeError: fetch failed \(http:\/\/127\.0\.0\.1:9\/x\)\. .*CORS/,
    );
    expect(tries).toBe(3);
  });

  test("does not call a compressed body short, but a plain one", async () => {
    const answer = (headers: Record<string, string>) => async (): Promise<Response> =>
      new Response(content.subarray(0, 10), { headers: { "content-length": "20", ...headers } });
    const opening = (headers: Record<string, string>) =>
      httpSource("http://x/", { ...quick, fetch: answer(headers) });
    expect((await opening({ "content-encoding": "gzip" })).byteLength).toBe(10);
    expect(await failureOf(() => opening({}))).toMatch(/body must have 20 bytes, got 10/);
  });
});

describe("httpSource stops with the reason of a signal", () => {
  const reason = new Error("stop");
  // A little after the server has seen that request: what it answers at once has mostly arrived.
  const after = (count: number): AbortSignal => {
    const controller = new AbortController();
    onRequest = (seen) => {
      if (seen === count) setTimeout(() => controller.abort(reason), 30);
    };
    return controller.signal;
  };

  test("before anything is sent", async () => {
    const signal = AbortSignal.abort(reason);
    await expect(httpSource(`${base}/good`, { signal })).rejects.toBe(reason);
    const source = await open("/good");
    await expect(source.read(0, 4, signal)).rejects.toBe(reason);
    expect(requests.length).toBe(1);
  });

  test("while opening", async () => {
    await expect(httpSource(`${base}/stuck`, { signal: after(1) })).rejects.toBe(reason);
  });

  test.each(["/stuck-later", "/slow-body"])("while reading %s", async (path) => {
    const source = await open(path);
    await expect(source.read(10, 10, after(2))).rejects.toBe(reason);
    expect(requests.length).toBe(2);
  });

  test("given at opening, while reading", async () => {
    const source = await httpSource(`${base}/slow-body`, { signal: after(2) });
    await expect(source.read(10, 10, new AbortController().signal)).rejects.toBe(reason);
  });

  test("while waiting for the next try", async () => {
    const options = { retryDelayMs: 60_000, signal: after(1) };
    await expect(httpSource(`${base}/broken`, options)).rejects.toBe(reason);
    expect(requests.length).toBe(1);
  });
});

describe("urlFiles", () => {
  test("opens below its address, gives null for absent files", async () => {
    const files = urlFiles(`${base}/st/`, quick);
    const source = await files.open("model.safetensors");
    expect(source?.name).toBe(`${base}/st/model.safetensors`);
    expect(await files.open("none.safetensors")).toBeNull();
    expect(await urlFiles(base, quick).open("html")).toBeNull();
    expect((await files.open("with space#?/a.bin"))?.byteLength).toBe(1000);
    expect(await files.open("denied")).toBeNull();
    expect(files.refusal?.("denied")).toBeNull();
    const denying = urlFiles(base, quick);
    expect(await denying.open("denied")).toBeNull();
    expect(denying.refusal?.("denied")).toBe("HTTP 403");
    expect(await failureOf(() => urlFile(`${base}/denied`, quick).open())).toMatch(/HTTP 403/);
  });

  test("a signal of open does not end later reads", async () => {
    const controller = new AbortController();
    const source = await urlFiles(base, quick).open("good", controller.signal);
    controller.abort(new Error("stop"));
    expect(await source?.read(1, 2)).toEqual(content.subarray(1, 3));
  });

  test("refuses addresses and paths that would lead elsewhere", async () => {
    expect(await failureOf(() => urlFiles("http://x/?a=1"))).toMatch(/no "\?" or "#"/);
    expect(await failureOf(() => urlFiles(base).open("../good"))).toMatch(/must be relative/);
    expect(await urlFiles(`${base}/st`, quick).open("%2e%2e/good")).toBeNull();
    expect(requests.map(({ url }) => url)).toEqual(["/st/manifest.json", "/st/%252e%252e/good"]);
  });
});
