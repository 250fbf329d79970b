/** A visitor with several photos: dropped, upscaled one after the other, saved together, and there again after a reload. */
import { fileURLToPath } from "node:url";
import { unzipSync } from "fflate";
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { launchUsable } from "../../../bench/chromium.ts";
import type { Picture } from "../../../demo/library/picture.ts";
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
  psnr,
  savedPixels,
  shownPixels,
  stateOf,
} from "../support.ts";

// Three upscales on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const BOATS = fileURLToPath(new URL("../../../examples/photos/boats.png", import.meta.url));

const browser = await launchUsable();
let server: FileServer;

interface DroppedFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
}

/** A part of the photo, as a file of its own. */
async function part(name: string, left: number, side: number): Promise<DroppedFile> {
  const cut = { left, top: 40, width: side, height: side };
  return { name, type: "image/png", bytes: await sharp(BOATS).extract(cut).png().toBuffer() };
}

/** Drops files on an element, as a pointer does; gives whether the browser would have opened them in place of the page. */
function drop(page: Page, target: string, files: readonly DroppedFile[]): Promise<boolean> {
  return page.evaluate(
    (selector, list) => {
      const dataTransfer = new DataTransfer();
      for (const { name, type, base64 } of list) {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name, { type, lastModified: 1 }));
      }
      const element = document.querySelector(selector);
      const fire = (name: string): boolean =>
        element?.dispatchEvent(
          new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true }),
        ) ?? true;
      fire("dragenter");
      fire("dragover");
      return fire("drop");
    },
    target,
    files.map(({ name, type, bytes }) => ({ name, type, base64: bytes.toString("base64") })),
  );
}

type Summary = Pick<Picture, "name" | "status" | "isKept"> & { readonly results: number[] };

const pictures = (page: Page): Promise<readonly Summary[]> =>
  page.evaluate(() =>
    (rcodDemo?.store.get().pictures ?? []).map(({ name, status, isKept, results }) => ({
      name,
      status,
      isKept,
      results: results.map(({ info }) => info.id),
    })),
  );

const untilKept = (page: Page): Promise<unknown> =>
  page.waitForFunction(
    () =>
      rcodDemo?.store
        .get()
        .pictures.every(
          ({ isKept, results }) => isKept && results.every((result) => result.isKept),
        ),
    { timeout: PATIENCE_MS, polling: 100 },
  );

const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (node) => node.textContent ?? "");

