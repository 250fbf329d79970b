import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { findAdapter } from "./src/node/gpu.ts";
import {
  SOFTWARE_MARKER,
  correctExecPath,
  softwareNotice,
  unpackedMesa,
} from "./src/node/software-adapter.ts";
import { swiftShader } from "./src/node/swiftshader.ts";

/** Where `.ci/run` and tests/matrix-units/run.sh keep Mesa. */
const MESA =
  process.env["RCOD_MESA"] ?? fileURLToPath(new URL("node_modules/.cache/mesa", import.meta.url));

const isSwiftShaderWanted = process.env["RCOD_TEST_DRIVER"] === "swiftshader";

correctExecPath();
// Workers are child processes ("forks") and inherit variables and executable; threads would not see them.
if (!process.env[SOFTWARE_MARKER] && (isSwiftShaderWanted || !(await findAdapter()))) {
  const mesa = isSwiftShaderWanted ? null : (unpackedMesa(MESA) ?? unpackedMesa());
  const driver = mesa ?? (await swiftShader());
  if (driver !== null) {
    process.stderr.write(`${softwareNotice(driver.name)}\n`);
    // More than half of the time on llvmpipe would go into LLVM's passes over shaders that run once.
    const quickCompiler = mesa && { GALLIVM_PERF: process.env["GALLIVM_PERF"] ?? "nopt" };
    Object.assign(process.env, driver.env, quickCompiler);
    process.execPath = driver.node;
  }
}

/** Files that change what a process has one of: modules that others import, variables, browsers and what was built for them. */
const ISOLATED = [
  "tests/{browser,demo,examples}/**/*.test.ts",
  "tests/package/bundlers/*.test.ts",
  "tests/bench/{browser,leaks}.gpu.test.ts",
  "tests/cli/{launch,atomic-write,swiftshader,commands}.test.ts",
  "tests/cli/adapter/*.test.ts",
  "tests/fleet/storage.test.ts",
  "tests/gpu/device.test.ts",
  "tests/rcod/tuning/autotune-first-run.test.ts",
];

/** Suites that compile a shader a case, which takes SwiftShader minutes. */
const SLOW_ON_SWIFTSHADER = "**/{conv2d,linear,attention,merged-norm,tile-statistics}.gpu.test.ts";

export default defineConfig({
  test: {
    // Most files share the process of a worker: modules are loaded once, and code is warm. A quarter of the time.
    projects: [
      {
        extends: true,
        test: {
          name: "shared",
          isolate: false,
          include: ["tests/**/*.test.ts"],
          exclude: isSwiftShaderWanted ? [...ISOLATED, SLOW_ON_SWIFTSHADER] : ISOLATED,
        },
      },
      { extends: true, test: { name: "isolated", include: ISOLATED } },
    ],
    pool: "forks",
    // Software adapters use every core for one dispatch; more workers only fight over them.
    maxWorkers: 2,
    globalSetup: ["tests/support/run-folder.ts"],
    setupFiles: ["tests/support/exec-path.ts", "tests/support/quick-equality.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A page beside other work may take long to show what it has.
    expect: { poll: { timeout: 60_000 } },
  },
});
