/** A checkpoint of torch.save on a web server: few requests, and never the whole file at once. */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { modelFiles } from "../../../src/rcod/loading/model-source.ts";
import { openCheckpoint } from "../../../src/rcod/loading/rcod-checkpoint.ts";
import { RCOD_O } from "../../../src/rcod/settings/config.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import type { ByteSource, FileSet } from "../../../src/weights/index.ts";
import { diskFile } from "../../../src/weights/sources/node-source.ts";
import { WINDOW_BYTES, readAheadFiles } from "../../../src/weights/sources/read-ahead.ts";
import { SAMPLE_CHECKPOINTS } from "../../support/samples.ts";
import type { Code } from "../../weights/torch/torch-samples.ts";
import { archiveOf, named, storage, tensor } from "../../weights/torch/torch-samples.ts";

const SMALL = { count: 600, elements: 1000 };
const LARGE_ELEMENTS = 3 * 2 ** 20;
const MIB = 2 ** 20;

/** As the released checkpoint, 600 tensors of some kilobytes; and one of 12 MiB, which that one does not have. */
function checkpointFile(): Uint8Array<ArrayBuffer> {
  const tensors: Record<string, Code> = {};
  const storages: Record<string, Uint8Array> = {};
  const add = (name: string, elements: number, value: number): void => {
    const key = String(Object.keys(storages).length);
    storages[key] = new Uint8Array(new Float32Array(elements).fill(value).buffer);
    tensors[name] = tensor(storage("Float", key, elements), [elements]);
  };
  for (let i = 0; i < SMALL.count; i++) {
    add(`state_dict_small${i}`, SMALL.elements, i);
    if (i === SMALL.count / 2) add("large", LARGE_ELEMENTS, -1);
  }
  return archiveOf(named(tensors), storages);
}

const file = checkpointFile();
let server: Server;
let address = "";
/** Bytes of every answer. */
let answers: number[] = [];

beforeAll(async () => {
  server = createServer(({ headers }, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    const body = file.subarray(Number(first), Number(last) + 1); // without a range: the whole file
    answers.push(body.byteLength);
    if (first === undefined) response.end(file);
    else {
      response.writeHead(206, { "content-range": `bytes ${first}-${last}/${file.byteLength}` });
      response.end(body);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/rcod_o.pkl`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  answers = [];
});

describe("through the folder of a model in pieces", () => {
  const open = async () => {
    const files = modelFiles({ model: memoryFiles(new Map()), checkpoint: address });
    const checkpoint = await openCheckpoint(files, { ...RCOD_O, checkpoint: "checkpoint.pkl" });
    return checkpoint ?? expect.fail("none");
  };
  const transferred = (): number => answers.reduce((sum, bytes) => sum + bytes, 0);

  it("is listed by a few requests", async () => {
    const { store } = await open();
    expect([...store.names()].length).toBe(SMALL.count + 1);
    expect(answers.length).toBeLessThanOrEqual(4); // length, start, end
    expect(transferred()).toBeLessThan(3 * MIB);
    await store.close();
  });

  it("is read as it is used: about one request a mebibyte, and large tensors by the range", async () => {
    const { store } = await open();
    for (let i = 0; i < SMALL.count; i++) {
      const bytes = (await store.read(`state_dict_small${i}`)).slice();
      expect(new Float32Array(bytes.buffer)[SMALL.elements - 1]).toBe(i);
    }
    const small = SMALL.count * SMALL.elements * 4;
    expect(answers.length).toBeLessThanOrEqual(4 + Math.ceil(small / WINDOW_BYTES) + 1);
    expect(transferred()).toBeLessThan(small + 4 * MIB); // little of the large one
    answers = [];
    await store.readRange("large", 4 * MIB, 2 * MIB);
    expect(answers.at(-1)).toBe(2 * MIB);
    expect(transferred()).toBeLessThan(4 * MIB);
    await store.close();
  });
});

describe("read-ahead", () => {
  /** The sample with a log of what is read of it. */
  async function sample() {
    const reads: number[] = [];
    const files: FileSet = {
      name: "sample",
      async open() {
        const source = (await diskFile(SAMPLE_CHECKPOINTS[1] as string).open()) as ByteSource;
        return {
          ...source,
          async read(offset, length, signal) {
            reads.push(length);
            return source.read(offset, length, signal);
          },
        };
      },
    };
    return { files, reads };
  }

  it.each([1, 7, 4096, WINDOW_BYTES])("gives the same bytes by windows of %i", async (window) => {
    const { files, reads } = await sample();
    const plain = (await files.open("x")) as ByteSource;
    const ahead = (await readAheadFiles(files, window).open("x")) as ByteSource;
    expect(ahead.byteLength).toBe(plain.byteLength);
    const end = plain.byteLength;
    for (const [offset, length] of [
      [0, 0],
      [end, 0],
      [0, 1],
      [3, 9],
      [4000, 200],
      [4090, 6],
      [4090, 4096],
      [end - 5, 5],
      [3, 9],
      [0, end],
    ] as const) {
      const expected = await plain.read(offset, length);
      expect([...(await ahead.read(offset, length))], `${offset} + ${length}`).toEqual([
        ...expected,
      ]);
    }
    reads.length = 0;
    await ahead.read(end - 3, 1);
    expect(reads).toEqual(window > 1 ? [] : [1]); // one of the last four windows
    await expect(ahead.read(end - 1, 2)).rejects.toThrow("read must lie inside the file");
    await ahead.close();
    await expect(ahead.read(0, 1)).rejects.toThrow("file is closed");
    await plain.close();
  });

  it("forgets a window that could not be read", async () => {
    const { files } = await sample();
    const ahead = (await readAheadFiles(files, 64).open("x")) as ByteSource;
    await expect(ahead.read(0, 4, AbortSignal.abort("stop"))).rejects.toBe("stop");
    expect([...(await ahead.read(0, 2))]).toEqual([0x50, 0x4b]);
    await ahead.close();
  });
});
