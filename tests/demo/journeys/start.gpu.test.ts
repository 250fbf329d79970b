/** The first minute: before and after, samples, a phone in the hand, a browser without WebGPU. */
import type { Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { launchUsable } from "../../../bench/chromium.ts";
import { SAMPLES } from "../../../demo/start/samples.ts";
import type { FileSet } from "../../../src/weights/index.ts";
import type { FileServer } from "../../browser/file-server.ts";
import { startFileServer } from "../../browser/file-server.ts";
import { findings } from "../axe.ts";
import { expectNoLongTasks } from "../long-tasks.ts";
import { watchProcessor } from "../processor-pace.ts";
import { builtDemo, nextResult, openCut, openDemo } from "../support.ts";
import type { Box } from "./phone.ts";
import { PHONE, boxOf, isInView, smallTargets } from "./phone.ts";

// One upscale on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

/** What a visitor loads before the model. */
const MAX_PAGE_BYTES = 600_000;
/** From the click on a link until something is seen, on a processor at rest. */
const MAX_PAINT_MS = 500;
/** A visit may meet other work of the machine, of which nothing is its own. */
const VISITS = 4;
const DESKTOP = { width: 1200, height: 800 } as const;

const browser = await launchUsable();
let server: FileServer;
let built: FileSet;
let address: string;

/** The page where no model is, and what was asked of that. */
const asked: string[] = [];
const withoutModels: FileSet = {
  name: "without models",
  async open(name) {
    if (!name.startsWith("models/")) return built.open(name);
    asked.push(name);
    return null;
  },
};

beforeAll(async () => {
  if (browser === null) return;
  built = await builtDemo();
  server = await startFileServer();
  server.mount("start", built);
  server.mount("bare", withoutModels);
  address = `${server.address}/start/?debug&canvas=2d`;
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});
expectNoLongTasks(browser);

/** Percent of the frame that is left of the line, and of which the after picture leaves the before one visible. */
const lineAt = (page: Page): Promise<readonly [line: number, clip: number]> =>
  page.$eval(".proof-frame", (frame) => {
    const box = frame.getBoundingClientRect();
    const line = frame.querySelector(".divider")!.getBoundingClientRect();
    const after = getComputedStyle(frame.querySelectorAll("img")[1]!).clipPath;
    const place = ((line.left + line.width / 2 - box.left) / box.width) * 100;
    return [Math.round(place), Number(/ ([\d.]+)%\)$/.exec(after)?.[1])] as const;
  });

/** Milliseconds from the begin of a visit until there is something to see, and how slow the processor was then. */
async function firstPaint(): Promise<{ readonly ms: number; readonly slowness: number }> {
  const pace = watchProcessor();
  const { page } = await openDemo(browser!, `${server.address}/start/`);
  const ms = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        new PerformanceObserver((list) => {
          const [paint] = list.getEntriesByName("first-contentful-paint");
          if (paint) resolve(paint.startTime);
        }).observe({ type: "paint", buffered: true });
      }),
  );
  const slowness = pace.slownessAt(Number(process.hrtime.bigint() / 1000n));
  pace.stop();
  await page.browserContext().close();
  return { ms, slowness };
}

/** The machine may have other work. */
const eventually = (check: () => Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 60_000, interval: 100 });

