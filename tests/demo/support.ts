/** The built demo page in a browser, and what its tests ask of it. */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "puppeteer-core";
import sharp from "sharp";
import { build } from "vite";
import type { App, AppState } from "../../demo/app.ts";
import type { CommandName, Estimate, ResultInfo } from "../../demo/protocol.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { sharedFolder } from "../support/run-folder.ts";
import { asTest } from "./main-thread.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

declare global {
  /** What the page's content policy refused; filled by `openDemo`. */
  var policyViolations: string[];
  var rcodDemo: App | undefined;
  /** What the page believes that a run takes; filled by `tellPace`, as those below. */
  var toldMs: number;
  /** Commands that the page has sent through `App.call`, and those that were answered. */
  var sent: CommandName[];
  var answered: CommandName[];
}

/** Builds the page as `npm run build:demo` does; once for all files of a run. `version` makes another one of it. */
export async function builtDemo(version?: string): Promise<FileSet> {
  const shared = version === undefined ? await sharedFolder("demo", buildDemo) : null;
  if (shared !== null) return folderFiles(shared);
  const outDir = await mkdtemp(join(tmpdir(), "rcod-demo-"));
  process.once("exit", () => rmSync(outDir, { recursive: true, force: true }));
  await buildDemo(outDir, version);
  return folderFiles(outDir);
}

async function buildDemo(outDir: string, version?: string): Promise<void> {
  // The test runner's would make a development build.
  const mode = process.env["NODE_ENV"];
  process.env["NODE_ENV"] = "production";
  try {
    await build({
      configFile: join(ROOT, "demo", "vite.config.ts"),
      logLevel: "error",
      ...(version !== undefined && { define: { __VERSION__: JSON.stringify(version) } }),
      build: { outDir, emptyOutDir: true },
    });
  } finally {
    process.env["NODE_ENV"] = mode;
  }
}

export interface DemoPage {
  readonly page: Page;
  /** Console errors, uncaught exceptions, failed parts and policy violations so far. */
  readonly problems: () => Promise<readonly string[]>;
}

/** Opens the page for a visitor of its own, who has nothing kept; in a context for the visitor that is there. */
export async function openDemo(
  browser: Browser | BrowserContext,
  address: string,
): Promise<DemoPage> {
  const visitor =
    "createBrowserContext" in browser ? await browser.createBrowserContext() : browser;
  const page = await visitor.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`uncaught: ${String(error)}`));
  page.on("requestfailed", (request) => {
    // What code fetches it may also drop half-way.
    const isPart = !["fetch", "xhr", "other"].includes(request.resourceType());
    if (isPart) problems.push(`failed: ${request.url()}`);
  });
  await page.evaluateOnNewDocument(() => {
    globalThis.policyViolations = [];
    addEventListener("securitypolicyviolation", (event) => {
      policyViolations.push(`${event.violatedDirective}: ${event.blockedURI}`);
    });
  });
  // Colours are looked at as they end, not on their way.
  await page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "reduce" }]);
  // Even sizes, so that the middle of the stage lies between two pixels.
  await page.setViewport({ width: 1200, height: 800 });
  await page.goto(address);
  return {
    page,
    problems: async () => [...problems, ...(await page.evaluate(() => policyViolations))],
  };
}

/**
 * Tells the page what a run takes: under 5 s it upscales by itself when settings change. Else that would depend on what else this
 * machine does.
 */
export function tellPace(page: Page, ms: number): Promise<void> {
  return page.evaluate((told) => {
    const app = rcodDemo;
    if (!app) throw new Error("open the page with ?debug");
    globalThis.toldMs = told;
    const { estimate } = app.store.get();
    if (estimate) app.store.set({ estimate: { ...estimate, timeMs: told } });
    if (globalThis.sent) return;
    globalThis.sent = [];
    globalThis.answered = [];
    const call = app.call.bind(app) as (...args: unknown[]) => Promise<unknown>;
    app.call = (async (name: CommandName, ...args: unknown[]) => {
      sent.push(name);
      const answer = await call(name, ...args);
      answered.push(name);
      return name === "estimate" && answer
        ? { ...(answer as Estimate), timeMs: globalThis.toldMs }
        : answer;
    }) as typeof app.call;
  }, ms);
}

/** A part of the bundled photo that a software adapter upscales in seconds. */
export const CUT = { x: 40, y: 40, width: 48, height: 48 } as const;

