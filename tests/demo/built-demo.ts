/** The demo page as it is deployed, and how to look at it. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer-core";
import { build } from "vite";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/node-source.ts";

/** Builds the demo into a folder that goes with the process. */
export async function builtDemo(): Promise<FileSet> {
  const outDir = await mkdtemp(join(tmpdir(), "rcod-demo-"));
  process.once("exit", () => void rm(outDir, { recursive: true, force: true }));
  const configFile = fileURLToPath(new URL("../../demo/vite.config.ts", import.meta.url));
  await build({ configFile, logLevel: "error", build: { outDir } });
  return folderFiles(outDir);
}

/** What axe-core finds serious or critical on the page as it is shown now, as "rule: element". */
export async function seriousFindings(page: Page): Promise<readonly string[]> {
  const source = await readFile(
    createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
    "utf8",
  );
  await page.evaluate(source); // a script tag would be refused by the page's policy
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{
          violations: { id: string; impact: string; nodes: { html: string }[] }[];
        }>;
      };
    };
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  });
}
