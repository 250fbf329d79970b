/** A model across a message channel does what it does without one. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { DeviceError, DeviceLostError } from "../../src/gpu/errors.ts";
import { ShapeError } from "../../src/gpu/shape.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { loadModel } from "../../src/rcod/model.ts";
import { ConfigError } from "../../src/rcod/settings/config.ts";
import type { Progress, RawImage, ResultRegion } from "../../src/rcod/settings/options.ts";
import { WeightsError, memoryFiles } from "../../src/weights/index.ts";
import type { WorkerModel, WorkerModelSource } from "../../src/worker/index.ts";
import { loadModelInWorker } from "../../src/worker/index.ts";
import type { Reply } from "../../src/worker/protocol.ts";
import type { FileServer } from "../browser/file-server.ts";
import { startFileServer } from "../browser/file-server.ts";
import { largestDifference, minimalFiles, testImage } from "../rcod/support.ts";
import { useGpu } from "../support/gpu.ts";
import type { LocalWorker } from "./support.ts";
import { borrowed, localWorker } from "./support.ts";

const setup = useGpu();
const text = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));

let server: FileServer;
let worker: LocalWorker;
let model: WorkerModel;

beforeAll(async () => {
  const files = await minimalFiles({ midAttention: false, vaeWidths: [8] });
  const config = text({ block_out_channels: [8], latent_channels: 8 });
  server = await startFileServer();
  server.mount("model", memoryFiles(files));
  server.mount("broken", memoryFiles(new Map([...files, ["vae/config.json", config]])));
  worker = localWorker(async () => borrowed(setup.gpu));
  model = await loadModelInWorker(`${server.address}/model`, { worker, precision: "f32" });
});
afterAll(async () => {
  model.dispose();
  worker.close();
  await server.close();
});

/** The error of a promise that must reject. */
const failure = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.unreachable("resolved"),
    (error: unknown) => error as Error,
  );

/** What the worker posts from now on, with what it moves. */
function spyOnReplies(): () => { readonly reply: Reply; readonly transfer: readonly unknown[] }[] {
  const spy = vi.spyOn(MessagePort.prototype, "postMessage");
  return () => {
    const calls = spy.mock.calls as unknown as readonly [reply: Reply, transfer: unknown[]][];
    return calls.map(([reply, transfer]) => ({ reply, transfer }));
  };
}
afterEach(() => vi.restoreAllMocks());

