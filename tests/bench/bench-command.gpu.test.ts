/** `rcod bench` from options to text, JSON and exit code, on one small case. */
import { describe, expect, it } from "vitest";
import type { BenchOptions } from "../../cli/bench/command.ts";
import { runBench } from "../../cli/bench/run.ts";
import { recordingTerminal } from "../cli/support/terminal.ts";

async function bench(options: Partial<BenchOptions>) {
  const terminal = recordingTerminal();
  const exitCode = await runBench(
    {
      suite: "kernels",
      dawnToggles: [],
      scale: "small",
      minMs: 0.1,
      samples: 3,
      precision: "f32",
      ...options,
    },
    terminal,
  );
  return { exitCode, text: terminal.stdout.join("\n"), stderr: terminal.stderr };
}

describe("runBench", () => {
  it("prints the clock, the roofline and a line per variant", async () => {
    const { exitCode, text } = await bench({ filter: "add 320" });
    expect(exitCode, text).toBe(0);
    expect(text).toMatch(/^rcod \S+, .+, f32, \d{4}-\d\d-\d\dT/);
    expect(text).toMatch(/^clock: (timestamp-query|wall) \(/m);
    expect(text).toMatch(
      /^roofline in this run: copy [\d.]+ GB\/s, f32 multiply-add [\d.]+ GFLOP/m,
    );
    expect(text).toMatch(/^~add 320 @64² +0 +quad \* +ok 0\.\d\d .+ %$/m);
    expect(text).toMatch(/^1 cases, 0 failed$/m);
  });

  it("prints one JSON object with everything that a result needs", async () => {
    const { exitCode, text } = await bench({
      filter: "layernorm 256",
      json: true,
      precision: "f16",
    });
    expect(exitCode, text).toBe(0);
    const record = JSON.parse(text) as { readonly cases: readonly object[] };
    expect(record).toMatchObject({
      suite: "kernels",
      version: expect.any(String),
      date: expect.stringMatching(/^\d{4}-/),
      runtime: expect.stringMatching(/^(Node|Deno) /),
      adapter: { isSoftware: expect.any(Boolean) },
      precision: "f16",
      clock: expect.any(String),
      roofline: { copyGbps: expect.any(Number), fmaGflops: expect.any(Number) },
      failed: 0,
    });
    expect(record.cases).toEqual([
      expect.objectContaining({
        case: "layernorm 256×1280",
        count: 15,
        variants: [true, false].map((selected) =>
          expect.objectContaining({ selected, check: expect.objectContaining({ pass: true }) }),
        ),
      }),
    ]);
  });

  it("fails where no case has the name", async () => {
    const { exitCode, stderr } = await bench({ filter: "nothing like this" });
    expect(exitCode).toBe(1);
    expect(stderr).toEqual(["rcod: no case has this name"]);
  });

  it("knows which variants there are", async () => {
    await expect(bench({ variant: { conv3d: "naive" } })).rejects.toThrow(
      /no kernel "conv3d". Kernels: conv2d, linear/,
    );
    await expect(bench({ variant: { conv2d: "fast" } })).rejects.toThrow(
      /conv2d has no variant "fast". Variants: naive, /,
    );
  });
});
