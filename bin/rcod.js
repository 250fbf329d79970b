#!/usr/bin/env node
import { existsSync } from "node:fs";

/** What only the command line needs; the library itself has no dependencies. */
const PACKAGES = ["commander", "sharp", "cli-progress", "tinyglobby", "webgpu"];

const main = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(main)) {
  try {
    const { runProcess } = await import(main.href);
    await runProcess();
  } catch (error) {
    if (error?.code === "EMFILE" || error?.code === "ENFILE") {
      fail("too many files are open. Allow more: ulimit -n 1024");
      process.exit();
    }
    const missing = PACKAGES.filter((name) => !isInstalled(name));
    if (error?.code !== "ERR_MODULE_NOT_FOUND" || missing.length === 0) throw error;
    fail(
      `the command line needs ${missing.length > 1 ? "packages that are" : "a package that is"} ` +
        `not installed. Run: npm install ${missing.join(" ")}`,
    );
  }
} else {
  fail("dist/ is missing. Run: npm run build");
}

function isInstalled(name) {
  try {
    return existsSync(new URL(import.meta.resolve(name)));
  } catch {
    return false;
  }
}

function fail(message) {
  process.stderr.write(`rcod: ${message}\n`);
  process.exitCode = 1;
}