describe("the same as without a worker", () => {
  it("estimates", async () => {
    const own = await loadModel(`${server.address}/model`, { gpu: setup.gpu, precision: "f32" });
    const options = { width: 9, height: 7, colorFix: "wavelet" } as const;
    const expected = await own.estimate(options);
    const onProgress = () => undefined;
    const { signal } = new AbortController();
    const estimate = await model.estimate({ ...options, onProgress, signal });
    expect(estimate).toMatchObject({
      outWidth: 36,
      outHeight: 28,
      regions: 1,
      work: expected.work,
    });
    own.dispose();
    const refused = { width: 9, height: 7, tiles: 64 } as unknown as {
      width: number;
      height: number;
    };
    const error = await failure(model.estimate(refused));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe((await failure(own.estimate(refused))).message);
  });

  it("facts, progress, result", async () => {
    const seen: Progress[] = [];
    const own = await loadModel(`${server.address}/model`, {
      gpu: setup.gpu,
      precision: "f32",
      onProgress: (progress) => seen.push(progress),
    });
    const { precision, caps, configs, supportsAuto } = own;
    expect(model).toMatchObject({ precision, supportsAuto });
    expect(model.caps).toEqual(caps);
    expect(model.configs).toEqual(configs);

    const loading: Progress[] = [];
    const second = await loadModelInWorker(new URL(`${server.address}/model`), {
      worker,
      precision: "f32",
      onProgress: (progress) => loading.push(progress),
    });
    second.dispose();
    expect(loading).toEqual(seen);

    const image = testImage(9, 7, 4);
    const steps: Progress[] = [];
    const options = { realism: 0.25, onProgress: (progress: Progress) => steps.push(progress) };
    const expected = await own.upscale(image, { realism: 0.25 });
    const result = await model.upscale(image, options);
    own.dispose();
    expect(result).toEqual({
      ...expected,
      timingsMs: expect.objectContaining({ unet: expect.any(Number) }),
      // The device they share holds the other model's activations too.
      peakBytes: expect.any(Number),
      peakActivationBytes: expect.any(Number),
    });
    expect(steps.at(-1)?.fraction).toBe(1);
    expect(new Set(steps.map(({ stage }) => stage)).size).toBeGreaterThan(3);
  }, 300_000);

  it("a list of results for a list of settings", async () => {
    const image = testImage(9, 7);
    const results = await model.upscale(image, { realism: [0, 1] });
    expect(results.map(({ timestep }) => timestep)).toEqual([249, 749]);
    for (const [i, realism] of [0, 1].entries()) {
      const { image: own } = await model.upscale(image, { realism });
      expect(largestDifference(results[i]?.image as RawImage, own)).toBeLessThanOrEqual(1);
    }
    const several = { realism: [0, 1], inspect: {} } as object;
    expect((await failure(model.upscale(image, several))).message).toContain("inspect: is for");
  });

  it("errors, with class and message", async () => {
    const image = testImage(4, 4);
    const realismMask = { data: new Uint8Array(3), width: 2, height: 2, realism: 1 };
    const shape = await failure(model.upscale(image, { realismMask }));
    expect(shape).toBeInstanceOf(ShapeError);
    expect(shape.message).toContain("realismMask: 2×2 needs 4 bytes, got 3");
    expect(shape.stack).toContain("checkMask"); // the worker's
    const wrong: RawImage = { ...image, width: 5 };
    expect((await failure(model.upscale(wrong))).message).toBe(
      "image: 5×4×3 needs 60 values, got 48",
    );
    const list = { ...image, data: Array.from(image.data) } as unknown as RawImage;
    expect(await failure(model.upscale(list))).toBeInstanceOf(ShapeError);
    const options = { colourFix: "adain" } as object;
    expect((await failure(model.upscale(image, options))).message).toContain('mean "colorFix"?');
    expect((await failure(model.upscale(image, { output: "texture" } as object))).message).toBe(
      'worker: output must be "image" or "regions", got "texture". Textures cannot be sent',
    );
    for (const option of [{ enlarged: true }, { resume: {} }]) {
      const refused = await failure(model.upscale(image, option as object));
      expect(refused).toBeInstanceOf(TypeError);
      expect(refused.message).toContain("worker: there is no option");
    }
    const { data: _, ...size } = image;
    const reader = { ...size, depth: 8, read: () => image } as unknown as RawImage;
    const unread = await failure(model.upscale(reader));
    expect(unread).toBeInstanceOf(TypeError);
    expect(unread.message).toContain("got one with a read() of its own, which cannot be sent");
    const device = { worker, gpu: setup.gpu } as object;
    expect((await failure(loadModelInWorker("http://host/model", device))).message).toBe(
      "worker: option gpu cannot be sent. Leave it out",
    );
    expect(await failure(model.upscale(image, { realism: 2 }))).toBeInstanceOf(RangeError);

    const config = await failure(loadModelInWorker(`${server.address}/broken`, { worker }));
    expect(config).toBeInstanceOf(ConfigError);
    expect(config).toMatchObject({ name: "ConfigError", message: /^config: / });
    const absent = await failure(loadModelInWorker(`${server.address}/absent`, { worker }));
    expect(absent).toBeInstanceOf(WeightsError);
    expect(absent.message).toContain(`no model in ${server.address}/absent`);
  });
});

