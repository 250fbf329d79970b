/** The stage: what is seen when, what it is called, and where realism acts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { launchUsable } from "../../../bench/chromium.ts";
import type { FileServer } from "../../browser/file-server.ts";
import { startFileServer } from "../../browser/file-server.ts";
import { expectNoLongTasks } from "../long-tasks.ts";
import { asTest } from "../main-thread.ts";
import type { DemoPage } from "../support.ts";
import {
  PATIENCE_MS,
  builtDemo,
  nextResult,
  openCut,
  openDemo,
  openFile,
  psnr,
  savedPixels,
  stateOf,
  tellPace,
} from "../support.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

/** 12 megapixels, as telephones take them. */
const LARGE = { width: 4000, height: 3000 } as const;
/** Until such a photo is seen, beside the time to decode it: 300 ms in all are meant, where the machine is idle. */
const SLACK_MS = 2000;
/** ×4 it is longer than a texture, so it is computed in three parts; narrow, it takes little time. */
const LONG = { width: 2060, height: 16 } as const;

declare global {
  /** A hash of pixels of the stage, right of its middle. */
  var stageBlock: () => string;
}

/** The worker draws when it gets to it. */
const PATIENCE = { timeout: PATIENCE_MS } as const;

const browser = await launchUsable();
let server: FileServer;
let folder = "";

/** Waves in each channel with a little noise: no place looks like another. */
function waves({ width, height }: typeof LARGE | typeof LONG): Buffer {
  const columns = Array.from({ length: width }, (_, x) => [
    100 * ((2 * x) / width - 1),
    100 * Math.sin(x / 20),
    100 * Math.sin(x / 13),
  ]).flat();
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < data.length; i++) {
    data[i] = 108 + columns[i % columns.length]! + ((i * 7919) % 41);
  }
  return data;
}

/** What the label on a side says; null where there is none to see. */
function label(page: Page, side: "left" | "right"): Promise<string | null> {
  return page.$eval(`.layer-choice.is-${side}`, (node) => {
    const select = node as HTMLSelectElement;
    return select.hidden ? null : (select.selectedOptions[0]?.textContent ?? null);
  });
}

/** Which of the toolbar's modes is marked, and which could be chosen. */
function modes(page: Page): Promise<{ readonly marked: string; readonly choices: string[] }> {
  return page.$eval(".toolbar", (toolbar) => {
    const seen = [...toolbar.querySelectorAll<HTMLElement>(".segment")].filter(
      (segment) => !segment.hidden && !segment.closest("[hidden]"),
    );
    const marked = seen.filter((segment) => segment.querySelector("input")?.checked);
    return {
      marked: marked.map(({ textContent }) => textContent).join(),
      choices: seen.map(({ textContent }) => textContent),
    };
  });
}

/** What the mask weighs altogether; null where none acts. */
function maskWeight(page: Page): Promise<number | null> {
  return page.evaluate(() => {
    const mask = rcodDemo?.store.get().mask;
    return mask ? mask.data.reduce((sum, weight) => sum + weight, 0) : null;
  });
}

beforeAll(async () => {
  if (browser === null) return;
  folder = await mkdtemp(join(tmpdir(), "rcod-stage-"));
  server = await startFileServer();
  server.mount("demo", await builtDemo());
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});
expectNoLongTasks(browser);