const isHidden = (page: Page, selector: string): Promise<boolean> =>
  page.$eval(selector, (node) => (node as HTMLElement).offsetParent === null);

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
describe.skipIf(browser === null)("a visit with several photos", () => {
  let demo: DemoPage;
  let page: Page;
  let first: Uint8Array;
  let stage: Awaited<ReturnType<typeof shownPixels>>;

  beforeAll(async () => {
    if (browser === null) return;
    demo = await openDemo(browser, `${server.address}/demo/?debug&canvas=2d#tab=inside`);
    page = demo.page;
    await page.waitForSelector("#view-inside:not([hidden])");
  });

  it("takes a drop on the header of another tab, and names what is no picture", async () => {
    const files = [
      await part("left.png", 10, 48),
      { name: "broken.png", type: "image/png", bytes: Buffer.alloc(3000, 7) },
      await part("right.png", 70, 48),
      { name: "notes.txt", type: "text/plain", bytes: Buffer.from("no picture") },
    ];
    const wouldLeave = await drop(page, ".bar", files);
    expect(wouldLeave).toBe(false);
    await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "left.png");
    await page.waitForFunction(() => document.querySelectorAll(".strip-item").length === 3);
    expect(await isHidden(page, "#view-upscale")).toBe(false);
    expect(await textOf(page, ".notice")).toContain("notes.txt is not a picture");
    await page.waitForSelector('.strip-item[data-status="failed"]');
    expect(await textOf(page, '.strip-item[data-status="failed"]')).toContain("Cannot be read");
    // Its neighbours get their thumbnails all the same.
    await page.waitForFunction(
      () => document.querySelectorAll(".strip-item img[src]").length === 2,
    );
  });

  it("upscales all by one press, and takes another one in meanwhile", async () => {
    expect(await textOf(page, "#upscale-all")).toBe("Upscale all 2");
    await page.click("#upscale-all");
    await page.waitForFunction(() => rcodDemo?.store.get().activity?.kind === "upscale");
    expect(await drop(page, ".surface", [await part("late.png", 40, 16)])).toBe(false);
    await page.waitForFunction(
      () => {
        const { pictures: all = [], activity } = rcodDemo?.store.get() ?? {};
        return !activity && all.length === 4 && all.every(({ status }) => status !== "waiting");
      },
      { timeout: PATIENCE_MS, polling: 100 },
    );
    expect(await pictures(page)).toMatchObject([
      { name: "left.png", status: "done", results: [1] },
      { name: "broken.png", status: "failed", results: [] },
      { name: "right.png", status: "done", results: [2] },
      { name: "late.png", status: "done", results: [3] },
    ]);
    // The visitor stays where they were.
    expect(await textOf(page, ".photo-name")).toBe("left.png");
    first = await savedPixels(page, 1);
  });

  it("has no accessibility finding with a queue", async () => {
    expect(await findings(page)).toEqual([]);
  });

  it("shows the result that is there in place of computing it again", async () => {
    const button = (): Promise<readonly (string | null)[]> =>
      page.$eval("#upscale", (node) => {
        const { textContent, ariaDisabled, title } = node as HTMLElement;
        return [textContent, ariaDisabled, title];
      });
    const shown = ["Show this result", "true", "This result is shown already."];
    expect(await button()).toEqual(shown);
    await page.select(".layer-choice.is-right", "bicubic");
    expect(await button()).toEqual(["Show this result", null, ""]);
    await page.focus("#upscale");
    await page.keyboard.press("Enter");
    await expect.poll(button).toEqual(shown);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("upscale");
    await page.keyboard.press("Enter");
    await page.evaluate(() => rcodDemo?.upscale());
    const { results, isBusy } = await stateOf(page);
    expect(results).toHaveLength(1);
    expect(isBusy).toBe(false);
  });

  it("saves all as a ZIP with the settings in the names", async () => {
    await page.evaluate(() => {
      const make = URL.createObjectURL.bind(URL);
      URL.createObjectURL = (object) => {
        if (object instanceof Blob && object.type === "application/zip") archive = object;
        return make(object);
      };
    });
    await page.click("#save-all");
    await page.waitForFunction(() => globalThis.archive !== undefined, { timeout: PATIENCE_MS });
    const base64 = await page.evaluate(async () => {
      const bytes = new Uint8Array((await archive?.arrayBuffer()) ?? []);
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    });
    const entries = unzipSync(Buffer.from(base64, "base64"));
    expect(Object.keys(entries)).toEqual([
      "left-x4-realism-0.5.png",
      "right-x4-realism-0.5.png",
      "late-x4-realism-0.5.png",
    ]);
    const png = entries["left-x4-realism-0.5.png"] as Uint8Array;
    expect(new Uint8Array(await sharp(png).ensureAlpha().raw().toBuffer())).toEqual(
      new Uint8Array(first),
    );
  });

  it("has pictures, results and settings again after a reload", async () => {
    await page.evaluate(() => rcodDemo?.change({ mode: "single" }));
    await page.waitForFunction(() => location.hash === "#tab=inside&mode=single");
    await untilKept(page);
    stage = await shownPixels(page);
    await page.goto(`${server.address}/demo/?debug&canvas=2d`); // without settings in the address
    await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "left.png");
    await expect
      .poll(() => pictures(page))
      .toMatchObject([
        { name: "left.png", status: "done", results: [1] },
        { name: "broken.png", status: "failed" },
        { name: "right.png", status: "done", results: [2] },
        { name: "late.png", status: "done", results: [3] },
      ]);
    expect(await page.evaluate(() => rcodDemo?.store.get().settings.mode)).toBe("single");
    expect(await savedPixels(page, 1)).toEqual(first);
    await expect
      .poll(async () => psnr((await shownPixels(page)).data, stage.data), { timeout: PATIENCE_MS })
      .toBe(Infinity);
    await expect.poll(() => textOf(page, "#upscale")).toBe("Show this result");
    // Nothing was computed for that; the model loads meanwhile, for what comes next.
    expect((await stateOf(page)).results.map(({ id }) => id)).toEqual([1]);
  });

  it("follows a link with settings, and keeps the results", async () => {
    await page.goto(`${server.address}/demo/?debug&canvas=2d&link#realism=0.75`);
    await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "left.png");
    const { realism, mode } = await page.evaluate(() => rcodDemo!.store.get().settings);
    expect([realism, mode]).toEqual([0.75, "split"]);
    expect((await stateOf(page)).results).toHaveLength(1);
    expect(await textOf(page, "#upscale")).toBe("Upscale ×4");
  });

  it("keeps results when the address of a model is mistyped", async () => {
    await page.evaluate((address) => {
      void rcodDemo?.chooseModel({ kind: "url", url: address });
    }, `${server.address}/nowhere`);
    await page.waitForSelector("#remedy");
    expect((await stateOf(page)).results).toHaveLength(1);
    expect(await page.evaluate(() => rcodDemo?.store.get().modelChoice.kind)).toBe("embedded");
    await page.evaluate(() => rcodDemo?.store.set({ problem: null }));
  });

  it("keeps results over a lost device", async () => {
    await page.evaluate(() => rcodDemo?.change({ mode: "single" }));
    await page.evaluate(() => rcodDemo?.call("destroyDevice", null));
    await page.waitForSelector("#remedy");
    await page.click("#remedy");
    await page.waitForFunction(() => {
      const { device, activity } = rcodDemo?.store.get() ?? {};
      return device && !activity;
    });
    expect((await stateOf(page)).results.map(({ id }) => id)).toEqual([1]);
    await expect
      .poll(async () => psnr((await shownPixels(page)).data, stage.data), { timeout: PATIENCE_MS })
      .toBe(Infinity);
  });

  it("marks a result of another part, and a click goes back to that", async () => {
    await page.evaluate(async () => {
      const image = rcodDemo?.store.get().image;
      const cut = { x: 0, y: 0, width: 16, height: 16 };
      if (image) await rcodDemo?.openImage(image.blob, image.name, cut);
    });
    expect((await stateOf(page)).results).toHaveLength(0);
    expect(await textOf(page, ".result-item.is-stale")).toContain("Other part");
    await page.click(".result-item.is-stale .result-open");
    await page.waitForFunction(() => rcodDemo?.store.get().results.length === 1);
    expect(await textOf(page, ".photo-size")).toContain("48 × 48");
    await expect
      .poll(async () => psnr((await shownPixels(page)).data, stage.data), { timeout: PATIENCE_MS })
      .toBe(Infinity);
  });

  it("removes a picture with its results, and focus goes to the one beside", async () => {
    const remove = await page.$('.strip-remove[aria-label="Remove late.png"]');
    await remove?.focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => rcodDemo?.store.get().pictures.length === 3);
    await page.waitForFunction(() => document.activeElement?.textContent?.startsWith("right.png"));
    expect(await textOf(page, ".photo-name")).toBe("left.png"); // which stays open
  });

  it("says in a second tab that this one keeps", async () => {
    const other = await openDemo(page.browserContext(), `${server.address}/demo/?debug&canvas=2d`);
    expect(await pictures(other.page)).toEqual([]);
    await drop(other.page, "main", [await part("other.png", 20, 16)]);
    await other.page.waitForFunction(() =>
      document.querySelector(".notice")?.textContent?.includes("open in another tab"),
    );
    await other.page.close();
  });

  it("forgets everything on request, on disk too", async () => {
    await page.bringToFront();
    await page.evaluate(() => {
      const kept = document.querySelector<HTMLDetailsElement>("#kept");
      if (kept) kept.open = true;
    });
    await page.click("#forget");
    await page.click("#forget-sure");
    await page.waitForFunction(() => rcodDemo?.store.get().pictures.length === 0);
    await page.waitForFunction(() => document.activeElement?.matches(".empty .button"));
    await page.reload();
    await page.evaluate(() => rcodDemo?.restored);
    expect(await pictures(page)).toEqual([]);
    await page.waitForSelector(".empty:not([hidden])");
    const counts = await page.evaluate(async () => {
      const database = await new Promise<IDBDatabase>((resolve, reject) => {
        const request = indexedDB.open("rcod-library");
        request.addEventListener("success", () => resolve(request.result));
        request.addEventListener("error", () => reject(request.error));
      });
      const names = [...database.objectStoreNames].filter((name) => name !== "page");
      const read = database.transaction(names);
      const all = names.map(
        (name) =>
          new Promise<number>((resolve) => {
            const request = read.objectStore(name).count();
            request.addEventListener("success", () => resolve(request.result));
          }),
      );
      return Promise.all(all);
    });
    expect(counts).toEqual([0, 0, 0]);
  });

  it("has left no error in the console and broken no policy", async () => {
    const problems = await demo.problems();
    expect(problems.filter((text) => !/Failed to load resource.*404/.test(text))).toEqual([]);
  });
});

