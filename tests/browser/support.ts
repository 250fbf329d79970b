/**
 * Pages in a headless Chromium: one browser and one server for all tests of a file.
 *
 * ```ts
 * const browser = await useBrowser(); // at the top of the file; prints why where none starts
 * describe.skipIf(browser === null)("a page", () => {
 *   it("loads", async () => {
 *     browser!.server.mount("page", await builtPage("demo"));
 *     const page = await browser!.open("/page/");
 *     …
 *   });
 * });
 * ```
 *
 * Whatever a page writes to its console as an error, does not catch, or cannot load of its own parts fails the test,
 * unless the test takes it from `problems` itself.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer-core";
import { build } from "vite";
import { afterAll, afterEach, expect } from "vitest";
import { launchUsable } from "../../bench/chromium.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import type { FileServer } from "./file-server.ts";
import { startFileServer } from "./file-server.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface TestPage {
  readonly page: Page;
  /** Console errors, exceptions and missing parts of the page so far. A test that provokes some empties it. */
  readonly problems: string[];
}

export interface TestBrowser {
  readonly browser: Browser;
  readonly server: FileServer;
  /** Opens a path of the server in a new tab, which is closed after the test, or after all where it is to be kept. */
  open(path: string, options?: { readonly isKept?: boolean }): Promise<TestPage>;
}

/** Starts a browser for this file, or gives null and prints why there is none. Call at the top. */
export async function useBrowser(): Promise<TestBrowser | null> {
  // Heaps come in steps of megabytes without the first, and with what is garbage without the second.
  const flags = ["--enable-precise-memory-info", "--js-flags=--expose-gc"];
  const browser = await launchUsable(flags);
  if (browser === null) return null;
  const server = await startFileServer();
  const opened = new Set<TestPage & { readonly isKept: boolean }>();
  afterEach(async () => {
    server.fault = null;
    server.isDown = false;
    const reported: string[] = [];
    for (const test of opened) {
      reported.push(...test.problems.splice(0));
      if (test.isKept) continue;
      opened.delete(test);
      await test.page.close();
    }
    expect(reported, "the page reports nothing").toEqual([]);
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
    for (const folder of builtFolders) await rm(folder, { recursive: true, force: true });
  });
  return {
    browser,
    server,
    async open(path, { isKept = false } = {}) {
      const page = await browser.newPage();
      const problems: string[] = [];
      opened.add({ page, problems, isKept });
      page.on("console", (message) => {
        const isFetched = message.text().startsWith("Failed to load resource"); // see "response"
        if (message.type() === "error" && !isFetched) problems.push(`console: ${message.text()}`);
      });
      // What code fetches may fail (models are probed for optional files); what the page is made of may not.
      page.on("response", (response) => {
        const isPart = !["fetch", "xhr", "other"].includes(response.request().resourceType());
        if (isPart && response.status() >= 400) {
          problems.push(`HTTP ${response.status()}: ${response.url()}`);
        }
      });
      page.on("pageerror", (error) => problems.push(`uncaught: ${String(error)}`));
      page.on("error", (error) => problems.push(`crashed: ${error.message}`));
      await page.goto(`${server.address}${path}`);
      return { page, problems };
    },
  };
}

const built = new Map<string, Promise<FileSet>>();
/** Temporary, removed at the end of the file. */
const builtFolders: string[] = [];

/** A folder of this repository that holds an `index.html`, built by Vite; once per test file. */
export function builtPage(folder: string): Promise<FileSet> {
  let page = built.get(folder);
  if (page === undefined) {
    page = buildPage(folder);
    built.set(folder, page);
  }
  return page;
}

async function buildPage(folder: string): Promise<FileSet> {
  const outDir = await mkdtemp(join(tmpdir(), "rcod-page-"));
  builtFolders.push(outDir);
  await build({
    root: join(ROOT, folder),
    configFile: false,
    logLevel: "error",
    base: "./",
    build: { outDir, emptyOutDir: true, target: "es2023" },
  });
  return folderFiles(outDir);
}
