/** The inference thread's answers, with the engine of the command line's tests, and what becomes of a thread that dies. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { ThreadInference } from "../../fleet/inference/inference.ts";
import type { FromInference, PictureTask, ToInference } from "../../fleet/inference/protocol.ts";
import { serveTasks } from "../../fleet/inference/serve.ts";
import { DeviceLostError } from "../../src/gpu/errors.ts";
import type { FakeOptions } from "../cli/support/fake-engine.ts";
import { fakeEngine } from "../cli/support/fake-engine.ts";
import { useFolder } from "../cli/support/terminal.ts";
import { makePictures } from "./support.ts";

const folder = useFolder();
const SETUP = { model: "model", dawnToggles: [], mostPixels: 1e6 };

/** Tasks for a made-up engine. */
async function served(options: FakeOptions = {}, setup: Partial<typeof SETUP> = {}) {
  await makePictures(folder.path, 1);
  const engine = fakeEngine(options);
  const waiting = new Map<number, (message: FromInference) => void>();
  /** Numbers of tasks that the GPU has begun, and of those that have ended. */
  const told: string[] = [];
  const take = serveTasks({ ...SETUP, ...setup }, { ...engine, onNote() {} }, (message) => {
    if (message.kind === "note") return;
    told.push(`${message.kind} ${message.id}`);
    if (message.kind !== "begun") waiting.get(message.id)?.(message);
  });
  let next = 0;
  const task = (others: Partial<PictureTask> = {}) => {
    const id = next++;
    const answer = new Promise<FromInference>((resolve) => waiting.set(id, resolve));
    const input = join(folder.path, "p0000.png");
    const output = join(folder.path, `result-${id}`);
    take({ kind: "task", id, task: { input, output, format: "png", options: [], ...others } });
    return { id, answer };
  };
  return { engine, told, take: (message: ToInference) => take(message), task };
}

describe("a task", () => {
  it("makes a file of a file; the model is loaded once", async () => {
    const { engine, task } = await served();
    const first = await task({ options: ["--scale", "2"] }).answer;
    expect(first).toMatchObject({ kind: "done", report: { outputSize: [48, 48] } });
    expect(await task().answer).toMatchObject({ kind: "done", report: { outputSize: [96, 96] } });
    expect(engine.events.filter((event) => /^(openGpu|load)/.test(event))).toEqual([
      "openGpu",
      "load model auto",
    ]);
    expect((await readdir(folder.path)).toSorted()).toEqual(["p0000.png", "result-0", "result-1"]);
  });

  it("has the sizes that the model says, which are read once", async () => {
    const model = join(folder.path, "model");
    await mkdir(model);
    const config = (upscale: number) =>
      writeFile(join(model, "rcod_config.json"), JSON.stringify({ upscale }));
    await config(4);
    const { task } = await served({}, { model });
    const jpeg = { format: "jpeg" };
    expect(await task(jpeg).answer).toMatchObject({ kind: "done" });
    await config(4000); // more than a JPEG may have
    expect(await task(jpeg).answer).toMatchObject({ kind: "done" });
  });

  it("says when the GPU works on it, which comes after the one before", async () => {
    const { told, task } = await served({ stageMs: 20 });
    const first = task().answer;
    await expect.poll(() => told, { interval: 2 }).toEqual(["begun 0"]);
    await Promise.all([first, task().answer]);
    expect(told.filter((text) => text.startsWith("begun"))).toEqual(["begun 0", "begun 1"]);
    expect(told).toHaveLength(4);
  });

  it("gets a model in another precision where it asks for one", async () => {
    const { engine, task } = await served();
    await task().answer;
    await task({ options: ["--precision", "f32"] }).answer;
    expect(engine.events.filter((event) => /^(load|dispose)/.test(event))).toEqual([
      "load model auto",
      "dispose",
      "load model f32",
    ]);
  });

  it("fails with the device, and the next one gets a new device", async () => {
    let calls = 0;
    const { engine, task } = await served({
      onUpscale() {
        if (calls++ === 0) throw new DeviceLostError("unknown", "the driver was reset");
      },
    });
    expect(await task().answer).toMatchObject({
      kind: "failed",
      why: "device",
      message: expect.stringContaining("the driver was reset"),
    });
    expect(await task().answer).toMatchObject({ kind: "done" });
    expect(engine.events.filter((event) => /^(openGpu|destroy)/.test(event))).toEqual([
      "openGpu",
      "destroy",
      "openGpu",
    ]);
  });

  it("says what a failure concerns", async () => {
    const { task } = await served({}, { mostPixels: 500 });
    await writeFile(join(folder.path, "text"), "no picture");
    for (const [others, why, message] of [
      [{}, "refused", "24 × 24 pixels, more than the 0.0005 million"],
      [{ input: join(folder.path, "text") }, "picture", "not an image"],
      [{ input: join(folder.path, "none") }, "picture", "no such file"],
      [{ options: ["--scale", "9"] }, "picture", "options that do not parse"],
    ] as const) {
      const answer = await task(others).answer;
      expect(answer).toMatchObject({ why, message: expect.stringContaining(message) });
    }
  });

  it("says that its result cannot be written, without the name it was to have", async () => {
    const { task } = await served();
    const output = join(folder.path, "p0000.png", "result");
    expect(await task({ output }).answer).toMatchObject({
      why: "place",
      message: "a part of its path is a file, not a folder",
    });
  });

  it("concerns all others where the model does not load", async () => {
    const { task } = await served({
      onLoad() {
        throw new Error("no such model");
      },
    });
    expect(await task().answer).toMatchObject({ why: "model", message: "no such model" });
  });

  it("ends when it is aborted, and leaves no file", async () => {
    const { take, task } = await served({ stageMs: 20 });
    const { id, answer } = task();
    setTimeout(() => take({ kind: "abort", id }), 30);
    expect(await answer).toMatchObject({ why: "aborted" });
    expect(await readdir(folder.path)).toEqual(["p0000.png"]);
  });
});