describe.skipIf(browser === null)("a visit that leaves nothing", () => {
  it("says so in one sentence where the browser keeps nothing", async () => {
    const context = await browser!.createBrowserContext();
    const { page, problems } = await openDemo(context, "about:blank");
    await page.evaluateOnNewDocument(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("not here", "SecurityError");
      };
    });
    await page.goto(`${server.address}/demo/?debug&canvas=2d`);
    await page.evaluate(() => rcodDemo?.restored);
    expect(await isHidden(page, ".notice")).toBe(true); // there is nothing to lose yet
    await drop(page, "main", [await part("a.png", 20, 16)]);
    await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "a.png");
    expect(await textOf(page, ".notice")).toMatch(/keeps nothing of this visit/);
    expect(await problems()).toEqual([]);
    await context.close();
  });

  it("is not left by a drop where there is no WebGPU", async () => {
    const context = await browser!.createBrowserContext();
    const { page } = await openDemo(context, "about:blank");
    await page.evaluateOnNewDocument(() => {
      Reflect.deleteProperty(Navigator.prototype, "gpu");
    });
    await page.goto(`${server.address}/demo/`);
    await page.waitForSelector("#unsupported");
    expect(await drop(page, ".bar", [await part("a.png", 20, 16)])).toBe(false);
    await context.close();
  });
});

