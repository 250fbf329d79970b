/** Loading that is aborted, wherever it is: it ends at once, asks for nothing more and leaves nothing. */
import { afterEach, describe, expect, it } from "vitest";
import { cachedUrlFiles } from "../../../src/cache/index.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import type { LoadOptions } from "../../../src/rcod/model.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { ByteSource, FileSet } from "../../../src/weights/index.ts";
import { memoryFiles, urlFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { adaptedModel } from "../adapted-model.ts";

const setup = useGpu();
const { files } = await adaptedModel(undefined, { mem: [8] });
const reason = new Error("changed my mind");

/** What a test of one load counts. */
interface Counts {
  requests: number;
  /** Requests, opened files and reads that have not ended; a hung one stays. */
  openFiles: number;
}
const counts: Counts = { requests: 0, openFiles: 0 };
let onRequest: (count: number) => void = () => {};
afterEach(() => {
  onRequest = () => {};
  Object.assign(counts, { requests: 0, openFiles: 0 });
});

type Manner = "prompt" | "hung" | "hung body";

/** A server with the model, which from request `from` on behaves in a manner of its own, and hears no signal. */
function serverOf(manner: Manner = "prompt", from = Infinity): typeof fetch {
  return async (input, init) => {
    const count = ++counts.requests;
    onRequest(count);
    const path = new URL(input as string).pathname.slice(1);
    const bytes = files.get(path);
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (manner === "hung" && count >= from) return new Promise(() => {});
    if (bytes === undefined) return new Response(null, { status: 404 });
    const [, first, last] =
      /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
    const body = bytes.slice(Number(first), Number(last) + 1);
    const hung = new ReadableStream({ start: (stream) => stream.enqueue(body.subarray(1)) });
    return new Response(manner === "hung body" && count >= from ? hung : body, {
      status: 206,
      headers: { "content-range": `bytes ${first}-${last}/${bytes.byteLength}` },
    });
  };
}

/** The same files, whose closing is counted. */
function counted(inner: FileSet): FileSet {
  const countedSource = (source: ByteSource): ByteSource => {
    let isOpen = true;
    counts.openFiles++;
    return {
      ...source,
      async close() {
        if (isOpen) counts.openFiles--;
        isOpen = false;
        await source.close();
      },
    };
  };
  return {
    name: inner.name,
    async open(path, signal) {
      const source = await inner.open(path, signal);
      return source && countedSource(source);
    },
  };
}

/** Loads, and aborts when `arm` says so; gives the milliseconds from the abort to the rejection, NaN where it came too late. */
async function abortedAfter(
  source: FileSet,
  arm: (abort: () => void) => unknown,
  options: LoadOptions = {},
): Promise<number> {
  const before = setup.gpu.memory.use().currentBytes;
  const controller = new AbortController();
  let abortedAt = NaN;
  let requests = NaN;
  arm(() => {
    abortedAt = performance.now();
    requests = counts.requests;
    controller.abort(reason);
  });
  const { signal } = controller;
  const ended = await loadModel(source, {
    gpu: setup.gpu,
    precision: "f32",
    ...options,
    signal,
  }).then(
    (model) => model.dispose(),
    (error: unknown) => error,
  );
  const late = performance.now() - abortedAt;
  expect(ended).toBe(Number.isNaN(late) ? undefined : reason);
  expect(setup.gpu.memory.use().currentBytes, "bytes on the device").toBe(before);
  await new Promise((resolve) => setTimeout(resolve, 5));
  if (!Number.isNaN(late)) expect(counts.requests, "requests after the abort").toBe(requests);
  expect(counts.openFiles, "open files").toBe(0);
  return late;
}

/** How late a rejection may be, in milliseconds. */
const PROMPT = 100;

describe("an abort ends loading", () => {
  it("before anything is sent", async () => {
    const signal = AbortSignal.abort(reason);
    const source = urlFiles("https://host", { fetch: serverOf() });
    await expect(loadModel(source, { signal })).rejects.toBe(reason);
    await expect(readConfigs(source, signal)).rejects.toBe(reason);
    expect(counts.requests).toBe(0);
  });

  it.each(["prompt", "hung", "hung body"] as const)(
    "at every request, of a server that is %s",
    async (manner) => {
      const model = await loadModel(urlFiles("https://host", { fetch: serverOf() }), {
        gpu: setup.gpu,
        precision: "f32",
      });
      model.dispose();
      const total = counts.requests;
      expect(total).toBeGreaterThan(20);
      let latest = 0;
      for (let n = 1; n <= total; n++) {
        counts.requests = 0;
        const source = counted(urlFiles("https://host", { fetch: serverOf(manner, n) }));
        const late = await abortedAfter(source, (abort) => {
          onRequest = (count) => {
            if (count === n) setTimeout(abort, manner === "prompt" ? 0 : 3);
          };
        });
        latest = Math.max(latest, late);
      }
      expect(latest).toBeLessThan(PROMPT);
    },
  );

  it("at any time, packing and merging included", async () => {
    const source = counted(urlFiles("https://host", { fetch: serverOf() }));
    let aborted = 0;
    for (let ms = 0; ; ms += 8 + ms / 10) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = await abortedAfter(source, (abort) => (timer = setTimeout(abort, ms)));
      clearTimeout(timer);
      if (Number.isNaN(late)) break;
      expect(late, `after ${ms} ms`).toBeLessThan(PROMPT);
      aborted++;
    }
    expect(aborted).toBeGreaterThan(5);
  });

  it("at every progress report", async () => {
    let reports = 0;
    const source = counted(memoryFiles(files));
    const options = { gpu: setup.gpu, precision: "f32" } as const;
    (await loadModel(source, { ...options, onProgress: () => reports++ })).dispose();
    expect(reports).toBeGreaterThan(100);
    for (let n = 1; n < reports; n += 29) {
      let seen = 0;
      let onReport = (): void => {};
      const onProgress = (): void => onReport();
      const late = await abortedAfter(
        source,
        (abort) => {
          onReport = () => {
            if (++seen === n) abort();
          };
        },
        { onProgress },
      );
      expect(late).toBeLessThan(PROMPT);
      expect(seen).toBe(n);
    }
  });

  it.each<[string, FileSet, LoadOptions]>([
    ["opening hears no signal", { name: "deaf", open: () => new Promise(() => {}) }, {}],
    [
      "reading hears no signal",
      {
        name: "deaf",
        open: async () => ({
          name: "deaf",
          byteLength: 100,
          read: () => new Promise(() => {}),
          close: async () => {},
        }),
      },
      {},
    ],
    [
      "the stored tuning never comes",
      memoryFiles(files),
      { tuningStore: { read: () => new Promise(() => {}), write: async () => {} } },
    ],
    [
      "the server is cached and hung",
      cachedUrlFiles("https://host", { fetch: serverOf("hung", 3) }),
      {},
    ],
  ])("where %s", async (_what, source, options) => {
    expect(await abortedAfter(source, (abort) => setTimeout(abort, 60), options)).toBeLessThan(
      PROMPT,
    );
  });

  it("and closes what is opened too late", async () => {
    let isClosed = false;
    const late: ByteSource = {
      name: "late",
      byteLength: 2,
      read: async () => new Uint8Array(2),
      close: async () => void (isClosed = true),
    };
    let open: (source: ByteSource) => void = () => {};
    const slow: FileSet = { name: "slow", open: () => new Promise((resolve) => (open = resolve)) };
    await abortedAfter(slow, (abort) => setTimeout(abort, 5));
    expect(isClosed).toBe(false);
    open(late);
    await new Promise((resolve) => setTimeout(resolve));
    expect(isClosed).toBe(true);
  });
});
