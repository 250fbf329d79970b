/** Sizes, estimates, focus and words: a large photo is judged when it is opened, and nothing that is offered fails. */
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { launchUsable } from "../../../bench/chromium.ts";
import { growth, memoryOverRuns } from "../../../demo/memory-over-runs.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import type { FileServer } from "../../browser/file-server.ts";
import { startFileServer } from "../../browser/file-server.ts";
import { minimalFiles } from "../../rcod/support.ts";
import { findings } from "../axe.ts";
import { expectNoLongTasks } from "../long-tasks.ts";
import type { DemoPage } from "../support.ts";
import {
  PATIENCE_MS,
  builtDemo,
  nextResult,
  openCut,
  openDemo,
  openFile,
  stateOf,
} from "../support.ts";

// Some runs on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const POLL = { timeout: PATIENCE_MS, polling: 50 } as const;

const browser = await launchUsable();
let server: FileServer;
let demo: DemoPage;
let page: Page;

const text = (selector: string): Promise<string> =>
  page.$eval(selector, (node) => node.textContent ?? "");

/** The element that has the focus: its id, or its first class. */
const focused = (): Promise<string> =>
  page.evaluate(() => {
    const { id, className, tagName } = document.activeElement ?? document.body;
    return id ? `#${id}` : className ? `.${className.split(" ", 1)[0]}` : tagName;
  });

const untilFocused = (place: string): Promise<unknown> =>
  expect.poll(focused, { timeout: PATIENCE_MS }).toBe(place);

const image = (): Promise<{ readonly width: number; readonly height: number } | null> =>
  page.evaluate(() => {
    const open = rcodDemo?.store.get().image;
    return open ? { width: open.width, height: open.height } : null;
  });

const untilOpen = (width: number, height: number): Promise<unknown> =>
  expect.poll(image, { timeout: PATIENCE_MS }).toEqual({ width, height });

/** What screen readers were told since the last time. */
const announced = (): Promise<readonly string[]> =>
  page.evaluate(() => announcements.splice(0, announcements.length));

declare global {
  var announcements: string[];
}

async function photo(width: number, height: number): Promise<Buffer> {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % width;
    return 128 + 90 * Math.sin(x / 40 + (i % 3)) + ((i * 7919) % 21);
  });
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg()
    .toBuffer();
}

/** Middle of an element, in the page's pixels. */
async function middleOf(selector: string): Promise<readonly [x: number, y: number]> {
  const box = await (await page.$(selector))?.boundingBox();
  if (!box) throw new Error(`${selector} is not seen`);
  return [box.x + box.width / 2, box.y + box.height / 2];
}

beforeAll(async () => {
  if (browser === null) return;
  server = await startFileServer();
  server.mount("demo", await builtDemo());
  server.mount("minimal", memoryFiles(await minimalFiles()));
  demo = await openDemo(browser, `${server.address}/demo/?debug&canvas=2d`);
  page = demo.page;
  await page.waitForSelector(".sample");
  await page.evaluate(() => {
    globalThis.announcements = [];
    const announcer = document.querySelector("#announcer");
    if (!announcer) throw new Error("no announcer");
    new MutationObserver(() => announcements.push(announcer.textContent ?? "")).observe(announcer, {
      childList: true,
    });
  });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});
expectNoLongTasks(browser);

