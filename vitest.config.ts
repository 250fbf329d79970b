import { defineConfig } from "vitest/config";
import { hasAdapter } from "./src/node/gpu.ts";
import {
  SOFTWARE_MARKER,
  SOFTWARE_NOTICE,
  softwareAdapterEnv,
} from "./src/node/software-adapter.ts";

// Workers are child processes ("forks") and inherit these variables; threads would not see them.
if (!process.env[SOFTWARE_MARKER] && !(await hasAdapter())) {
  const env = await softwareAdapterEnv();
  if (env !== null) {
    process.stderr.write(`${SOFTWARE_NOTICE}\n`);
    Object.assign(process.env, env);
  }
}

export default defineConfig({
  test: {
    pool: "forks",
    // Software adapters use every core for one dispatch; more workers only fight over them.
    maxWorkers: 2,
    include: ["tests/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
