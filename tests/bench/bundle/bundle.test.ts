/** What the bundle does on a machine: which adapter it takes, which parts it runs, what it makes of failures and of little time. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleBox } from "../../../bench/bundle/make.ts";
import { PLAIN_NODE } from "../../support/plain-node.ts";

/** Stands for the built project: finds an adapter in one environment, and tells what it was asked for. */
const PROBE = `process.exit(process.env[process.env.FAKE_ADAPTER ?? ""] ? 0 : 3);`;
const RCOD = `
  const args = process.argv.slice(2);
  if (args.includes(process.env.FAKE_CRASH)) {
    console.error("driver crashed");
    process.exit(139);
  }
  if (args.includes(process.env.FAKE_HANG)) await new Promise((resolve) => setTimeout(resolve, 60_000));
  const without = process.env.RCOD_WITHOUT_FEATURES ?? "";
  const adapter = {
    vendor: "nvidia",
    architecture: "hopper",
    device: "NVIDIA H200",
    description: "",
    isSoftware: process.env.RCOD_SOFTWARE_ADAPTER === "1",
    matrixUnits: process.env.FAKE_MATRIX && without === "" ? { M: 16 } : null,
    matrixRefusal: "not here",
    without,
  };
  const opClasses = [{ label: "conv2d/own", steps: 2, durationMs: 4, gflops: 1000, gbps: 48 }];
  console.log(JSON.stringify({ args, adapter, ...(args.includes("model") && { opClasses }) }));`;
/** Stands for Python: PyTorch's part is ended when its second mode hangs. */
const PYTHON = `#!/bin/sh
  if [ "$1" = -c ]; then exit "$FAKE_TORCH"; fi
  echo '{"modes":{"eager":{}}}'
  exec sleep 60
`;

interface Part {
  readonly part: string;
  readonly mode: string | null;
  readonly exitCode: number | null;
  readonly timedOut?: boolean;
  readonly stderr?: string;
  readonly result?: {
    readonly args: readonly string[];
    readonly adapter: { readonly without: string };
  };
}
interface Outcome {
  readonly exitCode: number;
  readonly stderr: string;
  readonly record: {
    readonly adapterSearch: readonly { readonly name: string; readonly exitCode: number }[];
    readonly parts: readonly Part[];
    readonly skipped: readonly { readonly what: string; readonly reason: string }[];
    readonly leftOut: readonly { readonly part: string; readonly mode: string | null }[];
    readonly failed: readonly string[];
    readonly bounds: readonly unknown[];
  } | null;
}

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rcod-bundle-"));
  await mkdir(join(folder, "dist", "cli"), { recursive: true });
  await mkdir(join(folder, "bin"));
  await bundleBox(folder);
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(join(folder, "dist", "cli", "probe.js"), PROBE);
  await writeFile(join(folder, "bin", "rcod.js"), RCOD);
  await writeFile(join(folder, "python"), PYTHON, { mode: 0o755 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const GPU = { FAKE_ADAPTER: "PATH", PATH: "/usr/bin:/bin", FAKE_TORCH: "1" };

async function box(args: readonly string[], env: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve) => {
    const python = ["--python", join(folder, "python")];
    const command = [join(folder, "bench-box.mjs"), ...python, ...args];
    const child = execFile(PLAIN_NODE, command, { env, cwd: folder }, (_error, stdout, stderr) => {
      const record = stdout === "" ? null : (JSON.parse(stdout) as Outcome["record"]);
      resolve({ exitCode: child.exitCode ?? -1, stderr, record });
    });
  });
}

/** `<part> <mode>: <arguments of rcod>` */
const lines = (record: Outcome["record"]): readonly string[] =>
  (record?.parts ?? []).map(({ part, mode, result }) => {
    const args = result?.args.join(" ").replaceAll(`${folder}/`, "").replace(" --json", "") ?? "";
    return `${part} ${mode}: ${args}`;
  });