describe.skipIf(browser === null)("the start", () => {
  let page: Page;

  beforeAll(async () => {
    if (browser === null) return;
    ({ page } = await openDemo(browser, "about:blank"));
    // The service worker would fetch all there is, once the page is up.
    await page.evaluateOnNewDocument(() => {
      Reflect.deleteProperty(Navigator.prototype, "serviceWorker");
    });
    await page.goto(`${server.address}/bare/?debug&canvas=2d`);
    await page.waitForSelector(".proof-slider");
  });

  it("shows before and after while no file of a model can be had", async () => {
    await page.waitForFunction(() =>
      [...document.querySelectorAll<HTMLImageElement>(".proof-frame img")].every(
        ({ complete, naturalWidth }) => complete && naturalWidth === 512,
      ),
    );
    await page.waitForFunction(() => rcodDemo?.store.get().device); // the worker's scripts are all there
    expect(asked).toEqual([]);
    // Of the page and its worker, as they are: servers that compress send less than half of it.
    const sent = server.requests.filter(({ path }) => path.startsWith("/bare/"));
    const bytes = sent.reduce((sum, request) => sum + request.bytes, 0);
    expect(sent.filter(({ path }) => path.endsWith(".js")).length).toBeGreaterThan(3);
    expect(bytes, sent.map(({ path, bytes: size }) => `${path} ${size}`).join("\n")).toBeLessThan(
      MAX_PAGE_BYTES,
    );
  });

  it("is seen within half a second", async () => {
    const visits: Awaited<ReturnType<typeof firstPaint>>[] = [];
    const isSoon = ({ ms, slowness }: (typeof visits)[number]): boolean =>
      ms <= MAX_PAINT_MS * slowness;
    while (visits.length < VISITS && !visits.some(isSoon)) visits.push(await firstPaint());
    expect(visits.some(isSoon), JSON.stringify(visits)).toBe(true);
  });

  it("moves the line by pointer, anywhere in the picture and to its edges", async () => {
    const { left, top, width, height } = await boxOf(page, ".proof-frame");
    const y = top + height / 3;
    await page.mouse.move(left + width * 0.25, y);
    await page.mouse.down();
    expect(await lineAt(page)).toEqual([25, 25]);
    await page.mouse.move(left + width * 0.75, y, { steps: 5 });
    expect(await lineAt(page)).toEqual([75, 75]);
    await page.mouse.move(left + width - 1, y + 40, { steps: 5 });
    await page.mouse.up();
    expect(await lineAt(page)).toEqual([100, 100]);
    // Where only one of the two is left to see, only its name is.
    expect(
      await page.$$eval(".proof-name", (all) => all.map((name) => (name as HTMLElement).hidden)),
    ).toEqual([false, true]);
  });

  it("moves it by keys, as a slider that says where it is", async () => {
    await page.focus(".proof-slider");
    await page.keyboard.press("Home");
    expect(await lineAt(page)).toEqual([0, 0]);
    for (let i = 0; i < 30; i++) await page.keyboard.press("ArrowRight");
    expect(await lineAt(page)).toEqual([30, 30]);
    const { role, name, valuetext } = (await page.accessibility.snapshot({
      root: (await page.$(".proof-slider"))!,
    }))!;
    expect([role, name]).toEqual(["slider", "Line between before and after"]);
    expect(valuetext).toBe("30 percent before, 70 percent after");
  });

  it("has no accessibility finding at both widths", async () => {
    for (const viewport of [DESKTOP, { width: 390, height: 844 }]) {
      await page.setViewport(viewport);
      expect(await findings(page), String(viewport.width)).toEqual([]);
    }
    await page.setViewport(DESKTOP);
  });

  it("opens each of four samples by one click, small enough for a device without a GPU", async () => {
    expect(SAMPLES).toHaveLength(4);
    for (const { name } of SAMPLES) {
      await page.click(`.sample[data-photo="${name}"]`);
      await page.waitForFunction(
        (wanted) => {
          const { image, activity } = rcodDemo?.store.get() ?? {};
          return image?.name === wanted && activity === null;
        },
        {},
        name,
      );
      const [side, canStart] = await page.evaluate(() => {
        const { image } = rcodDemo!.store.get();
        const start = document.querySelector<HTMLButtonElement>("#upscale");
        return [Math.max(image?.width ?? 0, image?.height ?? 0), start?.disabled === false];
      });
      expect(side, name).toBeGreaterThan(100);
      expect(side, name).toBeLessThanOrEqual(160);
      expect(canStart, name).toBe(true);
      await page.evaluate(() => rcodDemo?.store.set({ image: null }));
    }
  });
});