/** Opens the cut through the app, as the page's own "Crop" does. */
export async function openCut(page: Page): Promise<void> {
  await page.evaluate(async (cut) => {
    const blob = await (await fetch("./photos/boats.png")).blob();
    await rcodDemo?.openImage(blob, "boats.png", cut);
  }, CUT);
}

/** Opens a file, and waits until it is open. */
export async function openFile(page: Page, file: Buffer, name: string): Promise<void> {
  await page.evaluate(
    async (base64, called) => {
      const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      await rcodDemo?.openImage(new Blob([data], { type: "image/png" }), called);
    },
    file.toString("base64"),
    name,
  );
  const { problem } = await stateOf(page);
  if (problem) throw new Error(`${problem.title}: ${problem.detail}`);
}

/** For one run on a software adapter, on a machine with other work. */
export const PATIENCE_MS = 140_000;

type Summary = Pick<AppState, "model" | "problem" | "isDeviceLost"> & {
  readonly results: readonly ResultInfo[];
  readonly isBusy: boolean;
};

export function stateOf(page: Page): Promise<Summary> {
  return page.evaluate(() => {
    const state = rcodDemo?.store.get();
    if (!state) throw new Error("open the page with ?debug");
    const { model, problem, isDeviceLost, activity } = state;
    // Masks are large and of no interest here.
    const results = state.results.map((result) => ({
      ...result,
      settings: { ...result.settings, mask: null },
    }));
    return { model, problem, isDeviceLost, results, isBusy: activity !== null };
  });
}

/** Waits for a result that is newer than `after`; throws what the page shows as a problem. */
export async function nextResult(page: Page, after = 0): Promise<ResultInfo> {
  await page.waitForFunction(
    (id) => {
      const state = rcodDemo?.store.get();
      if (!state || state.activity) return false;
      return state.problem !== null || (state.results.at(-1)?.id ?? 0) > id;
    },
    { timeout: PATIENCE_MS, polling: 100 },
    after,
  );
  const { problem, results } = await stateOf(page);
  const last = results.at(-1);
  if (problem || !last) throw new Error(`${problem?.title}: ${problem?.detail}`);
  return last;
}

/** RGBA pixels of a result, through the page's own PNG. */
export async function savedPixels(page: Page, result: number): Promise<Uint8Array> {
  const read = async (id: number): Promise<string> => {
    const blob = await rcodDemo?.call("save", { result: id, type: "image/png" });
    const bytes = new Uint8Array((await blob?.arrayBuffer()) ?? []);
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  };
  const base64 = await asTest(page, () => page.evaluate(read, result));
  return sharp(Buffer.from(base64, "base64")).ensureAlpha().raw().toBuffer();
}

/** RGBA pixels that the stage shows now. */
export async function shownPixels(
  page: Page,
): Promise<{ readonly width: number; readonly height: number; readonly data: Uint8Array }> {
  const read = async () => {
    // The worker draws in its next frame, and the frame after that is on the page.
    for (let i = 0; i < 4; i++) await new Promise((done) => requestAnimationFrame(done));
    await new Promise((done) => setTimeout(done, 400));
    const canvas = document.querySelector<HTMLCanvasElement>("canvas.canvas");
    if (!canvas) throw new Error("no canvas");
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    copy.getContext("2d")?.drawImage(canvas, 0, 0);
    const bytes = new Uint8Array(await (await copy.convertToBlob()).arrayBuffer());
    return {
      width: canvas.width,
      height: canvas.height,
      base64: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")),
    };
  };
  const { width, height, base64 } = await asTest(page, () => page.evaluate(read));
  const data = await sharp(Buffer.from(base64, "base64")).ensureAlpha().raw().toBuffer();
  return { width, height, data };
}

/** Peak signal-to-noise ratio of RGB over the pixels that `isCounted` takes, in dB. */
export function psnr(
  a: Uint8Array,
  b: Uint8Array,
  isCounted: (pixel: number) => boolean = () => true,
): number {
  let sum = 0;
  let count = 0;
  for (let pixel = 0; pixel * 4 < a.length; pixel++) {
    if (!isCounted(pixel)) continue;
    for (let i = pixel * 4; i < pixel * 4 + 3; i++) {
      sum += (a[i]! - b[i]!) ** 2;
      count++;
    }
  }
  return sum === 0 ? Infinity : 10 * Math.log10((255 ** 2 * count) / sum);
}
