/** One job from input to result, with an inference that copies: what is written when, and what is refused. */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import type { JobReport } from "../../cli/upscale/report.ts";
import { RefusedError, StorageError, WrongWorkerError } from "../../fleet/errors.ts";
import { fileVersion } from "../../fleet/file-version.ts";
import type { Inference } from "../../fleet/inference/inference.ts";
import { InferenceError } from "../../fleet/inference/inference.ts";
import type { FleetJob } from "../../fleet/job.ts";
import { Storages } from "../../fleet/storage/storages.ts";
import type { JobTools } from "../../fleet/worker/one-job.ts";
import { doJob } from "../../fleet/worker/one-job.ts";
import { useFolder } from "../cli/support/terminal.ts";

const folder = useFolder();
const never = new AbortController().signal;

/** Copies, after `before`. */
function copying(before: () => Promise<void> = async () => {}): Inference & { calls: number } {
  const inference = {
    calls: 0,
    async upscale({ input, output }: { readonly input: string; readonly output: string }) {
      inference.calls++;
      await before();
      await writeFile(output, await readFile(input), { flag: "wx" });
      return { outputSize: [8, 4], frames: 2 } as unknown as JobReport;
    },
    async close() {},
  };
  return inference;
}

const toolsWith = (inference: Inference, others: Partial<JobTools> = {}): JobTools => ({
  worker: "w",
  storages: new Storages(),
  inference,
  model: "m",
  mostBytes: 1000,
  allowed: [],
  ...others,
});

let job: FleetJob;
let output = "";
beforeEach(async () => {
  const input = join(folder.path, "a.png");
  output = join(folder.path, "out", "a-x4.png");
  await writeFile(input, "picture");
  const version = await fileVersion(input, "sha256");
  job = { input, output, size: 7, version, model: "m", options: [] };
});

const names = () => readdir(join(folder.path, "out")).catch(() => []);

it("writes the result and says what it was", async () => {
  const result = await doJob(job, toolsWith(copying()), never);
  expect(result).toMatchObject({ worker: "w", outcome: "written", pixels: 64 });
  expect(await readFile(output, "utf8")).toBe("picture");
  expect(await names()).toEqual(["a-x4.png"]);
});

it("computes nothing where the result is there, unless it is to be replaced", async () => {
  await mkdir(join(folder.path, "out"));
  await writeFile(output, "before");
  const inference = copying();
  const tools = toolsWith(inference);
  expect(await doJob(job, tools, never)).toMatchObject({ outcome: "there", pixels: 0 });
  expect([inference.calls, await readFile(output, "utf8")]).toEqual([0, "before"]);
  expect(await doJob({ ...job, replace: true }, tools, never)).toMatchObject({
    outcome: "written",
  });
  expect([await readFile(output, "utf8"), await names()]).toEqual(["picture", ["a-x4.png"]]);
});

it("leaves the result of who was quicker, and nothing of its own", async () => {
  const inference = copying(() => writeFile(output, "quicker"));
  expect(await doJob(job, toolsWith(inference), never)).toMatchObject({ outcome: "there" });
  expect([await readFile(output, "utf8"), await names()]).toEqual(["quicker", ["a-x4.png"]]);
});

it("writes nothing once it is aborted, be the picture ready or not", async () => {
  const controller = new AbortController();
  const inference = copying(async () => controller.abort());
  await expect(doJob(job, toolsWith(inference), controller.signal)).rejects.toThrow();
  expect(await names()).toEqual([]);
});

it("says of a full disk which result had no room", async () => {
  const inference = copying(async () => {
    throw new InferenceError("place", "the disk is full");
  });
  const failing = doJob(job, toolsWith(inference), never);
  await expect(failing).rejects.toBeInstanceOf(StorageError);
  await expect(failing).rejects.toThrow(`cannot write ${output}: the disk is full`);
});

it("leaves nothing of a picture that fails", async () => {
  const inference = copying(async () => {
    await writeFile(join(folder.path, "out", "other"), "");
    throw new InferenceError("picture", "not an image");
  });
  await expect(doJob(job, toolsWith(inference), never)).rejects.toThrow("not an image");
  expect(await names()).toEqual(["other"]);
});

it.each([
  [
    "words that do not parse",
    () => ({ ...job, options: ["--scale", "9"] }),
    "options that do not parse",
  ],
  ["what is no job", () => ({ ...job, size: "7" }), "job: size must be a number of bytes"],
  ["another size", () => ({ ...job, size: 8 }), "has changed since it was submitted"],
  ["other content", () => ({ ...job, version: "sha256:00" }), "has changed since it was submitted"],
  ["another time", () => ({ ...job, version: "time:1" }), "has changed since it was submitted"],
  [
    "an input elsewhere",
    () => ({ ...job, input: "/etc/passwd" }),
    "is not below what this worker was allowed",
  ],
  [
    "a way out",
    () => ({ ...job, output: `${folder.path}/../a.png` }),
    "is not below what this worker was allowed",
  ],
])("refuses %s for good, before anything is computed", async (_, data, message) => {
  const inference = copying();
  const failing = doJob(data(), toolsWith(inference, { allowed: [folder.path] }), never);
  await expect(failing).rejects.toBeInstanceOf(RefusedError);
  await expect(failing).rejects.toThrow(message);
  expect([inference.calls, await names()]).toEqual([0, []]);
});

it("refuses files that are too large", async () => {
  const tools = toolsWith(copying(), { mostBytes: 6 });
  await expect(doJob(job, tools, never)).rejects.toBeInstanceOf(RefusedError);
});

it("takes no job for another model", async () => {
  const tools = toolsWith(copying(), { model: "n" });
  await expect(doJob(job, tools, never)).rejects.toBeInstanceOf(WrongWorkerError);
});