describe("a thread", () => {
  const TASK: PictureTask = { input: "a", output: "b", format: undefined, options: [] };

  /** Inference by a script that answers a task with `statement`. */
  async function threaded(statement: string): Promise<ThreadInference> {
    const script = join(folder.path, "thread.mjs");
    await writeFile(
      script,
      `import { parentPort, workerData } from "node:worker_threads";
       let count = 0;
       parentPort.on("message", ({ kind, id, task }) => {
         const answer = (message) => parentPort.postMessage({ id, ...message });
         ${statement}
       });`,
    );
    const inference = new ThreadInference(SETUP, () => {}, pathToFileURL(script), 2000);
    onTestFinished(() => inference.close());
    return inference;
  }

  const never = new AbortController().signal;

  it("that dies fails its task, and the next task gets a new one", async () => {
    const inference = await threaded(
      `if (task.input === "deadly") process.exit(7);
       answer({ kind: "done", report: { count: ++count } });`,
    );
    expect(await inference.upscale(TASK, never)).toEqual({ count: 1 });
    await expect(inference.upscale({ ...TASK, input: "deadly" }, never)).rejects.toMatchObject({
      why: "device",
      message: "the inference thread ended",
    });
    expect(await inference.upscale(TASK, never)).toEqual({ count: 1 });
  });

  it("that throws says why", async () => {
    const inference = await threaded(`throw new Error("out of memory");`);
    await expect(inference.upscale(TASK, never)).rejects.toMatchObject({
      why: "device",
      message: "the inference thread failed: out of memory",
    });
  });

  it("hears of an abort; one that is deaf is given up, or ends with close", async () => {
    const inference = await threaded(
      `if (kind === "abort") answer({ kind: "failed", why: "aborted", message: "interrupted" });
       else if (task.input === "deaf") for (;;);`,
    );
    const stop = new AbortController();
    const working = inference.upscale(TASK, stop.signal);
    stop.abort();
    await expect(working).rejects.toMatchObject({ why: "aborted" });
    const late = new AbortController();
    const abandoned = inference.upscale({ ...TASK, input: "deaf" }, late.signal);
    late.abort();
    await expect(abandoned).rejects.toMatchObject({
      message: expect.stringContaining("not answer"),
    });
    const deaf = inference.upscale({ ...TASK, input: "deaf" }, never);
    void deaf.catch(() => {});
    await inference.close();
    await expect(deaf).rejects.toMatchObject({ why: "aborted" });
    await expect(inference.upscale(TASK, never)).rejects.toMatchObject({ why: "aborted" });
  });
});
