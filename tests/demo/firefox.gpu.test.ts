/**
 * The page in Firefox, whose WebGPU is wgpu: another shader compiler, another worker, another canvas. Where this Firefox has none the
 * page without it is tested all the same. On Debian: `apt-get install --no-install-recommends firefox-esr mesa-vulkan-drivers`.
 * `RCOD_FIREFOX` names another executable.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { launch } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { browserEnvironment } from "../../bench/chromium.ts";
import type { FileServer } from "../browser/file-server.ts";
import { startFileServer } from "../browser/file-server.ts";
import { PATIENCE_MS, builtDemo, nextResult, openCut, savedPixels, tellPace } from "./support.ts";

// Two upscales on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const EXECUTABLES = [process.env["RCOD_FIREFOX"], "/usr/bin/firefox", "/usr/bin/firefox-esr"];

const skip = (what: string, reason: string): void =>
  void process.stderr.write(`SKIP ${what} in Firefox: ${reason}\n`);

/** Firefox on whatever Vulkan driver there is, or null with the reason printed. */
async function launchFirefox(): Promise<Browser | null> {
  const executablePath = EXECUTABLES.find((path) => path !== undefined && existsSync(path));
  let reason = "it is not installed; RCOD_FIREFOX may name it";
  try {
    if (executablePath !== undefined) {
      return await launch({
        browser: "firefox",
        executablePath,
        headless: true,
        protocolTimeout: 0,
        env: { XDG_RUNTIME_DIR: runtime, ...browserEnvironment() },
        extraPrefsFirefox: {
          "dom.webgpu.enabled": true,
          "dom.webgpu.workers.enabled": true,
          "gfx.webgpu.ignore-blocklist": true,
        },
      });
    }
  } catch (error) {
    reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
  }
  skip("the demo", reason);
  return null;
}

const runtime = await mkdtemp(join(tmpdir(), "rcod-firefox-"));
const browser = await launchFirefox();
const server: FileServer = await startFileServer();

/** Why this Firefox gives no adapter; null where it gives one. */
async function missingAdapter(of: Browser): Promise<string | null> {
  const page = await of.newPage();
  await page.goto(`${server.address}/demo/icon.svg`); // of an origin that may have WebGPU
  const reason = await page.evaluate(async () => {
    try {
      if (!("gpu" in navigator)) return "it has no navigator.gpu";
      return (await navigator.gpu.requestAdapter()) ? null : "no adapter answered";
    } catch (error) {
      return String(error);
    }
  });
  await page.close();
  return reason;
}

if (browser !== null) server.mount("demo", await builtDemo());
const missing = browser && (await missingAdapter(browser));
if (browser !== null && missing !== null) {
  skip("the main journey", `${await browser.version()}: ${missing}`);
}

afterAll(async () => {
  await browser?.close();
  await server.close();
  await rm(runtime, { recursive: true, force: true });
});

describe.skipIf(browser === null)("Firefox", () => {
  let page: Page;
  const errors: string[] = [];

  beforeAll(async () => {
    page = await browser!.newPage();
    page.on("pageerror", (error) => errors.push(String(error)));
  });

  it("shows without WebGPU what the page does, who has it, and the ways to it", async () => {
    const bare = await browser!.newPage();
    bare.on("pageerror", (error) => errors.push(String(error)));
    await bare.evaluateOnNewDocument(() => {
      Reflect.deleteProperty(Navigator.prototype, "gpu");
    });
    await bare.goto(`${server.address}/demo/#scale=2&realism=0.25`);
    await bare.waitForSelector("#unsupported");
    const text = await bare.$eval("#unsupported", (node) => node.textContent ?? "");
    expect(text).toMatch(/This browser has no WebGPU.*Chrome and Edge.*Safari.*Firefox.*141/s);
    const lines = await bare.$$eval(".copy-line", (all) => all.map((line) => line.textContent));
    expect(lines).toEqual([
      expect.stringMatching(/^http:.*\/demo\/#.*realism=0\.25/),
      "npx rcod-webgpu upscale photo.jpg --scale 2 --realism 0.25",
    ]);
    // Not by `waitForFunction`: Firefox 140 applies the page's content policy to it.
    const widths = (): Promise<number[]> =>
      bare.$$eval(".proof-frame img", (all) =>
        all.map((image) => (image.complete ? image.naturalWidth : 0)),
      );
    await expect.poll(widths).toEqual([512, 512]);
    // The line between before and after, moved by keys.
    await bare.focus(".proof-slider");
    await bare.keyboard.press("End");
    const [line, clip] = await bare.$eval(".proof-frame", (frame) => {
      const box = frame.getBoundingClientRect();
      const { left, width } = frame.querySelector(".divider")!.getBoundingClientRect();
      const after = getComputedStyle(frame.querySelectorAll("img")[1]!).clipPath;
      return [(left + width / 2 - box.left) / box.width, after] as const;
    });
    expect(line).toBeCloseTo(1, 2);
    expect(clip).toContain("100%");
    await bare.close();
    expect(errors).toEqual([]);
  });

  it.skipIf(missing !== null)(
    "upscales a sample, with another realism by the same encoding, and saves it",
    async () => {
      await page.goto(`${server.address}/demo/?debug`);
      await page.waitForFunction(
        () => rcodDemo?.store.get().device || document.querySelector("#unsupported"),
        { timeout: PATIENCE_MS },
      );
      const said = await page.$eval(
        "body",
        (body) => body.querySelector("#unsupported")?.textContent,
      );
      expect(said ?? "", "a Vulkan driver is needed").toBe("");
      await tellPace(page, 100);
      await openCut(page);
      await page.click("#upscale");
      const first = await nextResult(page);
      expect([first.width, first.height]).toEqual([192, 192]);
      await page.focus("#realism");
      await page.keyboard.press("End");
      const second = await nextResult(page, 1);
      expect(second.reused).toEqual(["preprocess", "tokens", "encode"]);
      const pixels = await savedPixels(page, second.id);
      expect(pixels).not.toEqual(await savedPixels(page, first.id));
      expect(new Set(pixels).size).toBeGreaterThan(100);
      expect(errors).toEqual([]);
    },
  );
});