describe.skipIf(browser === null)("on a phone", () => {
  let page: Page;
  let surface: Box;

  beforeAll(async () => {
    if (browser === null) return;
    ({ page } = await openDemo(browser, address));
    await page.evaluateOnNewDocument(() => {
      const shared: File[] = [];
      Object.assign(globalThis, { shared, refusal: null });
      Object.assign(navigator, {
        canShare: ({ files }: ShareData) => files?.length === 1,
        async share({ files }: ShareData) {
          const { refusal } = globalThis as unknown as { readonly refusal: string | null };
          if (refusal !== null) throw new DOMException("no", refusal);
          shared.push(...(files ?? []));
        },
      });
    });
    await page.setViewport(PHONE); // loads the page anew, as fingers are new to it
    await page.waitForSelector(".proof-slider");
  });

  it("shows the proof, the button and the samples without scrolling", async () => {
    expect(await smallTargets(page)).toEqual([]);
    for (const selector of [".proof", ".empty .button", ".sample:last-child"]) {
      expect(await isInView(page, selector), selector).toBe(true);
    }
  });

  it("moves the line by a finger, and leaves going up to the page", async () => {
    const { left, top, width, height } = await boxOf(page, ".proof-frame");
    const touch = await page.touchscreen.touchStart(left + width / 2, top + height / 2);
    await touch.move(left + width * 0.6, top + height / 2);
    await touch.move(left + width * 0.8, top + height / 2);
    await touch.end();
    expect((await lineAt(page))[0]).toBeGreaterThan(70);
    const action = await page.$eval(
      ".proof-slider",
      (slider) => getComputedStyle(slider).touchAction,
    );
    expect(action).toBe("pan-y");
  });

  it("keeps the run's button in view once a picture is open", async () => {
    await openCut(page);
    await page.waitForSelector("#upscale:not(:disabled)");
    expect(await smallTargets(page)).toEqual([]);
    expect(await isInView(page, "#upscale")).toBe(true);
    surface = await boxOf(page, ".surface");
  });

  it("scrolls the page over a fitted picture, and moves a zoomed one", async () => {
    const session = await page.createCDPSession();
    const x = surface.left + surface.width / 4;
    const y = surface.top + surface.height * 0.7;
    /** How far the page goes when a finger goes up. */
    const scroll = async (): Promise<number> => {
      const finger = await page.touchscreen.touchStart(x, y);
      for (let way = 15; way <= 120; way += 15) await finger.move(x, y - way);
      await finger.end();
      const top = await page.evaluate(() => scrollY);
      await page.evaluate(() => scrollTo(0, 0));
      return top;
    };
    const touchAction = (): Promise<string> =>
      page.$eval(".surface", (node) => getComputedStyle(node).touchAction);
    const zoom = (): Promise<number> =>
      page.$eval(".zoom-label", (node) => Number.parseInt(node.textContent ?? "", 10));
    const fitted = await zoom();
    expect(await touchAction()).toBe("pan-y");
    await eventually(async () => expect(await scroll()).toBeGreaterThan(60));
    expect(await zoom()).toBe(fitted);

    const pinch = { x, y, scaleFactor: 2, gestureSourceType: "touch" } as const;
    // On a busy machine the browser may take the first finger for a scroll, as it may a visitor's.
    await eventually(async () => {
      await page.evaluate(() => scrollTo(0, 0));
      await session.send("Input.synthesizePinchGesture", pinch);
      expect(await zoom()).toBeGreaterThan(fitted * 1.5);
    });
    expect(await touchAction()).toBe("none");
    // The browser's own thread hears of it a frame later.
    await eventually(async () => expect(await scroll()).toBe(0));
    await page.click("[title='Fit to window']");
    expect(await touchAction()).toBe("pan-y");
  });

  it("holds the brush's tools at the picture while it paints", async () => {
    await page.click("#paint");
    const dock = await boxOf(page, ".mask-dock");
    const stage = await boxOf(page, ".surface");
    expect(Math.abs(dock.top - (stage.top + stage.height))).toBeLessThan(2);
    expect(await isInView(page, ".mask-dock .tools")).toBe(true);
    expect(await isInView(page, ".surface")).toBe(true);
    expect(await smallTargets(page)).toEqual([]);
    expect(await page.$eval(".surface", (node) => getComputedStyle(node).touchAction)).toBe("none");
    expect(await findings(page)).toEqual([]);
    await page.click(".mask-dock > .button");
    expect(await page.$(".mask-dock .tools")).toBeNull();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("paint");
    await page.evaluate(() => scrollTo(0, 0));
  });

  it("shows progress and a way out in its place, then Save and Share, and nothing jumps", async () => {
    const bar = await boxOf(page, ".action-bar");
    await page.click("#upscale");
    await page.waitForSelector("#cancel", { visible: true });
    expect(await isInView(page, ".action-bar .progress")).toBe(true);
    expect(await isInView(page, "#cancel")).toBe(true);
    expect(await smallTargets(page)).toEqual([]);
    expect(await boxOf(page, ".action-bar")).toEqual(bar);
    await nextResult(page);
    const labels = await page.$$eval(".keep .button", (all) => all.map((node) => node.textContent));
    expect(labels).toEqual(["Save", "Share"]);
    for (const i of [1, 2]) {
      expect(await isInView(page, `.keep .button:nth-of-type(${i})`)).toBe(true);
    }
    expect(await smallTargets(page)).toEqual([]);
    expect(await boxOf(page, ".action-bar")).toEqual(bar);
    expect(await boxOf(page, ".surface")).toEqual(surface);
    expect(await findings(page)).toEqual([]);
  });

  it("names its tools in words that are not cut off", async () => {
    const words = await page.$$eval(".toolbar .segment-label, .toolbar .tool-word", (all) =>
      all.map((node) => {
        const [word, control] = [node, node.parentElement!].map((of) => of.getBoundingClientRect());
        const isWhole = word!.left >= control!.left && word!.right <= control!.right;
        return [node.textContent, word!.width > 0 && isWhole];
      }),
    );
    expect(words.length).toBeGreaterThanOrEqual(8);
    expect(words.filter(([, isSeen]) => !isSeen)).toEqual([]);
    const isWider = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(isWider).toBe(false);
  });

  it("has room for fingers on every tab", async () => {
    for (const tab of ["inside", "benchmark", "verify", "upscale"]) {
      await page.click(`#tab-${tab}`);
      await page.waitForFunction(
        (view) =>
          [...document.querySelectorAll(`${view} h2`)].some((head) => head.checkVisibility()),
        {},
        `#view-${tab}`,
      );
      expect(await smallTargets(page), tab).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), tab).toBe(390);
    }
  });

  it("shares the shown result as a file", async () => {
    const shared = (): Promise<readonly (readonly [string, string, boolean])[]> =>
      page.evaluate(() =>
        (globalThis as unknown as { shared: File[] }).shared.map(
          ({ name, type, size }) => [name, type, size > 5000] as const,
        ),
      );
    const refuse = (reason: string | null): Promise<unknown> =>
      page.evaluate((name) => Object.assign(globalThis, { refusal: name }), reason);
    const press = (): Promise<void> => page.click(".keep .button:last-of-type");
    const said = (): Promise<string> =>
      page.$eval("#save [role=status]", (node) => node.textContent ?? "");
    await press();
    await eventually(async () => expect(await shared()).toHaveLength(1));
    expect((await shared())[0]).toEqual([
      expect.stringMatching(/^boats-x4.*\.png$/),
      "image/png",
      true,
    ]);

    await refuse("NotAllowedError"); // as when making the file took longer than the click lasts
    await press();
    await eventually(async () => expect(await said()).toContain("press Share once more"));
    await refuse("AbortError");
    await press();
    await eventually(async () => expect(await said()).toBe(""));
    await refuse(null);
    await press();
    await eventually(async () => expect(await shared()).toHaveLength(2));
    await page.close();
  });
});