describe("pixels", () => {
  const fidelity = { realism: "fidelity" } as const;
  let expected: Uint8Array;
  beforeAll(async () => {
    expected = (await model.upscale(testImage(6, 5), fidelity)).image.data as Uint8Array;
  });

  it("stay the caller's, and only the image's go", async () => {
    const { data, ...size } = testImage(6, 5);
    const large = new Uint8Array(data.length + 100).fill(7);
    large.set(data, 50);
    const view = { ...size, data: large.subarray(50, 50 + data.length) };
    expect((await model.upscale(view, fidelity)).image.data).toEqual(expected);
    expect(view.data).toEqual(data);
  });

  it("are moved on demand, and the image is known afterwards", async () => {
    const image = testImage(6, 5);
    const first = await model.upscale(image, { ...fidelity, transfer: true });
    expect(image.data.byteLength).toBe(0);
    expect(first.image.data).toEqual(expected);
    const again = await model.upscale(image, { realism: "realism" });
    expect(again.timestep).toBe(749);
    expect(again.timingsMs.encode).toBeLessThan(again.timingsMs.unet); // encoded once
    // Another image takes its place; then it is gone on both sides.
    await model.upscale(testImage(4, 4), fidelity);
    const gone = await failure(model.upscale(image));
    expect(gone).toBeInstanceOf(ShapeError);
    expect(gone.message).toContain("image: its pixels must be there, got none.");
  });

  it("that changed are sent again without reuse", async () => {
    const image = testImage(6, 5);
    await model.upscale({ ...image, data: image.data.slice().fill(9) }, fidelity);
    const changing = { ...image, data: image.data.slice().fill(200) };
    await model.upscale(changing, fidelity);
    changing.data.set(image.data);
    const again = await model.upscale(changing, { ...fidelity, reuse: false });
    expect(again.image.data).toEqual(expected);
  });

  it("of a call that was never sent are sent by the next", async () => {
    const image = testImage(6, 5);
    await failure(model.upscale(image, { signal: AbortSignal.abort() }));
    expect((await model.upscale(image, fidelity)).image.data).toEqual(expected);
  });

  it("of masks stay the caller's, and captures are moved back", async () => {
    const data = Uint8Array.from({ length: 30 }, (_, i) => (i * 37) % 256);
    const realismMask = { data, width: 6, height: 5, realism: "realism" } as const;
    const replies = spyOnReplies();
    const inspect = { captures: ["z"] };
    const { inspection } = await model.upscale(testImage(6, 5), { realismMask, inspect });
    expect(data.length).toBe(30);
    expect(inspection?.captures["z"]?.data.some((value) => value !== 0)).toBe(true);
    const done = replies().find(({ reply }) => reply.kind === "done");
    expect(done?.transfer.length).toBe(2); // the picture and z
  });

  it("of the result are moved back", async () => {
    const replies = spyOnReplies();
    const { image } = await model.upscale(testImage(6, 5), fidelity);
    const [done] = replies().filter(({ reply }) => reply.kind === "done");
    expect(done?.transfer).toHaveLength(1);
    expect(done?.transfer[0]).toHaveProperty("byteLength", 0); // no longer the worker's
    expect(image.data.buffer.byteLength).toBe(image.data.byteLength);
  });
});