// One page for all: each test goes on where the one before stopped.
describe.skipIf(browser === null)("the stage", () => {
  let demo: DemoPage;
  let page: Page;
  let plain: Uint8Array;

  beforeAll(async () => {
    if (browser === null) return;
    demo = await openDemo(browser, `${server.address}/demo/?debug&canvas=2d`);
    page = demo.page;
    await page.waitForFunction(() => rcodDemo?.store.get().device);
    await tellPace(page, 60_000); // only what is asked for is run
    await page.evaluate(() => {
      globalThis.stageBlock = () => {
        const canvas = document.querySelector<HTMLCanvasElement>("canvas.canvas")!;
        const copy = new OffscreenCanvas(64, 64).getContext("2d")!;
        copy.drawImage(canvas, -(canvas.width >> 1) - 20, -(canvas.height >> 1));
        const { data } = copy.getImageData(0, 0, 64, 64);
        return String(data.reduce((hash, level) => (Math.imul(hash, 31) + level) | 0, 7));
      };
    });
  });

  it("shows a photo before its pixels are read, and its name until then", async () => {
    const raw = { ...LARGE, channels: 3 } as const;
    const file = await sharp(waves(LARGE), { raw }).jpeg().toBuffer();
    const watch = async (base64: string) => {
      const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const blob = new Blob([data], { type: "image/jpeg" });
      const isDrawn = (canvas: HTMLCanvasElement | null): boolean => {
        if (!canvas || getComputedStyle(canvas).visibility === "hidden") return false;
        const copy = new OffscreenCanvas(16, 16).getContext("2d");
        copy?.drawImage(canvas, 0, 0, 16, 16);
        return copy?.getImageData(0, 0, 16, 16).data.some((value) => value !== 0) ?? false;
      };
      const isPreviewed = (): boolean => isDrawn(document.querySelector("canvas.preview"));
      const isFinal = (): boolean => isDrawn(document.querySelector("canvas.canvas"));
      const nextFrame = (): Promise<unknown> => new Promise((done) => requestAnimationFrame(done));
      const before = performance.now();
      (await createImageBitmap(blob)).close();
      const begun = performance.now();
      const opened = rcodDemo?.openImage(blob, "large.jpg");
      await nextFrame();
      const waiting = document.querySelector<HTMLElement>(".stage-waiting");
      const words = waiting?.hidden ? null : waiting?.textContent;
      while (!isPreviewed() && !isFinal()) await nextFrame();
      const ms = performance.now() - begun;
      const isReading = rcodDemo?.store.get().activity?.kind === "image";
      const isBitmap = isPreviewed();
      const isStillWaiting = !waiting?.hidden;
      await opened;
      while (!isFinal()) await nextFrame();
      return { words, ms, decodeMs: begun - before, isReading, isBitmap, isStillWaiting };
    };
    const seen = await asTest(page, () => page.evaluate(watch, file.toString("base64")));
    expect(seen).toMatchObject({
      words: "Opening large.jpg",
      isReading: true,
      isBitmap: true,
      isStillWaiting: false,
    });
    expect(seen.ms, `decoded in ${seen.decodeMs} ms`).toBeLessThan(SLACK_MS + 8 * seen.decodeMs);
    expect([await label(page, "left"), await label(page, "right")]).toEqual([null, null]);
  });

  it("takes in several such photos, and answers meanwhile", async () => {
    const raw = { ...LARGE, channels: 3 } as const;
    const pixels = waves(LARGE);
    const paths: string[] = [];
    for (const quality of [70, 80, 90]) {
      const path = join(folder, `photo-${quality}.jpg`);
      await sharp(pixels, { raw }).jpeg({ quality }).toFile(path);
      paths.push(path);
    }
    // As a visitor does: what the test itself does in the page is not looked at.
    const chooser = page.waitForFileChooser();
    await page.click(".photo .button");
    await (await chooser).accept(paths);
    await page.waitForFunction(
      () =>
        document.querySelectorAll(".strip-item img[src]").length === 4 &&
        rcodDemo?.store.get().activity === null,
      PATIENCE,
    );
  });

  it("names a result no sooner than its pixels are seen", async () => {
    await openCut(page);
    const early = page.evaluate(async (): Promise<string | null> => {
      const { client, store } = rcodDemo!;
      const show = client.show.bind(client);
      // A worker that has much to do.
      client.show = (view) => void setTimeout(() => show(view), 1500);
      while (store.get().results.length === 0) await new Promise((done) => setTimeout(done, 20));
      await new Promise((done) => setTimeout(done, 500));
      const right = document.querySelector<HTMLSelectElement>(".layer-choice.is-right")!;
      client.show = show;
      return right.hidden ? null : (right.selectedOptions[0]?.textContent ?? null);
    });
    await page.click("#upscale");
    const { id } = await nextResult(page);
    expect(["Original", null]).toContain(await early);
    await expect.poll(() => label(page, "right"), PATIENCE).toBe("rcod · Neutral");
    expect(await label(page, "left")).toBe("Original");
    const hint = await page.$eval(".layer-choice.is-left", (node) => node.getAttribute("title"));
    expect(hint).toContain("enlarged by bicubic");
    plain = await savedPixels(page, id);
  });

  it("says which picture a flicker shows, and what a difference is", async () => {
    const note = (): Promise<string | null> =>
      page.$eval(".stage-note", (node) => ((node as HTMLElement).hidden ? null : node.textContent));
    await page.evaluate(() => rcodDemo?.change({ mode: "single" }));
    await expect.poll(() => label(page, "left"), PATIENCE).toBeNull();
    await page.evaluate(() => new Promise((done) => setTimeout(done, 500)));
    const samples = await page.evaluate(async () => {
      const made = stageBlock();
      const words = document.querySelector<HTMLElement>(".stage-note")!;
      const kept: { readonly name: string; readonly isMade: boolean }[] = [];
      rcodDemo?.change({ mode: "flicker" });
      for (let flips = 0, last = ""; flips < 5;) {
        await new Promise((done) => setTimeout(done, 100));
        const name = words.hidden ? "" : words.textContent;
        if (name !== last) flips++;
        if (name) kept.push({ name, isMade: stageBlock() === made });
        last = name;
      }
      return kept;
    });
    const names = new Set(samples.map(({ name }) => name));
    expect([...names].toSorted()).toEqual(["Original", "rcod · Neutral"]);
    // Pixels and words take different ways to the page: near a change they may differ.
    const right = samples.filter(({ name, isMade }) => isMade === name.startsWith("rcod"));
    expect(right.length).toBeGreaterThan(samples.length * 0.7);
    // The page was asked for little motion, so a flicker is slow enough to be read out.
    expect(await page.$eval(".stage-note", ({ ariaLive }) => ariaLive)).toBe("polite");
    await page.evaluate(() => rcodDemo?.change({ mode: "difference" }));
    await expect.poll(note, PATIENCE).toContain("brightness × 4");
    await page.evaluate(() => rcodDemo?.change({ mode: "split" }));
  });

  it("marks painting as the mode that it is, and gives undo and clear to the keyboard", async () => {
    const before = await modes(page);
    expect(before.marked).toBe("Split");
    expect(before.choices).not.toContain("Paint");
    await page.focus("#paint");
    await page.keyboard.press("Space");
    expect(await modes(page)).toEqual({ marked: "Paint", choices: [...before.choices, "Paint"] });
    await page.evaluate(() => rcodDemo?.change({ mode: "side" }));
    expect((await modes(page)).marked).toBe("Paint");
    await page.evaluate(() => rcodDemo?.change({ mode: "split" }));

    await page.focus(".surface");
    await page.keyboard.press("Enter");
    const dab = await maskWeight(page);
    expect(dab).toBeGreaterThan(0);
    for (const key of ["ArrowLeft", "ArrowLeft", "Enter"] as const) await page.keyboard.press(key);
    expect(await maskWeight(page)).toBeGreaterThan(dab!);
    await page.focus("[aria-label='Undo the last stroke']");
    await page.keyboard.press("Enter");
    expect(await maskWeight(page)).toBe(dab);
    await page.keyboard.press("Enter");
    expect(await maskWeight(page)).toBeNull();
    const focused = await page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
    expect(focused).toBe("Undo the last stroke");
    await page.focus(".surface");
    await page.keyboard.press("Enter");
    const last = await maskWeight(page);
    await page.focus("[aria-label='Clear all']");
    await page.keyboard.press("Enter");
    expect(await maskWeight(page)).toBeNull();
    await page.keyboard.down("Control");
    await page.keyboard.press("z");
    await page.keyboard.up("Control");
    expect(last).toBeGreaterThan(0);
    expect(await maskWeight(page)).toBe(last);
  });

  it("lets the mask act only while it is switched on", async () => {
    await page.evaluate(() => void rcodDemo?.upscale());
    await page.waitForFunction(
      () => {
        const { activity, results, mask } = rcodDemo?.store.get() ?? {};
        return mask && !activity && results?.at(-1)?.settings.mask;
      },
      { timeout: PATIENCE_MS, polling: 100 },
    );
    const painted = await nextResult(page, 1);
    expect(psnr(await savedPixels(page, painted.id), plain)).toBeLessThan(50);
    await page.click(".toolbar .segment:has([value=split])");
    expect((await modes(page)).marked).toBe("Split");
    expect(await maskWeight(page)).toBeGreaterThan(0); // looked at, it still acts

    // The result without a mask is there already, and would be shown: this is to be a run.
    const [first] = (await stateOf(page)).results;
    await page.evaluate((result) => rcodDemo?.removeResult(result), first?.id ?? 0);
    await page.click("#paint");
    expect(await maskWeight(page)).toBeNull();
    await page.evaluate(() => void rcodDemo?.upscale());
    const { id } = await nextResult(page, painted.id);
    expect(await savedPixels(page, id)).toEqual(plain);
    expect((await modes(page)).choices).not.toContain("Paint");
    const hint = (): Promise<string> => page.$eval("#mask-hint", ({ textContent }) => textContent);
    expect(await hint()).toContain("What you painted is kept");
    await page.click("#paint");
    expect(await maskWeight(page)).toBeGreaterThan(0);
    expect((await modes(page)).marked).toBe("Paint");
    const masked = await maskWeight(page);
    await page.evaluate(() => rcodDemo?.cancel());
    const raw = { width: 40, height: 40, channels: 3 } as const;
    const other = sharp(Buffer.alloc(40 * 40 * 3, 99), { raw }).png();
    await openFile(page, await other.toBuffer(), "other.png");
    expect(await maskWeight(page)).toBeNull();
    expect(await page.$eval("#paint", (node) => (node as HTMLInputElement).checked)).toBe(false);
    expect(await hint()).toContain("the rest follows the slider");

    // Back at the picture, what was painted there acts again.
    const weight = await page.evaluate(async () => {
      const { pictures } = rcodDemo!.store.get();
      await rcodDemo?.openPicture(pictures.at(-2)!.id);
      return rcodDemo?.store.get().mask?.data.reduce((sum, one) => sum + one, 0);
    });
    expect(weight).toBe(masked);
    expect(await page.$eval("#paint", (node) => (node as HTMLInputElement).checked)).toBe(true);
    expect((await modes(page)).marked).toBe("Split"); // it is looked at, not painted on
    const { results, isBusy } = await stateOf(page);
    expect([isBusy, ...results.map((result) => result.id)]).toEqual([false, painted.id, id]);
  });

  it("zooms in where it is double-clicked, and out again", async () => {
    const zoom = (): Promise<string> => page.$eval(".zoom-label", ({ textContent }) => textContent);
    const fit = await zoom();
    const box = await (await page.$(".surface"))?.boundingBox();
    if (!box) throw new Error("no surface");
    const at = [box.x + box.width / 2 + 40, box.y + box.height / 2] as const;
    await page.mouse.click(...at, { count: 2 });
    await expect.poll(zoom, PATIENCE).toBe("100 %");
    await page.mouse.click(...at, { count: 2 });
    await expect.poll(zoom, PATIENCE).toBe(fit);
  });

  it("begins with the part of a large picture that is looked at", async () => {
    const raw = { ...LONG, channels: 3 } as const;
    const file = await sharp(waves(LONG), { raw }).png().toBuffer();
    await openFile(page, file, "long.png");
    const box = await (await page.$(".surface"))?.boundingBox();
    if (!box) throw new Error("no surface");
    // The right end of the picture, large.
    await page.mouse.move(box.x + box.width - 30, box.y + box.height / 2);
    await page.mouse.wheel({ deltaY: -2000 });
    await page.click("#upscale");
    await page.waitForFunction(
      () => {
        const { partial, activity } = rcodDemo?.store.get() ?? {};
        return partial && (activity?.progress?.fraction ?? 0) > 0.4;
      },
      { timeout: PATIENCE_MS, polling: 20 },
    );
    const frame = await page.$eval(".part-frame", (node) => {
      const [of, surface] = [node, node.closest(".surface")!].map((one) =>
        one.getBoundingClientRect(),
      );
      return { isSeen: node.checkVisibility(), left: of!.left - surface!.left, width: of!.width };
    });
    const [zoom, made] = await page.evaluate(() => {
      const percent = document.querySelector(".zoom-label")?.textContent ?? "";
      const region = rcodDemo?.store.get().activity?.progress?.region;
      return [Number.parseInt(percent, 10) / 100, region?.width ?? 0] as const;
    });
    expect(frame.isSeen).toBe(true);
    expect(made).toBeLessThan(8240);
    expect(frame.width / (made * zoom)).toBeCloseTo(1, 1);
    const partial = await page.evaluate(() => rcodDemo?.store.get().partial?.id);
    const soFar = await savedPixels(page, partial ?? 0);
    await page.click("#cancel");
    const enlarged = await sharp(file)
      .resize({ width: 8240, height: 64, fit: "fill", kernel: "cubic" })
      .ensureAlpha()
      .raw()
      .toBuffer();
    const isAt = (from: number, to: number) => (pixel: number) =>
      pixel % 8240 >= from && pixel % 8240 < to;
    const [left, right] = [isAt(0, 5000), isAt(6000, 8240)].map((at) => psnr(soFar, enlarged, at));
    expect(left).toBeGreaterThan(31); // still bicubic
    expect(right).toBeLessThan(left! - 3);
    await page.waitForFunction(() => rcodDemo?.store.get().activity === null);
    expect(await page.$eval(".part-frame", (node) => node.checkVisibility())).toBe(false);
    expect(await demo.problems()).toEqual([]);
  });
});