// One page for all: each test goes on where the one before stopped.
describe.skipIf(browser === null)("a photo of 2400 × 1600", () => {
  it("is judged when it is opened, with the focus on the button", async () => {
    await openFile(page, await photo(2400, 1600), "holiday.jpg");
    await untilFocused("#upscale");
    const heard = await announced();
    expect(heard.at(-1)).toBe("holiday.jpg is open, 2400 × 1600 pixels.");
    expect(heard).not.toContain("Stopped.");
    await page.waitForFunction(
      () => document.querySelectorAll(".advice-actions button").length > 0,
      POLL,
    );
    const choices = await page.$$eval(".sizes .segment", (nodes) =>
      nodes.map((node) => node.textContent),
    );
    expect(choices).toHaveLength(5);
    const [one, , , four] = choices;
    expect(one).toMatch(/^×1.*2400 × 1600 · \d+ parts · /);
    expect(four).toMatch(/^×4.*9600 × 6400 · \d+ parts · /);
    expect(await page.$eval("#upscale", (node) => (node as HTMLButtonElement).disabled)).toBe(
      false,
    );
    const { problem } = await stateOf(page);
    expect(problem).toBeNull();
    expect(await findings(page)).toEqual([]);
  });

  it("gives a smaller copy by one click, and comes back whole", async () => {
    const label = await text(".advice-actions button");
    const [, side] = /^Copy of (\d+) px · \D/.exec(label) ?? [];
    await page.click(".advice-actions button");
    await untilOpen(Number(side), Math.round((Number(side) * 1600) / 2400));
    expect(await text(".photo-text [role=note]")).toMatch(/^A smaller copy: .* of 2400 × 1600/);
    await untilFocused("#upscale");
    await page.click("#whole");
    await untilOpen(2400, 1600);
    await untilFocused("#upscale");
    expect(await page.$eval("#whole", (node) => (node as HTMLElement).hidden)).toBe(true);
  });

  it("is cut by a frame with handles, with pointer and keys, and the cut is undone", async () => {
    await page.click("#crop");
    await untilFocused(".crop-frame");
    expect(await text("#crop-facts")).toMatch(/^1200 × 800 → 4800 × 3200/);
    await page.waitForFunction(
      () =>
        /, (about|a|less|some|half|hours)/.test(
          document.querySelector("#crop-facts")?.textContent ?? "",
        ),
      POLL,
    );

    const [x, y] = await middleOf(".crop-handle.is-across-2.is-down-2");
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - 60, y - 40, { steps: 5 });
    await page.mouse.up();
    const frame = (): Promise<readonly number[]> =>
      page.$eval("#crop-facts", (node) =>
        (/^(\d+) × (\d+)/.exec(node.textContent ?? "") ?? []).slice(1).map(Number),
      );
    const [width = 0, height = 0] = await frame();
    expect(width).toBeLessThan(1100);
    expect(height).toBeLessThan(740);

    // The frame moves; a handle changes the size.
    await page.focus(".crop-frame");
    const left = (): Promise<string> =>
      page.$eval(".crop-frame", (node) => (node as HTMLElement).style.left);
    const before = await left();
    await page.keyboard.press("ArrowRight");
    expect(await left()).not.toBe(before);
    expect(await frame()).toEqual([width, height]);
    await page.focus(".crop-handle.is-across-2.is-down-1");
    await page.keyboard.press("ArrowLeft");
    expect(await frame()).toEqual([width - 24, height]);
    await page.keyboard.down("Shift");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.up("Shift");
    expect(await frame()).toEqual([width - 23, height]);

    // Escape leaves the frame first, and the picture as it was.
    await page.keyboard.press("Escape");
    await untilFocused("#crop");
    expect(await image()).toEqual({ width: 2400, height: 1600 });

    await page.keyboard.press("Enter");
    await untilFocused(".crop-frame");
    expect(await findings(page)).toEqual([]);
    await page.click("#crop-apply");
    await untilOpen(1200, 800);
    await untilFocused("#upscale");
    await page.click("#whole");
    await untilOpen(2400, 1600);
    await untilFocused("#upscale"); // once its pixels are read
  });

  it("takes a width or a height in pixels, at most ×4", async () => {
    await page.click("input[name=scale][value=target]");
    const typed = async (side: string, pixels: string): Promise<string> => {
      await page.focus(`#target-${side}`);
      await page.$eval(`#target-${side}`, (node) => (node as HTMLInputElement).select());
      await page.keyboard.type(pixels);
      await page.keyboard.press("Enter");
      return text("#upscale");
    };
    expect(await typed("width", "1200")).toBe("Upscale to 1200 × 800");
    expect(await focused()).toBe("#target-width");
    expect(await typed("height", "400")).toBe("Upscale to 600 × 400");
    expect(await text(".photo-size")).toContain("→ 600 × 400");
    expect(await typed("width", "20000")).toBe("Upscale to 9600 × 6400");
    expect(await text("#target-note")).toContain("9600 × 6400 at most");
    await page.click("input[name=scale][value='4']");
    expect(await text("#upscale")).toBe("Upscale ×4");
  });

  it("stays open beside a file that cannot be read, which has a name, a reason and a remedy", async () => {
    const opens = (bytes: readonly number[], type: string): Promise<unknown> =>
      page.evaluate(
        (list, mime) => rcodDemo?.openImage(new Blob([new Uint8Array(list)], { type: mime }), "x"),
        bytes,
        type,
      );
    await page.focus("#crop");
    await opens([1, 2, 3], "image/png");
    expect(await text(".problem h2")).toBe("This picture is damaged");
    expect(await text(".problem p")).toMatch(/calls itself PNG.*once more/);
    expect(await text(".problem details")).toContain("image/png, 3 bytes");
    await page.focus(".problem button");
    await page.keyboard.press("Escape");
    expect(await page.$eval(".problem", (node) => (node as HTMLElement).hidden)).toBe(true);
    expect(await focused()).toBe("#crop");

    // A head that promises more than any browser decodes; there is nothing behind it.
    const head = Buffer.from(
      "89504e470d0a1a0a0000000d4948445200009c400000753008020000000000000000",
      "hex",
    );
    await opens([...head], "image/png");
    expect(await text(".problem h2")).toBe("This picture is too large to open here");
    expect(await text(".problem p")).toMatch(/40000 × 30000 pixels.*command line/);
    await page.keyboard.press("Escape");
    expect(await image()).toEqual({ width: 2400, height: 1600 });
  });
});