describe("parts", () => {
  // A region takes 64 pixels of the picture a side: two of them.
  const options = { output: "regions", region: 256, realism: "fidelity" } as const;
  const image = testImage(90, 9, 3, 8);
  const collect = (parts: ResultRegion[]): Uint8Array => {
    const data = new Uint8Array(360 * 36 * 3);
    for (const { x, y, width, height, data: pixels = new Uint8Array() } of parts) {
      for (let row = 0; row < height; row++) {
        const line = pixels.subarray(row * width * 3, (row + 1) * width * 3);
        data.set(line, ((y + row) * 360 + x) * 3);
      }
    }
    return data;
  };
  let expected: Uint8Array;
  beforeAll(async () => {
    const whole = await model.upscale(image, { region: 256, realism: "fidelity" });
    expect(whole.regions).toBe(2);
    expected = whole.image.data as Uint8Array;
  }, 120_000);

  it("come one by one, each when the last was taken, and are the picture", async () => {
    const replies = spyOnReplies();
    const parts: ResultRegion[] = [];
    let isTaking = false;
    const onRegion = async (part: ResultRegion): Promise<void> => {
      expect(isTaking).toBe(false);
      isTaking = true;
      await new Promise((done) => setTimeout(done, 30));
      parts.push(part);
      isTaking = false;
    };
    const result = await model.upscale(image, { ...options, onRegion });
    expect(result).toMatchObject({ width: 360, height: 36, channels: 3, regions: 2 });
    expect(result).not.toHaveProperty("image");
    expect(parts.length).toBeGreaterThanOrEqual(3);
    expect(collect(parts)).toEqual(expected);
    const sent = replies().filter(({ reply }) => reply.kind === "region");
    expect(sent.every(({ transfer }) => transfer.length === 1)).toBe(true);
  });

  it("come beside the whole, in the asked order", async () => {
    const parts: ResultRegion[] = [];
    const order = { x: 1, y: 0.5 };
    const { image: whole } = await model.upscale(image, {
      region: 256,
      realism: "fidelity",
      regionOrder: order,
      onRegion: (part) => void parts.push(part),
    });
    expect(whole.data).toEqual(expected);
    expect(collect(parts)).toEqual(expected);
    expect(parts[0]?.x).toBeGreaterThan(100);
  });

  it("end their call when the listener throws or the call is aborted, and the next one runs", async () => {
    const boom = new Error("boom");
    const onRegion = (): Promise<never> => Promise.reject(boom);
    expect(await failure(model.upscale(image, { ...options, onRegion }))).toBe(boom);
    const abort = new AbortController();
    const aborted = model.upscale(image, {
      ...options,
      signal: abort.signal,
      onRegion: () => {
        abort.abort();
        return new Promise<void>(() => {}); // never takes it
      },
    });
    expect(await failure(aborted)).toBe(abort.signal.reason);
    const parts: ResultRegion[] = [];
    await model.upscale(image, { ...options, onRegion: (part) => void parts.push(part) });
    expect(collect(parts)).toEqual(expected);
  });

  it("that nobody takes do not keep a model that is disposed", async () => {
    const gpu = await requestNodeGpu();
    const local = localWorker(async () => borrowed(gpu));
    const other = await loadModelInWorker(`${server.address}/model`, { worker: local });
    let onFirst: () => void = () => {};
    const first = new Promise<void>((resolve) => (onFirst = resolve));
    const onRegion = (): Promise<void> => {
      onFirst();
      return new Promise<void>(() => {});
    };
    const call = failure(other.upscale(image, { ...options, onRegion }));
    await first;
    other.dispose();
    expect(await call).toBeInstanceOf(DeviceError);
    await expect.poll(() => gpu.memory.use().currentBytes, { timeout: 60_000 }).toBe(0);
    local.close();
    gpu.destroy();
  });
});

describe("abort and dispose", () => {
  it("rejects with the signal's own reason, and goes on", async () => {
    const abort = new AbortController();
    const reason = { why: "changed my mind" };
    const image = testImage(6, 5, 3, 2);
    const onProgress = (): void => abort.abort(reason);
    const { signal } = abort;
    const replies = spyOnReplies();
    expect(await failure(model.upscale(image, { signal, onProgress }))).toBe(reason);
    expect((await model.upscale(image)).image.width).toBe(24);
    const ends = replies().filter(({ reply }) => reply.kind === "done" || reply.kind === "failed");
    expect(ends.map(({ reply }) => reply.kind)).toEqual(["failed", "done"]); // the worker stopped too
  });

  it("ends a call whose listener throws", async () => {
    const boom = new Error("boom");
    const onProgress = (): never => {
      throw boom;
    };
    expect(await failure(model.upscale(testImage(6, 5, 3, 3), { onProgress }))).toBe(boom);
  });

  it("stops loading", async () => {
    const abort = new AbortController();
    const { signal } = abort;
    const loading = loadModelInWorker(`${server.address}/model`, {
      worker,
      signal,
      onProgress: () => abort.abort(),
    });
    expect(await failure(loading)).toBe(signal.reason);
  });

  it("frees what the model had, once", async () => {
    const gpu = await requestNodeGpu();
    const local = localWorker(async () => borrowed(gpu));
    const other = await loadModelInWorker(`${server.address}/model`, { worker: local });
    expect(gpu.memory.use().currentBytes).toBeGreaterThan(10_000);
    const call = failure(other.upscale(testImage(4, 4)));
    other.dispose();
    other.dispose();
    const error = await call;
    expect(error).toBeInstanceOf(DeviceError);
    expect(error.message).toContain("this model was disposed");
    expect((await failure(other.upscale(testImage(4, 4)))).message).toBe(error.message);
    await expect.poll(() => gpu.memory.use().currentBytes, { timeout: 60_000 }).toBe(0);
    local.close();
    gpu.destroy();
  });
});

