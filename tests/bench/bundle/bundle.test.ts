/** What the bundle does on a machine: which adapter it takes, which steps it runs, what it makes of failures. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PLAIN_NODE } from "../support/plain-node.ts";

const script = fileURLToPath(new URL("../../bench/bundle/bench-box.mjs", import.meta.url));

/** Stands for the built project: finds an adapter in one environment, and tells what it was asked for. */
const PROBE = `process.exit(process.env[process.env.FAKE_ADAPTER ?? ""] ? 0 : 3);`;
const RCOD = `
  const args = process.argv.slice(2);
  if (args.includes(process.env.FAKE_CRASH)) {
    console.error("driver crashed");
    process.exit(139);
  }
  const without = process.env.RCOD_WITHOUT_FEATURES ?? "";
  const adapter = {
    isSoftware: process.env.RCOD_SOFTWARE_ADAPTER === "1",
    matrixUnits: process.env.FAKE_MATRIX && without === "" ? { M: 16 } : null,
    matrixRefusal: "not here",
    without,
  };
  console.log(JSON.stringify({ args, adapter }));`;

interface Step {
  readonly exitCode: number;
  readonly result?: {
    readonly args: readonly string[];
    readonly adapter: { readonly without: string };
  };
  readonly stderr?: string;
}
interface Outcome {
  readonly exitCode: number;
  readonly stderr: string;
  readonly record: {
    readonly adapterSearch: readonly { readonly name: string; readonly exitCode: number }[];
    readonly runs: readonly (Readonly<Record<string, Step>> & {
      readonly mode: unknown;
      readonly skipped?: string;
    })[];
  } | null;
}

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rcod-bundle-"));
  await mkdir(join(folder, "dist", "cli"), { recursive: true });
  await mkdir(join(folder, "bin"));
  await cp(script, join(folder, "bench-box.mjs"));
  await writeFile(join(folder, "dist", "cli", "probe.js"), PROBE);
  await writeFile(join(folder, "bin", "rcod.js"), RCOD);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function box(args: readonly string[], env: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve) => {
    const command = [join(folder, "bench-box.mjs"), ...args];
    const child = execFile(PLAIN_NODE, command, { env }, (_error, stdout, stderr) => {
      const record = stdout === "" ? null : (JSON.parse(stdout) as Outcome["record"]);
      resolve({ exitCode: child.exitCode ?? -1, stderr, record });
    });
  });
}

const argsOf = (step: Step | undefined): string => step?.result?.args.join(" ") ?? "";

describe("the bundle", () => {
  it("runs the full-size model on a GPU, in all modes, correctness first", async () => {
    const { exitCode, record } = await box(["--samples", "2"], {
      FAKE_ADAPTER: "PATH",
      PATH: "/",
      FAKE_MATRIX: "1",
    });
    expect(exitCode).toBe(0);
    expect(record?.adapterSearch).toEqual([{ name: "system", exitCode: 0 }]);
    expect(record?.runs.map(({ mode }) => mode)).toEqual(["default", "f16", "matrix"]);
    const [plain, f16, matrix] = record?.runs ?? [];
    expect(Object.keys(plain ?? {}).slice(2)).toEqual(["doctor", "verify", "kernels", "model"]);
    expect(argsOf(plain?.["verify"])).toBe("verify goldens --json");
    expect(argsOf(plain?.["kernels"])).toBe("bench --suite kernels --samples 2 --json");
    expect(argsOf(plain?.["model"])).toBe(
      "bench --suite model --samples 2 --model configs/sd21-clip-l --recipe-weights --json",
    );
    expect(argsOf(f16?.["verify"])).toBe(
      "--dawn-toggles allow_unsafe_apis,vulkan_enable_f16_on_nvidia verify goldens --json",
    );
    // The units are off where halves alone are measured, and taken where they are.
    expect(f16?.["doctor"]?.result?.adapter.without).toBe("chromium-experimental-subgroup-matrix");
    expect(matrix?.["doctor"]?.result?.adapter.without).toBe("");
    const forced = "--precision f16 --variant conv2d=matrix --variant linear=matrix";
    expect(argsOf(matrix?.["verify"])).toContain(`verify goldens ${forced} --json`);
    expect(argsOf(matrix?.["kernels"])).toContain("kernels --precision f16 --samples 2");
    expect(argsOf(matrix?.["model"])).toContain(`model ${forced} --samples 2`);
  });

  it("leaves the matrix units out where there are none, and says why", async () => {
    const env = { FAKE_ADAPTER: "PATH", PATH: "/" };
    const { exitCode, record, stderr } = await box(["--modes", "matrix"], env);
    expect(exitCode).toBe(0);
    expect(record?.runs).toMatchObject([{ mode: "matrix", skipped: "no matrix units: not here" }]);
    expect(record?.runs[0]?.["verify"]).toBeUndefined();
    expect(stderr).toContain("matrix: left out, no matrix units: not here");
  });

  it("falls back to the software adapter, and to the small model there", async () => {
    const env = { FAKE_ADAPTER: "RCOD_SOFTWARE_ADAPTER" };
    const { exitCode, record } = await box(["--modes", "default"], env);
    expect(exitCode).toBe(0);
    expect(record?.adapterSearch.at(0)).toMatchObject({ name: "system", exitCode: 3 });
    expect(record?.adapterSearch.at(-1)).toMatchObject({ name: "software adapter", exitCode: 0 });
    expect(argsOf(record?.runs[0]?.["model"])).toBe("bench --suite model --json");
  });

  it("keeps what the other steps found when one crashes, and fails", async () => {
    const env = { FAKE_ADAPTER: "PATH", PATH: "/", FAKE_CRASH: "kernels" };
    const { exitCode, record } = await box(["--modes", "default"], env);
    expect(exitCode).toBe(1);
    const [run] = record?.runs ?? [];
    expect(run?.["kernels"]).toMatchObject({ exitCode: 139, stderr: "driver crashed\n" });
    expect(run?.["model"]).toMatchObject({ exitCode: 0 });
  });

  it("says that there is no adapter", async () => {
    const { exitCode, record } = await box([], {});
    expect(exitCode).toBe(1);
    expect(record?.runs).toEqual([]);
  });

  it.each([
    [["--modes", "fast"], '--modes: no mode "fast"'],
    [["--model", "large"], "--model: full, tiny or none"],
    [["--time-limit", "0"], "--time-limit: seconds above 0"],
  ])("refuses %s", async (args, message) => {
    const { exitCode, stderr, record } = await box(args, {});
    expect([exitCode, record]).toEqual([2, null]);
    expect(stderr).toContain(message);
  });
});