/** A part of the open picture of which there is no result yet. */
const openPart = (x: number): Promise<void> =>
  page.evaluate(async (left) => {
    const { blob, name } = rcodDemo?.store.get().image ?? {};
    const cut = { x: left, y: 8, width: 48, height: 48 };
    if (blob && name) await rcodDemo?.openImage(blob, name, cut);
  }, x);

describe.skipIf(browser === null)("a run", () => {
  it("has the focus, is heard, and ends by Escape", async () => {
    await page.evaluate(async (url) => {
      await rcodDemo?.chooseModel({ kind: "url", url });
    }, `${server.address}/minimal`);
    await openCut(page);
    await untilFocused("#upscale");
    await announced();

    await page.keyboard.press("Enter");
    await untilFocused("#cancel");
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => rcodDemo?.store.get().activity === null, POLL);
    await untilFocused("#upscale");
    await expect.poll(announced).toEqual(["Upscaling.", "Stopped."]);
    expect((await stateOf(page)).problem).toBeNull();
  });

  it("ends with the focus on the result", async () => {
    await page.keyboard.press("Enter");
    await untilFocused("#cancel");
    await nextResult(page);
    await untilFocused(".surface");
    const heard = await announced();
    expect(heard[0]).toBe("Upscaling.");
    expect(heard.at(-1)).toMatch(/^Done in .*: 192 × 192 pixels\.$/);
    expect(heard).not.toContain("Stopped.");
  });

  it("is seen from other tabs", async () => {
    await openPart(0);
    await page.click("#upscale");
    await page.click("#tab-inside");
    await page.waitForFunction(() => {
      const tab = document.querySelector("#tab-upscale");
      return (
        /^[1-9]\d? %$/.test(tab?.querySelector(".tab-figure")?.textContent ?? "") &&
        /^Upscale, \d+ percent done$/.test(tab?.ariaLabel ?? "") &&
        /^[1-9]\d? % · rcod$/.test(document.title)
      );
    }, POLL);
    await nextResult(page, 1);
    await page.waitForFunction(() => document.title === "Done · rcod", POLL);
    expect(await page.$eval("#tab-upscale", (node) => node.ariaLabel)).toBe("Upscale, done");
    await page.click("#tab-upscale");
    await page.waitForFunction(() => document.title.startsWith("rcod ·"), POLL);
  });

  it("leaves no more memory behind, however often", async () => {
    await openPart(8);
    expect(growth(await memoryOverRuns(page, 9), 5)).toEqual([]);
  });

  it("is foreseen in less than five minutes for 48 × 48 after one of a single pixel", async () => {
    const expected = (): Promise<number | null> =>
      page.evaluate(() => rcodDemo?.store.get().estimate?.timeMs ?? null);
    const dot = await sharp(Buffer.from([9, 9, 9]), { raw: { width: 1, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    await openFile(page, dot, "dot.png");
    await page.click("#upscale");
    await nextResult(page, 2);
    await openCut(page);
    await openPart(16);
    await expect.poll(expected, { timeout: PATIENCE_MS }).toBeGreaterThan(0);
    expect(await expected()).toBeLessThan(300_000);
    expect(await text("#expected")).toMatch(/^Takes about \d+(\.\d)? m?s on this device/);
    expect((await demo.problems()).filter((line) => !/404/.test(line))).toEqual([]);
  });
});
