/** The suites that need matrix units: run by `run.sh`, which brings a driver that has them. */
import { defineConfig } from "vitest/config";

// Under the dynamic linker that run.sh names, Node takes that for its own executable, and vitest would fork it.
const node = process.env["RCOD_NODE"];
if (node === undefined) throw new Error("matrix units: use tests/matrix-units/run.sh");
process.execPath = node;

export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    pool: "forks",
    maxWorkers: 2,
    include: ["tests/matrix-units/*.suite.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
