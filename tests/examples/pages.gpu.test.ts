/** The examples that are pages, in Chromium: one as it lies there, one built by Vite; and the worker's ways. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import type { TestBrowser, TestPage } from "../browser/support.ts";
import { useBrowser } from "../browser/support.ts";
import { testImage } from "../rcod/support.ts";
import type { Checkout } from "./support.ts";
import { builtCheckout, writeImage } from "./support.ts";

const browser = (await useBrowser()) as TestBrowser;

let checkout: Checkout;
let photo = "";
let outDir = "";
beforeAll(async () => {
  checkout = await builtCheckout();
  photo = join(checkout.folder, "photo.png");
  await writeImage(photo, testImage(12, 10));
  outDir = await mkdtemp(join(tmpdir(), "rcod-vite-app-"));
});
afterAll(async () => {
  await checkout.remove();
  await rm(outDir, { recursive: true, force: true });
});

/** Waits for the page's status line. */
async function status({ page }: TestPage, wanted: RegExp): Promise<string> {
  const text = (): Promise<string> =>
    page.$eval("#status", (output) => (output as HTMLOutputElement).value);
  await expect.poll(text, { timeout: 250_000, interval: 100 }).toMatch(wanted);
  return text();
}

/** Chooses the photo in a page that is ready, and another realism after the result. */
async function useAsPeopleDo(opened: TestPage): Promise<void> {
  const { page } = opened;
  await status(opened, /^Choose a photo$/);
  const input = await page.$('input[type="file"]');
  await (
    input as NonNullable<typeof input> & { uploadFile(path: string): Promise<void> }
  ).uploadFile(photo);
  await status(opened, /^Done, timestep 499$/);
  const canvas = await page.$eval("canvas", ({ width, height }) => [width, height]);
  expect(canvas).toEqual([48, 40]);
  await page.$eval("#realism", (slider) => {
    (slider as HTMLInputElement).value = "1";
    for (const type of ["input", "change"]) slider.dispatchEvent(new Event(type));
  });
  await status(opened, /^Done, timestep 749$/);
}

describe.skipIf(browser === null)("a page", () => {
  it("without a build step upscales in a worker", async () => {
    browser.server.mount("repo", folderFiles(checkout.folder));
    await useAsPeopleDo(await browser.open("/repo/examples/plain-html/"));
  }, 300_000);

  it("built by Vite upscales in a worker", async () => {
    await build({
      root: join(checkout.folder, "examples", "vite-app"),
      logLevel: "error",
      base: "./",
      build: { outDir, emptyOutDir: true },
    });
    browser.server.mount("app", folderFiles(outDir));
    await useAsPeopleDo(await browser.open("/app/"));
  }, 300_000);
});
