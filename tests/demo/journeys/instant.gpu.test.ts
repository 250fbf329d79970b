/** Instant realism: what the slider shows at once, what follows by itself, and what is computed ahead. */
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { launchUsable } from "../../../bench/chromium.ts";
import { blendRealism } from "../../../src/rcod/images/blend-realism.ts";
import type { FileServer } from "../../browser/file-server.ts";
import { startFileServer } from "../../browser/file-server.ts";
import { expectNoLongTasks } from "../long-tasks.ts";
import type { DemoPage } from "../support.ts";
import {
  CUT,
  PATIENCE_MS,
  builtDemo,
  nextResult,
  openCut,
  openDemo,
  psnr,
  savedPixels,
  shownPixels,
  stateOf,
  tellPace,
} from "../support.ts";

// Five upscales on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const SIDE = CUT.width * 4;
const browser = await launchUsable();
let server: FileServer;

/** Moves the slider as a drag does. */
const slideTo = (page: Page, realism: number): Promise<void> =>
  page.$eval(
    "#realism",
    (slider, to) => {
      (slider as HTMLInputElement).value = String(to);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    },
    realism,
  );

const label = (page: Page): Promise<string | null> =>
  page.$eval(".layer-choice.is-right option:checked", (option) => option.textContent);

/** The picture on the stage at 100 %. */
async function shownPart(page: Page): Promise<Uint8Array> {
  const { data, width, height } = await shownPixels(page);
  const [left, top] = [Math.round((width - SIDE) / 2), Math.round((height - SIDE) / 2)];
  return sharp(data, { raw: { width, height, channels: 4 } })
    .extract({ left, top, width: SIDE, height: SIDE })
    .raw()
    .toBuffer();
}

/** Waits until the stage shows these pixels, but for what rounding to 8 bits does. */
const untilShown = (page: Page, pixels: Uint8Array): Promise<void> =>
  expect
    .poll(async () => psnr(await shownPart(page), pixels), { timeout: PATIENCE_MS })
    .toBeGreaterThan(50);

beforeAll(async () => {
  if (browser === null) return;
  server = await startFileServer();
  server.mount("demo", await builtDemo());
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});
expectNoLongTasks(browser);