describe.skipIf(browser === null)("a model from a folder of the visitor's disk", () => {
  let page: Page;
  let paths: readonly string[] = [];

  /** What is chosen, and what is loaded. */
  const model = (): Promise<readonly [kind: string | null, name: string | null]> =>
    page.evaluate(() => {
      const { modelChoice, model: loaded } = rcodDemo?.store.get() ?? {};
      return [modelChoice?.kind ?? null, loaded?.name ?? null] as const;
    });
  const unfold = (): Promise<void> =>
    page.$$eval("details.panel-section", (all) => all.forEach((one) => (one.open = true)));
  const reload = async (): Promise<void> => {
    await page.reload();
    await page.evaluate(() => rcodDemo?.restored);
    await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "boats.png");
  };

  beforeAll(async () => {
    if (browser === null) return;
    const files = await minimalFiles();
    paths = [...files.keys()];
    server.mount("own-model", memoryFiles(files));
    ({ page } = await openDemo(browser, "about:blank"));
    // A folder that the page may write stands for one of the disk: it is kept alike, but nobody has to be asked for it.
    await page.evaluateOnNewDocument(() => {
      globalThis.folder = { leave: "prompt", answer: "denied", asked: 0 };
      const { prototype } = FileSystemHandle;
      Object.assign(prototype, {
        queryPermission: () => Promise.resolve(folder.leave),
        requestPermission() {
          folder.asked++;
          if (!navigator.userActivation.isActive) {
            return Promise.reject(new DOMException("no press", "SecurityError"));
          }
          folder.leave = folder.answer;
          return Promise.resolve(folder.leave);
        },
      });
      Object.assign(globalThis, {
        async showDirectoryPicker() {
          folder.leave = "granted";
          return (await navigator.storage.getDirectory()).getDirectoryHandle("own-model");
        },
      });
    });
    await page.goto(`${server.address}/demo/?debug&canvas=2d`);
    await page.evaluate(async (names) => {
      const root = await navigator.storage.getDirectory();
      for (const name of names) {
        const parts = ["own-model", ...name.split("/")];
        let directory = root;
        for (const step of parts.slice(0, -1)) {
          directory = await directory.getDirectoryHandle(step, { create: true });
        }
        const file = await directory.getFileHandle(parts.at(-1)!, { create: true });
        const stream = await file.createWritable();
        await stream.write(await (await fetch(`../own-model/${name}`)).blob());
        await stream.close();
      }
    }, paths);
  });

  it("is remembered over a reload, and read again when a press has allowed it", async () => {
    await openCut(page);
    await unfold();
    await (await page.$(".button ::-p-text(Folder…)"))?.click();
    await expect.poll(model, { timeout: PATIENCE_MS }).toEqual(["directory", "own-model"]);
    await untilKept(page);
    await reload();
    expect(await model()).toEqual(["directory", null]);
    await unfold();
    expect(await isHidden(page, "#read-folder")).toBe(false);
    expect(await page.evaluate(() => folder.asked)).toBe(0);

    await page.click("#upscale");
    await page.waitForSelector("#remedy");
    expect(await textOf(page, ".problem h2")).toBe("The model's folder may not be read");
    expect(await textOf(page, ".problem")).toContain("your permission to read “own-model” again");
    await (await page.$(".problem .button ::-p-text(Dismiss)"))?.click();

    await page.evaluate(() => (folder.answer = "granted"));
    await page.click("#upscale");
    const { model: key } = await nextResult(page);
    expect(key).toMatch(/^own-model f(16|32)$/);
    expect(await page.evaluate(() => folder.asked)).toBe(2);
    expect(await isHidden(page, "#read-folder")).toBe(true);
  });

  it("is to be chosen again where the browser has no such folders, and that is said", async () => {
    await page.evaluate(async (names) => {
      const files = names.map(async (name) => {
        const file = new File([await (await fetch(`../own-model/${name}`)).blob()], name);
        Object.defineProperty(file, "webkitRelativePath", { value: `given/${name}` });
        return file;
      });
      const choice = { kind: "folder", name: "given", files: await Promise.all(files) } as const;
      await rcodDemo?.chooseModel(choice);
    }, paths);
    expect(await model()).toEqual(["folder", "given"]);
    await expect
      .poll(() => page.$$eval(".details-body > .hint", (all) => all.map((one) => one.textContent)))
      .toContainEqual(expect.stringContaining("This browser does not remember folders"));
    await untilKept(page);
    await reload();
    expect((await model())[0]).toBe("embedded");
    expect(await textOf(page, ".notice")).toContain("choose the model “given” again");
  });
});

declare global {
  /** Stands for the browser's question whether a folder may be read. */
  var folder: { leave: PermissionState; answer: PermissionState; asked: number };
  /** What the page made to be saved. */
  var archive: Blob | undefined;
}