describe("what ends a model from outside", () => {
  it("a lost device", async () => {
    const gpu = await requestNodeGpu();
    const local = localWorker(async () => gpu);
    const other = await loadModelInWorker(`${server.address}/model`, { worker: local });
    gpu.device.destroy();
    const lost = await other.lost;
    expect(lost).toBeInstanceOf(DeviceLostError);
    expect(lost).toMatchObject({ name: "DeviceLostError", reason: "destroyed" });
    const error = await failure(other.upscale(testImage(4, 4)));
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error.message).toBe(lost.message);
    other.dispose();
    local.close();
  });

  it("a worker whose script fails", async () => {
    const silent = Object.assign(new EventTarget(), { postMessage: () => {} });
    const loading = failure(loadModelInWorker("http://host/model", { worker: silent }));
    silent.dispatchEvent(Object.assign(new Event("error"), { message: "Uncaught x" }));
    expect((await loading).message).toBe(
      "worker: the script must run without errors, got Uncaught x. " +
        'Check that it can be loaded and is a module: { type: "module" }',
    );
  });

  it("a worker whose script is not there", async () => {
    const absent = Object.assign(new EventTarget(), { postMessage: () => {} });
    const loading = failure(loadModelInWorker("http://host/model", { worker: absent }));
    absent.dispatchEvent(new Event("error"));
    expect((await loading).message).toMatch(
      /got no message.*has not built it, pass one as worker$/,
    );
  });

  it("a function's worker ends with its model, also when loading fails", async () => {
    const ended: string[] = [];
    const own = Object.assign(new EventTarget(), {
      postMessage: () => {},
      terminate: () => ended.push("terminated"),
    });
    const loading = failure(loadModelInWorker("http://host/model", { worker: () => own }));
    own.dispatchEvent(new Event("error"));
    await loading;
    expect(ended).toEqual(["terminated"]);
  });
});

describe("sources", () => {
  /** What a worker is sent to load. */
  async function sentSource(source: WorkerModelSource): Promise<unknown> {
    const sent: unknown[] = [];
    const abort = new AbortController();
    const recorder = Object.assign(new EventTarget(), {
      postMessage: (message: unknown) => {
        const { port } = message as { readonly port: MessagePort };
        port.addEventListener("message", ({ data }) => {
          sent.push((data as { readonly source?: unknown }).source);
          abort.abort();
        });
        port.start();
      },
    });
    const error = await failure(
      loadModelInWorker(source, { worker: recorder, signal: abort.signal }),
    );
    expect(error).toBe(abort.signal.reason);
    return sent[0];
  }

  it("have absolute addresses", async () => {
    expect(await sentSource("http://host/a/../model")).toEqual({ model: "http://host/model" });
    expect(
      await sentSource({ model: new URL("http://host/m"), checkpoint: "http://host/c.pkl" }),
    ).toEqual({ model: "http://host/m", checkpoint: "http://host/c.pkl" });
    const pieces = { clip: "http://host/clip", checkpoint: "http://host/c.pkl" };
    const ofDegradation = { deNet: new URL("http://host/d.pth"), mem: "http://host/a/../m.pkl" };
    expect(await sentSource({ model: "http://host/m", ...pieces, ...ofDegradation })).toEqual({
      model: "http://host/m",
      ...pieces,
      deNet: "http://host/d.pth",
      mem: "http://host/m.pkl",
    });
  });

  it("in pieces are all asked for by the worker", async () => {
    const at = (name: string): string => `${server.address}/model/${name}`;
    const source = { model: `${server.address}/model`, checkpoint: at("c.pkl"), mem: at("m.pkl") };
    const error = await failure(
      loadModelInWorker({ ...source, deNet: at("d.pth") }, { worker, precision: "f32" }),
    );
    const own = await failure(
      loadModel({ ...source, deNet: at("d.pth") }, { gpu: setup.gpu, precision: "f32" }),
    );
    expect(error.message).toBe(own.message);
    expect(error.message).toContain("the degradation estimator");
  });

  it("take the paths of chosen files along", async () => {
    const file = new Blob(["{}"]) as File;
    Object.defineProperty(file, "webkitRelativePath", { value: "m/vae/config.json" });
    expect(await sentSource([file])).toMatchObject({
      model: { files: [{ size: 2 }], paths: ["m/vae/config.json"] },
    });
  });

  it("are refused when they are functions", async () => {
    const files = { name: "x", open: async () => null } as unknown as FileSystemDirectoryHandle;
    const error = await failure(loadModelInWorker(files, { worker }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain("worker: a source must be a URL, files or a handle");
  });
});