// One page for all: each test goes on where the one before stopped.
describe.skipIf(browser === null)("the slider", () => {
  let demo: DemoPage;
  let page: Page;
  let fidelity: Uint8Array;
  let realism: Uint8Array;

  /** What is to be seen between the two. */
  const between = (at: number): Uint8Array => {
    const of = (place: number, data: Uint8Array) =>
      ({ realism: place, image: { width: SIDE, height: SIDE, channels: 4, data } }) as const;
    return blendRealism([of(0, fidelity), of(1, realism)], at).data as Uint8Array;
  };
  const results = async (): Promise<readonly number[]> =>
    (await stateOf(page)).results.map((result) => result.realism);

  beforeAll(async () => {
    if (browser === null) return;
    demo = await openDemo(browser, `${server.address}/demo/?debug&canvas=2d#mode=single`);
    page = demo.page;
    await openCut(page);
    await page.focus(".surface");
    await page.keyboard.press("1");
  });

  it("goes to a stop by a click, and shows no preview with only one end", async () => {
    await tellPace(page, 60_000);
    await page.click(".stop:nth-child(1)"); // Fidelity
    await page.click("#upscale");
    const { id } = await nextResult(page);
    fidelity = await savedPixels(page, id);
    await page.click(".stop:nth-child(3)"); // Realism
    expect(await page.$eval("#realism", (slider) => (slider as HTMLInputElement).value)).toBe("1");
    await untilShown(page, fidelity);
    expect(await label(page)).not.toContain("preview");
    expect(await page.$eval("#realism", (slider) => slider.ariaValueText)).toBe("Realism");
    await page.click("#upscale");
    realism = await savedPixels(page, (await nextResult(page, id)).id);
    expect(psnr(fidelity, realism)).toBeLessThan(45);
  });

  it("shows their blend at once, marked as a preview, and computes nothing where that is slow", async () => {
    for (const at of [0.3, 0.75]) {
      await slideTo(page, at);
      await untilShown(page, between(at));
      expect(psnr(between(at), fidelity)).toBeLessThan(48);
      expect(psnr(between(at), realism)).toBeLessThan(48);
      expect(await label(page)).toContain(`${at.toFixed(2)} · preview`);
      expect(await page.$eval("#realism", (slider) => slider.ariaValueText)).toContain("preview");
    }
    expect(await results()).toEqual([0, 1]);
    expect((await stateOf(page)).isBusy).toBe(false);
  });

  it("brings the exact picture after a rest where that is quick, in the same place", async () => {
    await tellPace(page, 100);
    await slideTo(page, 0.6);
    await untilShown(page, between(0.6));
    const { id, realism: at, reused } = await nextResult(page, 2);
    expect([at, reused]).toEqual([0.6, ["preprocess", "tokens", "encode"]]);
    const exact = await savedPixels(page, id);
    expect(psnr(exact, between(0.6))).toBeGreaterThan(30);
    await untilShown(page, exact); // at 100 %, as before
    expect(await label(page)).toContain("0.60");
    expect(await label(page)).not.toContain("preview");
    expect(await page.$eval("#realism", (slider) => slider.ariaValueText)).toBe("0.60");
  });

  it("shows at once what is there, and computes it no second time", async () => {
    await page.click(".stop:nth-child(1)"); // Fidelity
    await untilShown(page, fidelity);
    await slideTo(page, 0.6);
    await page.click(".stop:nth-child(3)");
    await untilShown(page, realism);
    expect(await results()).toEqual([0, 1, 0.6]);
    expect((await stateOf(page)).isBusy).toBe(false);
  });

  it("has the ends computed ahead on a GPU at rest, and on a software device nothing", async () => {
    const last = (await stateOf(page)).results.at(-1)?.id ?? 0;
    await page.evaluate(() => rcodDemo?.change({ realism: 0.5, colorFix: "none" }));
    await nextResult(page, last);
    const count = (await results()).length;
    // More than the rest that it would begin after.
    await page.evaluate(() => new Promise((done) => setTimeout(done, 1500)));
    expect(await page.evaluate(() => sent)).not.toContain("upscaleAhead");

    await page.evaluate(() => {
      const { device } = rcodDemo!.store.get();
      rcodDemo!.store.set({ device: device && { ...device, isSoftware: false } });
    });
    await expect
      .poll(() => page.evaluate(() => answered), { timeout: PATIENCE_MS })
      .toContain("upscaleAhead");
    await tellPace(page, 60_000);
    expect(await label(page)).not.toContain("preview");
    await slideTo(page, 0.75);
    await expect.poll(() => label(page)).toContain("0.75 · preview");
    expect(await results()).toHaveLength(count);
    await page.click(".stop:nth-child(3)");
    await expect.poll(() => label(page)).toContain("Realism");
    expect(await results()).toHaveLength(count + 1);
    expect((await stateOf(page)).isBusy).toBe(false);
  });

  it("computes the exact picture of a preview before that is saved", async () => {
    await slideTo(page, 0.25);
    await expect.poll(() => label(page)).toContain("0.25 · preview");
    const count = (await results()).length;
    const said = (): Promise<string> =>
      page.$eval("#save [role=status]", ({ textContent }) => textContent ?? "");
    expect(await page.$eval("#save .hint", ({ textContent }) => textContent)).toContain(
      "the exact picture is computed first",
    );
    const save = await page.$("#save .button ::-p-text(Save)");
    await save?.click();
    await expect.poll(said, { timeout: PATIENCE_MS }).toMatch(/^Saved as boats-x4.*0\.25/);
    expect((await results()).slice(count)).toEqual([0.25]);

    // Ended, it saves nothing.
    await slideTo(page, 0.8);
    await expect.poll(() => label(page)).toContain("0.80 · preview");
    await save?.click();
    // In one step: a run may end between seeing the button and pressing it.
    await page.waitForFunction(() => {
      const cancel = document.querySelector<HTMLElement>("#cancel");
      const isThere = cancel?.checkVisibility() ?? false;
      if (isThere) cancel?.click();
      return isThere;
    });
    await expect.poll(said, { timeout: PATIENCE_MS }).toMatch(/^Stopped\. /);
    expect(await results()).toHaveLength(count + 1);
  });

  it("has left no error in the console and broken no policy", async () => {
    expect(await demo.problems()).toEqual([]);
    await page.close();
  });
});