describe("the bundle", () => {
  it("runs all parts in all modes, correctness first, and then what is most wanted", async () => {
    const { exitCode, record } = await box(["--samples", "2"], { ...GPU, FAKE_MATRIX: "1" });
    expect(record?.failed).toEqual([]);
    expect(exitCode).toBe(0);
    expect(record?.adapterSearch).toEqual([{ name: "system", exitCode: 0 }]);
    const exact = "--dawn-toggles=-timestamp_quantization";
    const f16 = `${exact},allow_unsafe_apis,vulkan_enable_f16_on_nvidia`;
    const full = "--model configs/sd21-clip-l --recipe-weights";
    const forced =
      "--variant conv2d=matrix-patch-8 --variant linear=matrix --variant attention=matrix";
    expect(lines(record)).toEqual([
      `doctor default: ${exact} doctor`,
      `doctor f16: ${f16} doctor`,
      `doctor matrix: ${f16} doctor`,
      `parity default: ${exact} verify goldens`,
      `parity f16: ${f16} verify goldens`,
      `parity matrix: ${f16} verify goldens --precision f16 ${forced}`,
      `model default: ${exact} bench --suite model --samples 2 ${full}`,
      `model f16: ${f16} bench --suite model --samples 2 ${full}`,
      `model matrix: ${f16} bench --suite model --precision f16 --samples 2 ${full}`,
      `kernels matrix: ${f16} bench --suite kernels --precision f16 --samples 2 --budget 30`,
      `kernels f16: ${f16} bench --suite kernels --samples 2 --budget 30`,
      `kernels default: ${exact} bench --suite kernels --samples 2 --budget 30`,
      `tune default: ${exact} tune --model configs/sd21-clip-l --budget 30`,
      `tune f16: ${f16} tune --model configs/sd21-clip-l --budget 30`,
      `tune matrix: ${f16} tune --model configs/sd21-clip-l --precision f16 --budget 30`,
      `tuned default: ${exact} bench --suite model --samples 2 ${full}`,
      `tuned f16: ${f16} bench --suite model --samples 2 ${full}`,
      `tuned matrix: ${f16} bench --suite model --precision f16 --samples 2 ${full}`,
    ]);
    // The units are off where halves alone are measured, and taken where they are.
    const without = (mode: string): string | undefined =>
      record?.parts.find((part) => part.mode === mode)?.result?.adapter.without;
    expect([without("f16"), without("matrix")]).toEqual([
      "chromium-experimental-subgroup-matrix",
      "",
    ]);
  });

  it("leaves the matrix units and PyTorch out where there are none, and says why", async () => {
    const { exitCode, record } = await box(["--modes", "matrix"], GPU);
    expect(exitCode).toBe(0);
    expect(record?.skipped).toMatchObject([
      { what: "matrix", reason: "no matrix units: not here" },
      { what: "pytorch" },
    ]);
    expect(lines(record)).toHaveLength(1);
  });

  it("holds the kernels of a model against the card's peaks", async () => {
    const { record, stderr } = await box(["--modes", "default", "--parts", "model"], GPU);
    // 4 GFLOP: 2 G multiply-adds of 132 · 128 · 1.98 G a second.
    expect(record?.bounds).toMatchObject([
      {
        part: "model",
        mode: "default",
        card: { name: "H200 (Hopper)", source: "vendor", code: "ga102" },
        kernels: [{ label: "conv2d/own", measuredMs: 4, limit: "arithmetic", basis: "work" }],
      },
    ]);
    expect(stderr).toMatch(/conv2d\/own +2 +4\.000 +0\.060 +66\.91  arithmetic/);
  });

  it("falls back to the software adapter, and to the small model there", async () => {
    const env = { ...GPU, FAKE_ADAPTER: "RCOD_SOFTWARE_ADAPTER" };
    const { exitCode, record } = await box(["--modes", "default", "--parts", "model"], env);
    expect(exitCode).toBe(0);
    expect(record?.adapterSearch.at(0)).toMatchObject({ name: "system", exitCode: 3 });
    expect(record?.adapterSearch.at(-1)).toMatchObject({ name: "software adapter", exitCode: 0 });
    expect(lines(record).at(-1)).toMatch(/bench --suite model --model models\/rcod-tiny$/);
  });

  it("keeps what the other parts found when one crashes, names it, and fails", async () => {
    const env = { ...GPU, FAKE_CRASH: "kernels" };
    const { exitCode, record, stderr } = await box(["--modes", "default"], env);
    expect(exitCode).toBe(1);
    const crashed = record?.parts.find(({ part }) => part === "kernels");
    expect(crashed).toMatchObject({ exitCode: 139, stderr: "driver crashed\n" });
    expect(record?.parts.at(-1)).toMatchObject({ part: "tuned", exitCode: 0 });
    expect(record?.failed).toEqual(["default kernels"]);
    expect(stderr).toContain("FAILED: default kernels");
  });

  it("ends what hangs with its children, keeps its time, and names what had none", async () => {
    const out = join(folder, "kept.json");
    const env = { ...GPU, FAKE_HANG: "verify", FAKE_TORCH: "0" };
    const startedAt = performance.now();
    const args = ["--seconds", "7", "--modes", "default", "--out", out];
    const { exitCode, record } = await box(args, env);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(exitCode).toBe(1);
    expect(record?.failed).toEqual(["default parity"]);
    expect(record?.parts.at(-1)).toMatchObject({ part: "parity", exitCode: null, timedOut: true });
    const rest = ["model", "pytorch", "kernels", "tune", "tuned"];
    expect(record?.leftOut.map(({ part }) => part)).toEqual(rest);
    expect(JSON.parse(await readFile(out, "utf8"))).toEqual(record);
  });

  it("keeps what PyTorch has printed when its time is over", async () => {
    const args = ["--seconds", "7", "--modes", "default", "--parts", "pytorch"];
    const { record } = await box(args, { ...GPU, FAKE_TORCH: "0" });
    const result = { modes: { eager: {} } };
    expect(record?.parts.at(-1)).toMatchObject({ part: "pytorch", timedOut: true, result });
  });

  it("says that only time was short", async () => {
    const { exitCode, record } = await box(["--seconds", "1"], GPU);
    expect([exitCode, record?.failed]).toEqual([3, []]);
  });

  it("says that there is no adapter", async () => {
    const { exitCode, record } = await box([], {});
    expect(exitCode).toBe(1);
    expect(record).toMatchObject({ parts: [], failed: ["adapter"] });
  });

  it.each([
    [["--modes", "fast"], '--modes: one of default, f16, matrix, got "fast"'],
    [["--model", "large"], "--model: one of full, tiny"],
    [["--seconds", "0"], "--seconds: a number above 0"],
    [["--card", "h300"], "--card: one of navi21"],
    [["--peaks", "cores=4"], "--peaks: gigahertz, lanes, gigabytesPerSecond must be given too"],
    [["--peaks", "speed=4"], "--peaks: one of cores"],
  ])("refuses %s", async (args, message) => {
    const { exitCode, stderr, record } = await box(args, {});
    expect([exitCode, record]).toEqual([2, null]);
    expect(stderr).toContain(message);
  });
});
