/** `rcod verify` on files: what it prints and how it ends. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { VerifyOptions } from "../../cli/verify/command.ts";
import { runVerify } from "../../cli/verify/run.ts";
import { KERNEL_VARIANTS } from "../../src/kernels/variant-choice.ts";
import { recordingTerminal } from "../cli/support/terminal.ts";
import { goldenBytes, withChangedValue } from "./golden-fixtures.ts";

const goldens = fileURLToPath(new URL("../fixtures/goldens/", import.meta.url));
const RESIZE = "ops_resize_time.safetensors";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "rcod-verify-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(
  path: readonly string[],
  options: Partial<VerifyOptions> = {},
  precisions: "both" | "f32" = "f32",
) {
  const terminal = recordingTerminal();
  const exitCode = await runVerify(
    { path, dawnToggles: [], ...(precisions === "f32" && { precision: "f32" }), ...options },
    terminal,
  );
  return { exitCode, out: terminal.stdout, notes: terminal.stderr };
}

interface Printed {
  readonly cases: readonly Record<string, unknown>[];
  readonly failed: number;
  readonly skipped: readonly string[];
  readonly adapter: string;
}

test("--json prints one object, and nothing else on stdout", async () => {
  const { exitCode, out } = await run([join(goldens, RESIZE)], { json: true });
  expect(exitCode).toBe(0);
  expect(out.length).toBe(1);
  const printed = JSON.parse(out[0] ?? "") as Printed;
  expect(Object.keys(printed)).toEqual(["cases", "failed", "skipped", "adapter"]);
  expect(Object.keys(printed.cases[0] ?? {})).toEqual([
    "file",
    "case",
    "output",
    "maxAbs",
    "relRms",
    "limit",
    "pass",
  ]);
  expect(printed.cases[0]).toMatchObject({
    file: RESIZE,
    case: "nearest_x2_a",
    output: "y",
    maxAbs: 0,
    pass: true,
  });
  expect(printed.failed).toBe(0);
});

test("without paths: the package's own files, one sentence, and only what fails", async () => {
  const options = { filter: "ops_resize_time" };
  const { exitCode, out } = await run([], options);
  expect(exitCode).toBe(0);
  expect(out).toEqual([
    expect.stringMatching(/^adapter: ./),
    expect.stringMatching(
      /^(This GPU|The software adapter) computes right: all 3 outputs of 3 cases, 0 failed in .*, f32$/,
    ),
  ]);
});

test("both precisions tell which row is which", async () => {
  const options = { json: true, filter: "nearest_x2_a" };
  const { out } = await run([join(goldens, RESIZE)], options, "both");
  const { cases } = JSON.parse(out[0] ?? "") as Printed;
  expect(cases.map(({ precision }) => precision)).toEqual(["f32", "f16"]);
});

test("a folder with a failing, a broken and a full-size file: exit code 1, a table, a sum", async () => {
  const bad = withChangedValue(goldenBytes(RESIZE), "nearest_x2_a/outputs/y", 1);
  writeFileSync(join(folder, "a_bad.safetensors"), bad);
  writeFileSync(join(folder, "b_broken.safetensors"), "no tensors");
  writeFileSync(join(folder, "full_clip.safetensors"), bad);
  writeFileSync(join(folder, "notes.txt"), "not a golden file");
  const { exitCode, out } = await run([folder], { filter: "nearest" });
  expect(exitCode).toBe(1);
  expect(out.filter((line) => line.endsWith("FAIL")).map((line) => line.split(/\s+/, 2))).toEqual([
    ["a_bad", "nearest_x2_a"],
    ["b_broken", "f32"],
  ]);
  expect(out.find((line) => line.includes("full_clip"))).toMatch(/skipped/);
  expect(out.at(-1)).toMatch(/^6 outputs of 6 cases, 2 failed, 1 files skipped in /);
});

test.each([
  ["a file that is not there", () => join(folder, "absent.safetensors")],
  ["a folder without golden files", () => mkdtempSync(join(folder, "empty-"))],
])("%s fails", async (_name, path) => {
  const { exitCode, out } = await run([path()], { json: true });
  expect(exitCode).toBe(1);
  expect((JSON.parse(out[0] ?? "") as Printed).failed).toBe(1);
});

test.each([true, false])(
  "a filter that fits nothing says so and ends with 2 (json: %s)",
  async (json) => {
    const { exitCode, notes } = await run([join(goldens, RESIZE)], {
      filter: "no such case",
      json,
    });
    expect(exitCode).toBe(2);
    expect(notes).toEqual(['rcod: no case contains "no such case"; nothing was run']);
  },
);

test("forced variants: a round for each choice, and what was refused is told", async () => {
  const rounds = (KERNEL_VARIANTS["layerNorm"] ?? []).map((layerNorm) => ({
    layerNorm,
    linear: "tiled-split",
  }));
  const options = { filter: "timestep_mlp", variant: ["layerNorm=all", "linear=tiled-split"] };
  const { exitCode, out } = await run([join(goldens, RESIZE)], options);
  expect(exitCode).toBe(0);
  expect(out.filter((line) => line.startsWith("variants: "))).toEqual(
    rounds.map(({ layerNorm }) => `variants: layerNorm=${layerNorm}, linear=tiled-split`),
  );
  const refusal = /^ {2}\d steps not as linear=tiled-split: tiled-split is for few tiles/;
  expect(out.filter((line) => refusal.test(line))).toHaveLength(2 * rounds.length);
  const json = await run([join(goldens, RESIZE)], { ...options, json: true });
  const printed = JSON.parse(json.out[0] ?? "") as Printed & {
    readonly refused: Readonly<Record<string, number>>;
  };
  expect(printed.cases.map(({ variants }) => variants)).toEqual(rounds);
  expect(Object.values(printed.refused)).toEqual([rounds.length, rounds.length]);
  const other = await run([join(goldens, RESIZE)], {
    filter: "timestep_mlp",
    variant: ["linear=register-1x2"],
  });
  expect(other.out).toContain("  2 steps as linear=register-1x2");
});
