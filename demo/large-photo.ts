/**
 * A photo of 2400 × 1600 from drop to saved file, through the page as a visitor does it. From a checkout:
 *
 *     npm run build:demo && node bench/run.mjs ../demo/large-photo --scale 2
 *
 * With the smallest model that is one, whose pictures are nothing to look at: a software adapter takes hours for others.
 */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import { memoryFiles } from "../src/weights/index.ts";
import { minimalFiles } from "../tests/rcod/support.ts";
import type { App } from "./app.ts";
import { visitBuiltPage } from "./built-page.ts";

const SIZE = { width: 2400, height: 1600 } as const;
/** With the latents of real models, an eighth of the pixels a side, and without the attention that pays for all of them. */
const SMALLEST = { vaeWidths: [8, 8, 8, 8], midAttention: false } as const;
const ORIGINAL = fileURLToPath(new URL("../examples/photos/boats-original.jpg", import.meta.url));
/** The machine may have other work. */
const PATIENCE = { timeout: 0, polling: 500 };

declare global {
  var rcodDemo: App | undefined;
}

export async function main(args: readonly string[]): Promise<number> {
  const options = { scale: { type: "string", default: "2" } } as const;
  const scale = Number(parseArgs({ args: [...args], options }).values.scale);
  const folder = await mkdtemp(join(tmpdir(), "rcod-large-photo-"));
  try {
    const photo = join(folder, "boats-large.jpg");
    await sharp(ORIGINAL)
      .resize({ ...SIZE, fit: "cover" })
      .jpeg()
      .toFile(photo);
    return await visitBuiltPage(
      async (browser, address) => {
        const page = await browser.newPage();
        await page.setViewport({ width: 1200, height: 800 });
        await page.goto(`${address}?debug&canvas=2d#scale=${scale}`);
        await page.waitForFunction(() => rcodDemo?.store.get().device, PATIENCE);
        await page.evaluate(
          (url) => rcodDemo?.chooseModel({ kind: "url", url }),
          new URL("../minimal", address).href,
        );
        await visit(page, photo, folder, scale);
      },
      { minimal: memoryFiles(await minimalFiles(SMALLEST)) },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function visit(page: Page, photo: string, folder: string, scale: number): Promise<void> {
  const begun = performance.now();
  const tell = (what: string): void => {
    process.stdout.write(`${((performance.now() - begun) / 1000).toFixed(1)} s: ${what}\n`);
  };
  await drop(page, photo);
  await page.waitForFunction(() => {
    const { image, activity, estimate } = rcodDemo?.store.get() ?? {};
    return image && !activity && estimate;
  }, PATIENCE);
  tell(`open; ${await page.$eval("#upscale", ({ textContent }) => textContent)}`);
  await page.click("#upscale");
  await page.waitForFunction(() => {
    const { problem, activity, results = [] } = rcodDemo?.store.get() ?? {};
    if (problem) throw new Error(`${problem.title}: ${problem.raw}`);
    return !activity && results.length > 0;
  }, PATIENCE);
  const parts = await page.evaluate(() => rcodDemo?.store.get().results[0]?.regions);
  tell(`upscaled in ${parts} parts`);
  const saved = await save(page, folder);
  const { width, height, format } = await sharp(saved).metadata();
  tell(`saved: ${format}, ${width} × ${height}, ${(await stat(saved)).size} bytes`);
  if (width !== SIZE.width * scale || height !== SIZE.height * scale) {
    throw new Error(`saved ${width} × ${height} pixels in place of ×${scale}`);
  }
}

/** Drops a file of the disk on the page, by the browser's own drag and drop. */
async function drop(page: Page, file: string): Promise<void> {
  const session = await page.createCDPSession();
  const data = { items: [], files: [file], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await session.send("Input.dispatchDragEvent", { type, x: 600, y: 400, data });
  }
  await session.detach();
}

/** Presses "Save" and gives the path of the file that came. */
async function save(page: Page, folder: string): Promise<string> {
  const session = await page.createCDPSession();
  await session.send("Browser.setDownloadBehavior", {
    behavior: "allow",
    downloadPath: folder,
    eventsEnabled: true,
  });
  const ended = new Promise<void>((resolve) => {
    session.on("Browser.downloadProgress", ({ state }) => state === "completed" && resolve());
  });
  const button = await page.$("#save .button ::-p-text(Save)");
  await button?.click();
  await ended;
  const name = (await readdir(folder)).find((one) => one.endsWith(".png"));
  if (name === undefined) throw new Error("no file was saved");
  return join(folder, name);
}
