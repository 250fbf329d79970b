/**
 * The main journey in Firefox, whose WebGPU is wgpu: another shader compiler, another worker, another canvas. On
 * Debian: `apt-get install firefox-esr mesa-vulkan-drivers`. `RCOD_FIREFOX` names another executable.
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "puppeteer-core";
import { launch } from "puppeteer-core";
import { afterAll, describe, expect, it, vi } from "vitest";
import { browserEnvironment } from "../../bench/chromium.ts";
import { startFileServer } from "../browser/file-server.ts";
import { PATIENCE_MS, builtDemo, nextResult, openCut, savedPixels, tellPace } from "./support.ts";

// Two upscales on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const EXECUTABLES = [process.env["RCOD_FIREFOX"], "/usr/bin/firefox", "/usr/bin/firefox-esr"];

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
  process.stderr.write(`SKIP the demo in Firefox: ${reason}\n`);
  return null;
}

const runtime = await mkdtemp(join(tmpdir(), "rcod-firefox-"));
const browser = await launchFirefox();

afterAll(async () => {
  await browser?.close();
  await rm(runtime, { recursive: true, force: true });
});

describe.skipIf(browser === null)("Firefox", () => {
  it("upscales a photo, and with another realism reuses its encoding", async () => {
    const server = await startFileServer();
    try {
      server.mount("demo", await builtDemo());
      const page = await browser!.newPage();
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      await page.goto(`${server.address}/demo/?debug`);
      await page.waitForFunction(
        () => rcodDemo?.store.get().device || document.querySelector("#unsupported"),
        { timeout: PATIENCE_MS },
      );
      const missing = await page.$eval(
        "body",
        (body) => body.querySelector("#unsupported")?.textContent,
      );
      expect(missing ?? "", "a Vulkan driver is needed").toBe("");
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
    } finally {
      await server.close();
    }
  });
});
