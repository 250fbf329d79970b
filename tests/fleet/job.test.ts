/** Jobs as a queue carries them: words, ids, and what is refused. */
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import type { FleetJob, JobOptions } from "../../fleet/job.ts";
import { addJobOptions, checkedJob, jobId, optionWords, parseWords } from "../../fleet/job.ts";

const JOB: FleetJob = {
  input: "/pictures/a.png",
  output: "/results/a-x4.png",
  size: 1000,
  version: "sha256:00",
  model: "11",
  options: [],
};

const parsed = (...words: readonly string[]): JobOptions => {
  const command = addJobOptions(new Command("submit")).exitOverride();
  command.parse(words, { from: "user" });
  return command.opts<JobOptions>();
};

describe("options", () => {
  it("are the same words however they were written", () => {
    const words = ["--scale", "2", "--format", "png", "--realism", "0.5", "--precision", "f32"];
    const wanted = optionWords(parsed(...words));
    expect(wanted).toEqual(words);
    const others = "--precision=f32 --realism .5 --format png --scale 2.0".split(" ");
    expect(optionWords(parsed(...others))).toEqual(wanted);
    expect(optionWords(parsed())).toEqual([]);
    expect(optionWords(parsed("--profile", "keep", "--precision", "auto"))).toEqual([]);
  });

  it.each([
    ["--scale", "1.5"],
    ["--fit", "640x480"],
    ["--width", "640", "--height", "480"],
    ["--max-megapixels", "2"],
    ["--format", "webp", "--quality", "80"],
    ["--lossless"],
    ["--depth", "16"],
    ["--profile", "srgb"],
    ["--strip"],
    ["--realism", "auto"],
    ["--timestep", "12.5"],
    ["--color", "wavelet"],
    ["--seed", "7", "--tile", "128", "--region", "512"],
    ["--reference"],
  ])("%s come back from their words", (...words) => {
    const options = parsed(...words);
    expect(parseWords(optionWords(options))).toEqual(options);
  });

  it.each([
    [["--scale", "9"], "It must be a number from 1 to 4"],
    [["--scale", "2", "--width", "10"], "cannot be used with"],
    [["--out", "/etc/passwd"], "unknown option '--out'"],
    [["--model", "/other"], "unknown option '--model'"],
    [["picture.png"], "too many arguments"],
    [["--help"], "unknown option '--help'"],
    [["--quality", "3", "--format", "png"], "--quality is for JPEG, WebP and AVIF"],
  ])("%j is refused", (words, message) => {
    expect(() => parseWords(words)).toThrow(message);
  });
});

describe("ids", () => {
  it("are equal for equal jobs alone", () => {
    const id = jobId(JOB);
    expect(id).toMatch(/^j[0-9a-f]{40}$/);
    expect(jobId({ ...JOB })).toBe(id);
    expect(jobId({ ...JOB, replace: true })).toBe(id); // to replace a result is the same work
    const others: readonly Partial<FleetJob>[] = [
      { input: "/pictures/b.png" },
      { output: "/results/b-x4.png" },
      { size: 1001 },
      { version: "sha256:01" },
      { model: "12" },
      { options: ["--scale", "2"] },
    ];
    for (const other of others) expect(jobId({ ...JOB, ...other })).not.toBe(id);
  });
});

describe("what a queue hands out", () => {
  it("is a job or refused", () => {
    expect(checkedJob(JOB)).toEqual(JOB);
    for (const data of [null, undefined, 3, "job", [], {}, { ...JOB, input: 7 }]) {
      expect(() => checkedJob(data)).toThrow("job: input must be a text");
    }
    expect(() => checkedJob({ ...JOB, size: -1 })).toThrow("job: size must be a number of bytes");
    expect(() => checkedJob({ ...JOB, options: "--scale" })).toThrow(
      'job: options must be a list of words, got "--scale"',
    );
  });
});
