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

export default defineConfig({
  test: {
    pool: "forks",
    // Software adapters use every core for one dispatch; more workers only fight over them.
    maxWorkers: 2,
    include: ["tests/**/*.test.ts"],
    globalSetup: ["tests/support/run-folder.ts"],
    setupFiles: ["tests/support/exec-path.ts", "tests/support/quick-equality.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A page beside other work may take long to show what it has.
    expect: { poll: { timeout: 60_000 } },
  },
});