describe.skipIf(browser === null)("without WebGPU", () => {
  const without = async (hash: string): Promise<Page> => {
    const page = await browser!.newPage();
    await page.evaluateOnNewDocument(() => {
      Reflect.deleteProperty(Navigator.prototype, "gpu");
      Object.defineProperty(navigator, "clipboard", {
        value: {
          writeText: async (text: string) => void Object.assign(globalThis, { copied: text }),
        },
      });
    });
    await page.setViewport(DESKTOP);
    await page.goto(`${server.address}/start/${hash}`);
    await page.waitForSelector("#unsupported");
    return page;
  };

  it("shows before and after, browsers, the command line and a link with the settings", async () => {
    const page = await without("#scale=2&realism=0.25&colorFix=wavelet&nonsense=1");
    await page.focus(".proof-slider");
    await page.keyboard.press("End");
    expect(await lineAt(page)).toEqual([100, 100]);
    const text = await page.$eval("#unsupported", (node) => node.textContent ?? "");
    expect(text).toMatch(/no WebGPU.*Chrome and Edge.*Safari.*Firefox.*Open it elsewhere/s);
    const [link = "", command] = await page.$$eval(".copy-line", (all) =>
      all.map((line) => line.textContent ?? ""),
    );
    expect(command).toBe(
      "npx rcod-webgpu upscale photo.jpg --scale 2 --realism 0.25 --color wavelet",
    );
    await page.click(".copy-row .button");
    await page.waitForFunction(() => document.querySelector(".copy-row .hint")?.textContent);
    const copied = await page.evaluate(() => (globalThis as unknown as { copied: string }).copied);
    expect(copied).toBe(link);
    for (const viewport of [DESKTOP, PHONE]) {
      await page.setViewport(viewport);
      await page.waitForSelector("#unsupported");
      expect(await findings(page), String(viewport.width)).toEqual([]);
    }
    expect(await smallTargets(page)).toEqual([]);
    await page.close();

    // Elsewhere.
    const { page: other } = await openDemo(browser!, link.replace("#", "?debug&canvas=2d#"));
    await other.waitForSelector(".proof-slider");
    const settings = await other.evaluate(() => rcodDemo?.store.get().settings);
    expect(settings).toMatchObject({ scale: 2, realism: 0.25, colorFix: "wavelet" });
    // This Chromium hands no files to other apps: there is nothing to press for it.
    const labels = await other.$$eval("button", (all) => all.map((node) => node.textContent));
    expect(labels).toContain("Copy");
    expect(labels).not.toContain("Share");
    await other.close();
  });
});
