/** The suites that need matrix units: run by `run.sh`, which brings a driver that has them. */
import { defineConfig } from "vitest/config";

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
