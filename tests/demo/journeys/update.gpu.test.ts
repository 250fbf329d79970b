/** A new version of the page: it arrives as a whole, or the old one stays. */
import type { Page } from "puppeteer-core";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { FileSet } from "../../../src/weights/index.ts";
import { bytesSource } from "../../../src/weights/index.ts";
import { useBrowser } from "../../browser/support.ts";
import { expectNoLongTasks } from "../long-tasks.ts";
import { PATIENCE_MS, builtDemo } from "../support.ts";

vi.setConfig({ testTimeout: 200_000, hookTimeout: 120_000 });

const browser = await useBrowser();
expectNoLongTasks(browser?.browser ?? null);

describe.skipIf(browser === null)("an update of the page", () => {
  let first: FileSet;
  let second: FileSet;
  beforeAll(async () => {
    first = await builtDemo("1.0.0");
    second = await builtDemo("2.0.0");
  });

  /** Serves the first version in a folder of its own, as servers do that let browsers keep files, and visits it. */
  async function visited(folder: string): Promise<Page> {
    browser!.server.mount(folder, withDocuments(first));
    browser!.server.cacheControl = "max-age=600";
    const { page } = await browser!.open(`/${folder}/`);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    return page;
  }

  /** Lets the browser look for a new version; what becomes of its worker, null where there is none. */
  function update(page: Page): Promise<string | null> {
    return page.evaluate(async () => {
      const registration = await navigator.serviceWorker.getRegistration();
      await registration?.update().catch(() => undefined);
      const worker = registration?.installing ?? registration?.waiting;
      if (!worker) return null;
      while (worker.state === "installing" || worker.state === "parsed") {
        await new Promise((done) => worker.addEventListener("statechange", done, { once: true }));
      }
      return worker.state;
    });
  }

  const scriptOf = (page: Page): Promise<string> =>
    page.$eval("script[type=module]", ({ src }) => src);

  async function openTabs(page: Page): Promise<void> {
    for (const id of ["inside", "benchmark", "verify"]) {
      await page.click(`#tab-${id}`);
      await page.waitForSelector(`#view-${id} h2`, { timeout: PATIENCE_MS });
    }
  }

  it("works without HTTP cache and network, all of it of the new version", async () => {
    const page = await visited("update");
    const before = await scriptOf(page);
    browser!.server.mount("update", second);
    expect(await update(page)).toBe("installed");
    const session = await page.createCDPSession();
    await session.send("Network.clearBrowserCache");
    browser!.server.isDown = true;
    // The page hands over to the version that waits, and loads itself again.
    await page.reload();
    await page.waitForFunction(
      (old) => document.querySelector<HTMLScriptElement>("script[type=module]")?.src !== old,
      { timeout: PATIENCE_MS },
      before,
    );
    await openTabs(page);
    await page.click("#tab-upscale");
    await page.waitForSelector(".sample img");
    expect(await page.evaluate(async () => (await caches.keys()).length)).toBe(1);
  });

  it("is not begun with what a server has of both versions, and comes when it has all", async () => {
    const page = await visited("mixture");
    const before = await scriptOf(page);
    // The new list and some of its files are there already; the document and others are still the old ones.
    browser!.server.mount("mixture", {
      name: "mixture",
      open: async (path) =>
        path === "sw.js" ? second.open(path) : ((await first.open(path)) ?? second.open(path)),
    });
    expect(await update(page)).toBe("redundant");
    await page.reload();
    expect(await scriptOf(page)).toBe(before);
    await openTabs(page);
    browser!.server.mount("mixture", second);
    await expect.poll(() => update(page), { timeout: PATIENCE_MS }).toBe("installed");
  });

  it("leaves a page of the old version its files, while it is open", async () => {
    const page = await visited("lazy");
    const { page: other } = await browser!.open("/lazy/");
    browser!.server.mount("lazy", second);
    expect(await update(page)).toBe("installed");
    const before = await scriptOf(page);
    await other.reload();
    // Asked by one of two pages, the new version does not take over.
    expect(await scriptOf(other)).toBe(before);
    const session = await page.createCDPSession();
    await session.send("Network.clearBrowserCache");
    await openTabs(page);
    await openTabs(other);
  });

  it("answers only for its own address", async () => {
    const page = await visited("own");
    await page.goto(`${browser!.server.address}/own/other.html`);
    expect(await page.title()).toBe("another page");
    await page.goto(`${browser!.server.address}/own/docs/`);
    expect(await page.title()).toBe("another page");
    browser!.server.isDown = true;
    await page.goto(`${browser!.server.address}/own/index.html?debug#tab=verify`);
    await page.waitForSelector("#view-verify h2");
  });
});

/** The page with others beside it, which are not its own. */
function withDocuments(files: FileSet): FileSet {
  const document = new TextEncoder().encode("<!doctype html><title>another page</title>");
  return {
    name: files.name,
    open: async (path) =>
      ["other.html", "docs/index.html"].includes(path)
        ? bytesSource(path, document)
        : files.open(path),
  };
}
