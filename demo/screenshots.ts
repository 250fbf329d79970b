/**
 * Pictures of every view, at desktop and phone width, dark and light, for docs/demo/. From a checkout:
 *
 *     npm run build:demo && node bench/run.mjs ../demo/screenshots
 *
 * The results are of a region of the bundled photo, which takes less than a minute on a software adapter; the run that is under
 * way is of all of it.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import type { App } from "./app.ts";
import { visitBuiltPage } from "./built-page.ts";
import type { CompareMode } from "./protocol.ts";

const OUT = fileURLToPath(new URL("../docs/demo/", import.meta.url));
const MAX_BYTES = 200_000;
/** Inside is longer. */
const MAX_PHONE_HEIGHT = 2400;
const SIZES = {
  desktop: { width: 1120, height: 700, deviceScaleFactor: 1 },
  phone: { width: 390, height: 844, deviceScaleFactor: 1.5 },
} as const;
/** The machine may have other work. */
const PATIENCE = { timeout: 0, polling: 100 };
const THEMES = ["dark", "light"] as const;

/** A region of the bundled photo that a software adapter upscales in seconds. */
const CUT = { x: 24, y: 30, width: 72, height: 72 } as const;

declare global {
  var rcodDemo: App | undefined;
}

export function main(): Promise<number> {
  return visitBuiltPage(async (browser, address) => {
    await mkdir(OUT, { recursive: true });
    const page = await browser.newPage();
    await unsupported(await browser.newPage(), address);
    await page.goto(`${address}?debug`);
    await visit(page);
  });
}

async function unsupported(page: Page, address: string): Promise<void> {
  await page.evaluateOnNewDocument(() => void Reflect.deleteProperty(Navigator.prototype, "gpu"));
  await page.goto(address);
  await shoot(page, "unsupported");
  await page.close();
}

async function visit(page: Page): Promise<void> {
  await page.waitForSelector(".sample img");
  await shoot(page, "start");
  await page.click(".sample");
  await page.waitForFunction(
    () => rcodDemo?.store.get().image && !rcodDemo.store.get().activity,
    PATIENCE,
  );
  await shoot(page, "open");
  await page.click("#upscale");
  await page.waitForFunction(
    () =>
      (rcodDemo?.store.get().activity?.progress?.fraction ?? 0) > 0.1 &&
      rcodDemo?.store.get().activity?.progress?.stage !== "load",
    PATIENCE,
  );
  await shoot(page, "running");
  if (await page.evaluate(() => rcodDemo?.store.get().activity === null)) {
    throw new Error("screenshots: the run was over before its pictures were taken");
  }
  await page.click("#cancel");
  await page.evaluate(async (cut) => {
    const image = rcodDemo?.store.get().image;
    if (image) await rcodDemo?.openImage(image.blob, image.name, cut);
  }, CUT);
  await page.click("#upscale");
  await results(page, 1);
  await page.evaluate(() => {
    rcodDemo?.change({ realism: 1 });
    void rcodDemo?.upscale(); // by itself only where that is quick
  });
  await results(page, 2);
  for (const mode of ["split", "side", "difference"] as const) await shootMode(page, mode);
  await page.evaluate(() => rcodDemo?.change({ mode: "split" }));
  await report(page, "inside", ".card-row");
  await report(page, "benchmark", ".report-results");
  await report(page, "verify", ".report-results");
  await page.click("#tab-upscale");

  await page.setViewport(SIZES.desktop);
  await page.click("#paint");
  const box = await (await page.$(".surface"))?.boundingBox();
  if (!box) throw new Error("no stage");
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x - 120, y + 60);
  await page.mouse.down();
  for (const [dx, dy] of [
    [-20, 10],
    [80, -60],
    [150, -110],
  ] as const) {
    await page.mouse.move(x + dx, y + dy, { steps: 8 });
  }
  await page.mouse.up();
  await page.evaluate(() => rcodDemo?.cancel());
  await shoot(page, "paint");
  await page.click("#paint");

  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    document.querySelector(".panel")?.scrollTo(0, 1e6);
  });
  await shoot(page, "more");
  await page.setViewport(SIZES.desktop); // the last frame is the one that stays
  await drawn(page);
  await page.evaluate(() => document.querySelector<HTMLElement>("#destroy-device")?.click());
  await page.waitForSelector("#remedy");
  await shoot(page, "lost");
}

/** A tab after its run, on the desktop scrolled to `part`. */
async function report(page: Page, tab: string, part: string): Promise<void> {
  await page.setViewport(SIZES.desktop);
  await page.click(`#tab-${tab}`);
  const view = `#view-${tab}`;
  await page.waitForSelector(`${view} .run-panel`);
  await page.click(`${view} .run-panel .is-primary`);
  await page.waitForFunction(
    (panel) => document.querySelector<HTMLElement>(`${panel} progress`)?.hidden,
    { timeout: 0, polling: 200 },
    `${view} .run-panel`,
  );
  await page.$eval(`${view} ${part}`, (element) => element.scrollIntoView({ block: "start" }));
  await shoot(page, tab);
}

async function results(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    (least) => {
      const state = globalThis.rcodDemo?.store.get(); // undeclared without ?debug
      return state && !state.activity && state.results.length >= least;
    },
    PATIENCE,
    count,
  );
}

async function shootMode(page: Page, mode: CompareMode): Promise<void> {
  await page.evaluate((chosen) => rcodDemo?.change({ mode: chosen }), mode);
  await shoot(page, mode);
}

async function shoot(page: Page, view: string): Promise<void> {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewport(viewport);
    for (const theme of THEMES) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      if (size === "phone") await growToPage(page);
      await drawn(page);
      const png = await page.screenshot();
      await writeFile(`${OUT}${view}-${size}-${theme}.png`, await small(png));
    }
  }
}

/**
 * A viewport as high as the page, within limits. A full-page screenshot would lay the page out anew and be taken before the worker
 * has drawn the stage at its new size.
 */
async function growToPage(page: Page): Promise<void> {
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const { height: least } = SIZES.phone;
  await page.setViewport({
    ...SIZES.phone,
    height: Math.min(Math.max(height, least), MAX_PHONE_HEIGHT),
  });
}

/** Waits for the worker's frame at the present size. */
async function drawn(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("canvas.canvas");
    const state = globalThis.rcodDemo?.store.get(); // undeclared without ?debug
    if (!canvas?.clientWidth || !state?.image || state.isDeviceLost) return true;
    // Small, but not one pixel: side by side the middle is empty.
    const copy = new OffscreenCanvas(16, 16).getContext("2d");
    copy?.drawImage(canvas, 0, 0, 16, 16);
    const isPainted = copy?.getImageData(0, 0, 16, 16).data.some((value) => value !== 0);
    return isPainted && canvas.width === Math.round(canvas.clientWidth * devicePixelRatio);
  }, PATIENCE);
  await page.evaluate(() => new Promise((done) => setTimeout(done, 1000)));
}

/** The PNG with as many colours as the limit allows. */
async function small(png: Uint8Array): Promise<Buffer> {
  for (const [colours, dither] of [
    [256, 1],
    [256, 0.4],
    [192, 0],
    [128, 0],
  ] as const) {
    const packed = await sharp(png).png({ palette: true, colours, dither, effort: 10 }).toBuffer();
    if (packed.byteLength <= MAX_BYTES) return packed;
  }
  throw new Error(
    `screenshots: a picture takes more than ${MAX_BYTES} bytes even with 128 colours`,
  );
}
