/** The demo page, built and served from a sub-path, in a headless Chromium: one visit from first click to recovery. */
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer-core";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { launchUsable } from "../../bench/chromium.ts";
import { withPngMetadata } from "../../cli/image/png-chunks.ts";
import { convertedFiles } from "../../demo/build/converted-model.ts";
import { folderFiles } from "../../src/node/index.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { bytesSource, memoryFiles, readText } from "../../src/weights/index.ts";
import type { FileServer } from "../browser/file-server.ts";
import { startFileServer } from "../browser/file-server.ts";
import { useGpu } from "../support/gpu.ts";
import { findings } from "./axe.ts";
import { expectNoLongTasks } from "./long-tasks.ts";
import { closePage } from "./main-thread.ts";
import type { DemoPage } from "./support.ts";
import {
  CUT,
  PATIENCE_MS,
  builtDemo,
  nextResult,
  openCut,
  openDemo,
  openFile,
  psnr,
  savedPixels,
  shownPixels,
  stateOf,
  tellPace,
} from "./support.ts";

// Two upscales on a software adapter, on a machine that has other work.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MODEL = `${ROOT}models/rcod-tiny`;

const browser = await launchUsable();
let server: FileServer;
let built: FileSet;

/** Whether a part of the picture is shown in the middle of the stage, or at most `slack` pixels beside it. */
function isIn(
  { width, height, data }: Awaited<ReturnType<typeof shownPixels>>,
  part: Uint8Array,
  partWidth: number,
  partHeight: number,
  slack: number,
): boolean {
  const [left, top] = [(width - partWidth) >> 1, (height - partHeight) >> 1];
  const isAt = (x: number, y: number): boolean => {
    for (let row = 0; row < partHeight; row++) {
      const from = ((y + row) * width + x) * 4;
      const line = part.subarray(row * partWidth * 4, (row + 1) * partWidth * 4);
      if (line.some((value, i) => value !== data[from + i])) return false;
    }
    return true;
  };
  const shifts = Array.from({ length: 2 * slack + 1 }, (_, i) => i - slack);
  return shifts.some((dy) => shifts.some((dx) => isAt(left + dx, top + dy)));
}

/** The model in f16 with one file cut short. */
function truncatedModel(path: string, byteLength: number): FileSet {
  const whole = folderFiles(MODEL);
  return {
    name: "truncated",
    async open(name) {
      const source = await whole.open(name);
      if (name !== path || source === null) return source;
      return bytesSource(name, await source.read(0, byteLength));
    },
  };
}

beforeAll(async () => {
  if (browser === null) return;
  server = await startFileServer();
  built = await builtDemo();
  server.mount("photos-demo", built);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});
expectNoLongTasks(browser);

// One page for all: each test goes on where the one before stopped.
describe.skipIf(browser === null)("a visit", () => {
  const setup = useGpu();
  let demo: DemoPage;
  let page: Page;
  let neutral: Uint8Array;

  beforeAll(async () => {
    if (browser === null) return;
    demo = await openDemo(browser, `${server.address}/photos-demo/?debug&canvas=2d`);
    page = demo.page;
    await tellPace(page, 100);
  });

  it("begins with a place for a photo", async () => {
    await page.waitForSelector(".sample img");
    expect(await findings(page)).toEqual([]);
  });

  it("opens a bundled photo by one click", async () => {
    await page.click(".sample");
    await page.waitForFunction(() => !document.querySelector<HTMLElement>(".panel")?.hidden);
    await page.waitForFunction(() =>
      document.querySelector(".photo-size")?.textContent?.includes("128 × 128 → 512 × 512"),
    );
  });

  it("upscales by a second click, as the engine does in Node", async () => {
    await openCut(page);
    await page.click("#upscale");
    const { id, reused } = await nextResult(page);
    expect(reused).toEqual([]);
    neutral = await savedPixels(page, id);

    const cut = { left: CUT.x, top: CUT.y, width: CUT.width, height: CUT.height };
    const pixels = await sharp(`${ROOT}examples/photos/boats.png`)
      .extract(cut)
      .ensureAlpha()
      .raw()
      .toBuffer();
    const files = memoryFiles(await convertedFiles(MODEL, "int8"));
    const model = await loadModel(files, { gpu: setup.gpu, precision: "f32" });
    const image = { width: CUT.width, height: CUT.height, channels: 4, data: pixels } as const;
    const expected = (await model.upscale(image, { realism: 0.5 })).image.data;
    model.dispose();
    // Two builds of one rasteriser: rounding to 8 bits may fall either way.
    expect(neutral.length).toBe(expected.length);
    let worst = 0;
    neutral.forEach((value, i) => (worst = Math.max(worst, Math.abs(value - expected[i]!))));
    expect(worst).toBeLessThanOrEqual(1);
  });

  it("shows at 100 % the very pixels, bicubic left of the divider", async () => {
    await page.focus(".surface");
    await page.keyboard.press("1");
    const side = CUT.width * 4;
    const middle = async (): Promise<Uint8Array> => {
      const { data, width, height } = await shownPixels(page);
      const [left, top] = [Math.round((width - side) / 2), Math.round((height - side) / 2)];
      return sharp(data, { raw: { width, height, channels: 4 } })
        .extract({ left, top, width: side, height: side })
        .raw()
        .toBuffer();
    };
    const isRight = (pixel: number): boolean => pixel % side >= side / 2;
    let part: Uint8Array = new Uint8Array();
    // The worker draws when it gets to it.
    await expect
      .poll(async () => psnr((part = await middle()), neutral, isRight), { timeout: PATIENCE_MS })
      .toBe(Infinity);
    const bicubic = psnr(part, neutral, (pixel) => !isRight(pixel));
    expect(bicubic).toBeGreaterThan(18);
    expect(bicubic).toBeLessThan(40);
  });

  it("moves the divider by keys", async () => {
    await page.focus(".divider");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    expect(await page.$eval(".divider", (node) => node.getAttribute("aria-valuenow"))).toBe("2");
  });

  it("reruns only what another realism needs", async () => {
    await page.focus("#realism");
    await page.keyboard.press("End");
    const result = await nextResult(page, 1);
    expect(result.realism).toBe(1);
    expect(result.reused).toEqual(["preprocess", "tokens", "encode"]);
    for (const stage of ["preprocess", "tokens", "encode"] as const) {
      expect(result.timingsMs[stage]).toBeLessThan(result.timingsMs.unet / 10);
    }
    expect(await page.$$eval("#timings .is-reused", (nodes) => nodes.length)).toBe(3);
    expect(psnr(await savedPixels(page, result.id), neutral)).toBeLessThan(45);
  });

  it("stops at once when cancelled, and runs again", async () => {
    // In the page: what is left of the run takes less time than a click from here.
    const cancelled = page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const stop = rcodDemo!.store.subscribe(({ activity }) => {
            if (activity?.progress?.stage !== "unet") return;
            stop();
            document.querySelector<HTMLElement>("#cancel")?.click();
            resolve();
          });
        }),
    );
    await page.focus("#realism");
    await page.keyboard.press("Home");
    await cancelled;
    await page.waitForFunction(() => rcodDemo?.store.get().activity === null);
    const state = await stateOf(page);
    expect(state.problem).toBeNull();
    expect(state.results).toHaveLength(2);
    await page.click("#upscale");
    expect((await nextResult(page, 2)).realism).toBe(0);
  });

  it("changes the picture only where the mask is painted", async () => {
    const before = await savedPixels(page, 3);
    await page.click("#paint");
    const box = await (await page.$(".surface"))?.boundingBox();
    if (!box) throw new Error("no surface");
    // At 100 % the picture's 192 pixels lie around the middle: a stroke near its left edge.
    const [x, y] = [box.x + box.width / 2 - 78, box.y + box.height / 2];
    await page.mouse.move(x, y - 30);
    await page.mouse.down();
    await page.mouse.move(x, y + 30, { steps: 4 });
    await page.mouse.up();
    const result = await nextResult(page, 3);
    await page.click("#paint");
    const after = await savedPixels(page, result.id);
    const side = CUT.width * 4;
    // The brush is 48 wide; predictions are blended at latent resolution and the decoder sees further.
    const isFar = (pixel: number): boolean => pixel % side > 96;
    const isPainted = (pixel: number): boolean =>
      pixel % side < 38 && Math.abs(Math.floor(pixel / side) - side / 2) < 30;
    expect(psnr(before, after, isFar)).toBeGreaterThan(45);
    expect(psnr(before, after, isPainted)).toBeLessThan(40);
  });

  it("has no accessibility finding with a result and everything unfolded", async () => {
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    expect(await findings(page)).toEqual([]);
    const theme = () => page.evaluate(() => document.documentElement.dataset["theme"]);
    const before = await theme();
    await page.click("#theme");
    expect(await theme()).not.toBe(before);
  });

  it("recovers a lost device by one click, with picture, results and settings", async () => {
    await page.evaluate(() => rcodDemo?.store.set({ mask: null }));
    await page.evaluate(() => rcodDemo?.change({ realism: 0.5 }));
    // That was the first one: it is shown, not made again.
    await page.waitForFunction(() => rcodDemo?.store.get().wanted?.id === 1);
    await page.click("#destroy-device");
    await page.waitForSelector("#remedy");
    expect((await stateOf(page)).isDeviceLost).toBe(true);
    expect(await findings(page)).toEqual([]);
    await page.click("#remedy");
    await page.waitForFunction(() => rcodDemo?.store.get().device !== null);
    expect((await stateOf(page)).results).toHaveLength(4);
    expect(await savedPixels(page, 1)).toEqual(neutral);
    // Whether a change is computed by itself follows from the estimate.
    await page.waitForFunction(() => rcodDemo?.store.get().estimate);
    await page.evaluate(() => rcodDemo?.change({ realism: 0.25 }));
    expect((await nextResult(page, 4)).reused).toEqual([]);
    await page.evaluate(() => rcodDemo?.change({ realism: 0.5 }));
    await page.waitForFunction(() => rcodDemo?.store.get().wanted?.id === 1);
  });

  it("gives another size by another run, which keeps the encoding", async () => {
    const last = (await stateOf(page)).results.at(-1)?.id ?? 0;
    await page.focus("input[name=scale]:checked");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    const result = await nextResult(page, last);
    const [width, height] = [CUT.width * 2, CUT.height * 2];
    expect(result).toMatchObject({ width, height, regions: 1 });
    expect(result.reused).toContain("encode");
    const side = CUT.width * 4;
    const reduced = await sharp(neutral, { raw: { width: side, height: side, channels: 4 } })
      .resize({ width, height, kernel: "lanczos3" })
      .raw()
      .toBuffer();
    expect(psnr(await savedPixels(page, result.id), reduced)).toBeGreaterThan(45);
    expect(await page.$eval(".photo-size", (node) => node.textContent)).toContain("→ 96 × 96");
  });

  it("says what is wrong with a broken model, and goes back to its own", async () => {
    server.mount("broken", truncatedModel("unet/diffusion_pytorch_model.safetensors", 1_000_000));
    await page.type("input[type=url]", `${server.address}/broken`);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#remedy");
    const text = await page.$eval(".problem", (node) => node.textContent);
    expect(text).toContain("This model cannot be used");
    expect(text).toMatch(/file has 1000000 .*unet\/diffusion_pytorch_model\.safetensors/s);
    await page.click("#remedy");
    await page.waitForFunction(() => rcodDemo?.store.get().model?.name === "rcod-tiny");
    expect((await stateOf(page)).problem).toBeNull();
  });

  it("takes its model in f16 on demand, and gives nearly the same picture", async () => {
    const choose = (name: string): Promise<void> =>
      page.$$eval(
        "button",
        (buttons, text) => buttons.find(({ textContent }) => textContent === text)?.click(),
        name,
      );
    const last = (await stateOf(page)).results.at(-1)?.id ?? 0;
    expect((await stateOf(page)).model?.weights).toBe("int8");
    await choose("rcod-tiny f16");
    await page.waitForFunction(() => rcodDemo?.store.get().model?.weights === null);
    await page.click("#upscale");
    const { id } = await nextResult(page, last);
    expect(psnr(await savedPixels(page, id), await savedPixels(page, last))).toBeGreaterThan(45);
    await choose("rcod-tiny");
    await page.waitForFunction(() => rcodDemo?.store.get().model?.weights === "int8");
  });

  it("says what of a file is not in the picture: frames, depth, colours", async () => {
    const side = { width: 12, height: 12, channels: 3 } as const;
    const plain = (level: number) => Buffer.alloc(12 * 12 * 3, level);
    const frames = Buffer.concat([plain(0), plain(120), plain(255)]);
    const raw = { ...side, height: 36, pageHeight: 12 };
    const deep = Uint16Array.from({ length: 12 * 12 * 3 }, (_, i) => i * 150);
    const red = Buffer.from(Uint8Array.from({ length: 12 * 12 * 3 }, (_, i) => (i % 3 ? 0 : 255)));
    const ofP3 = await sharp(plain(9), { raw: side }).withIccProfile("p3").png().toBuffer();
    const { icc } = await sharp(ofP3).metadata();
    const cases: readonly (readonly [type: string, bytes: Buffer, note: string])[] = [
      [
        "image/gif",
        await sharp(frames, { raw })
          .gif({ delay: [50, 50, 50] })
          .toBuffer(),
        "The first of 3 frames.",
      ],
      [
        "image/png",
        await sharp(deep, { raw: side }).toColourspace("rgb16").png().toBuffer(),
        "8 of its 16 bits a channel.",
      ],
      [
        "image/png",
        withPngMetadata(await sharp(red, { raw: side }).png().toBuffer(), { icc: icc as Buffer }),
        "Its colours beyond sRGB are brought into it; the command line keeps them.",
      ],
      ["image/png", await sharp(plain(9), { raw: side }).png().toBuffer(), ""],
      ["", await sharp(plain(9), { raw: side }).png().toBuffer(), ""], // as systems give names that they do not know
      ["application/octet-stream", await sharp(plain(9), { raw: side }).webp().toBuffer(), ""],
    ];
    for (const [i, [type, bytes, note]] of cases.entries()) {
      await page.evaluate(
        (base64, mime, name) => {
          const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([data], name, { type: mime }));
          dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        },
        bytes.toString("base64"),
        type,
        `pasted ${i}`,
      );
      await page.waitForFunction(
        (name) => document.querySelector(".photo-name")?.textContent === name,
        { timeout: PATIENCE_MS },
        `pasted ${i}`,
      );
      expect(await page.$eval(".photo-text [role=note]", (node) => node.textContent)).toBe(note);
    }
  });

  it("has left no error in the console and broken no policy", async () => {
    // A model of another address is probed for optional files; the browser notes each 404.
    const problems = await demo.problems();
    expect(problems.filter((text) => !/Failed to load resource.*404/.test(text))).toEqual([]);
    await closePage(page);
  });
});

describe.skipIf(browser === null)("the page", () => {
  it("keeps its model in 8 bits for offline use, and has the one in f16 for who asks", async () => {
    const list = await readText(built, "sw.js");
    const isThere = async (path: string): Promise<boolean> => {
      const source = await built.open(path);
      await source?.close();
      return source !== null;
    };
    for (const name of (await convertedFiles(MODEL, "int8")).keys()) {
      const path = `models/rcod-tiny-int8/${name}`;
      expect([path, await isThere(path), list.includes(`"${path}"`)]).toEqual([path, true, true]);
    }
    const floats = "models/rcod-tiny/unet/diffusion_pytorch_model.safetensors";
    expect([await isThere(floats), list.includes(`"${floats}"`)]).toEqual([true, false]);
  });

  it("works offline on the second visit", async () => {
    const { page, problems } = await openDemo(browser!, `${server.address}/photos-demo/?debug`);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    server.isDown = true;
    try {
      await page.reload();
      await page.waitForSelector(".sample");
      await page.click(".sample");
      await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "boats.png");
      await page.evaluate(() => {
        const app = rcodDemo;
        return app?.chooseModel(app.store.get().modelChoice);
      });
      const { model, problem } = await stateOf(page);
      expect(problem).toBeNull();
      expect(model?.name).toBe("rcod-tiny");
      expect(await problems()).toEqual([]);
    } finally {
      server.isDown = false;
      await page.close();
    }
  });

  it("offers to load itself again when its worker ends, and has the picture then", async () => {
    const { page } = await openDemo(browser!, `${server.address}/photos-demo/?debug&canvas=2d`);
    await openCut(page);
    await page.waitForFunction(() => rcodDemo?.store.get().pictures[0]?.isKept);
    await page.click("#upscale");
    await page.waitForFunction(() => rcodDemo?.store.get().activity?.kind === "upscale");
    await page.workers()[0]!.evaluate(() => {
      setTimeout(() => {
        throw new RangeError("out of memory");
      });
    });
    await page.waitForSelector("#remedy");
    const text = (selector: string): Promise<string> =>
      page.$eval(selector, (node) => node.textContent ?? "");
    expect(await text(".problem h2")).toBe("The part of this page that computes has stopped");
    expect(await text(".problem details")).toContain("out of memory");
    expect(await text("#remedy")).toBe("Reload the page");
    await page.waitForFunction(() => rcodDemo?.store.get().activity === null);
    await Promise.all([page.waitForNavigation(), page.click("#remedy")]);
    await page.waitForFunction(() => rcodDemo?.store.get().image?.name === "boats.png");
    expect((await stateOf(page)).problem).toBeNull();
    await page.close();
  });

  it("shows the picture also where a WebGPU canvas takes the device away", async () => {
    // Headless on SwiftShader the first frame takes the GPU process along, and the other pages' devices: a browser of
    // its own. On a GPU the WebGPU canvas stays.
    const fresh = await launchUsable();
    try {
      const { page } = await openDemo(fresh!, `${server.address}/photos-demo/?debug&canvas=webgpu`);
      await page.waitForSelector(".sample");
      await page.click(".sample");
      await expect
        .poll(async () => (await shownPixels(page)).data.some((value) => value !== 0), {
          timeout: PATIENCE_MS,
          interval: 500,
        })
        .toBe(true);
      expect((await stateOf(page)).problem).toBeNull();
    } finally {
      await fresh?.close();
    }
  });

  it("enlarges in parts what no texture holds, and shows them as they come", async () => {
    const { page, problems } = await openDemo(browser!, `${server.address}/photos-demo/?debug`);
    // ×4 it is longer than the 8192 pixels that a device without more must have; narrow, it takes little time.
    const long = { width: 2060, height: 16 } as const;
    // Waves and noise: no place looks like another, and the engine changes all of them.
    const data = Uint8Array.from({ length: 2060 * 16 * 3 }, (_, i) => {
      const x = Math.floor(i / 3) % 2060;
      const wave = [x / 1030 - 1, Math.sin(x / 20), Math.sin(x / 13)][i % 3]!;
      return 128 + 100 * wave + (((i * 7919) % 41) - 20);
    });
    const file = await sharp(data, { raw: { ...long, channels: 3 } })
      .png()
      .toBuffer();
    await openFile(page, file, "long.png");
    const text = (selector: string): Promise<string> =>
      page.$eval(selector, (node) => node.textContent ?? "");
    expect(await text(".photo-size")).toContain("2060 × 16 → 8240 × 64");

    const untilPart = (done: number): Promise<unknown> =>
      page.waitForFunction(
        (fraction) => {
          const { partial, activity } = rcodDemo?.store.get() ?? {};
          return partial && (activity?.progress?.fraction ?? 0) > fraction;
        },
        { timeout: PATIENCE_MS, polling: 20 },
        done,
      );
    await page.click("#upscale");
    await untilPart(0);
    // Names follow what is drawn.
    await expect.poll(() => text(".layer-choice.is-right option:checked")).toBe("rcod · so far");
    await page.click("#cancel");
    await page.waitForFunction(() => {
      const { partial, activity } = rcodDemo?.store.get() ?? {};
      return partial === null && activity === null;
    });
    await page.click("#upscale");
    await untilPart(0.4); // of three regions the first is there, that in the middle
    const partial = await page.evaluate(() => rcodDemo?.store.get().partial);
    const soFar = await savedPixels(page, partial?.id ?? 0);
    expect((await stateOf(page)).isBusy).toBe(true);
    const result = await nextResult(page);
    expect(result).toMatchObject({ id: partial?.id, width: 8240, height: 64, regions: 3 });
    const pixels = await savedPixels(page, result.id);
    const within = (from: number, to: number) => (pixel: number) =>
      pixel % 8240 >= from && pixel % 8240 < to;
    expect(psnr(soFar, pixels, within(3500, 4700))).toBe(Infinity);

    // Every part is at its place.
    const enlarged = await sharp(file)
      .resize({ width: 8240, height: 64, fit: "fill", kernel: "cubic" })
      .ensureAlpha()
      .raw()
      .toBuffer();
    expect(psnr(soFar, enlarged, within(0, 2000))).toBeGreaterThan(35); // bicubic until its parts come
    for (let from = 0; from < 8240; from += 515) {
      expect(psnr(pixels, enlarged, within(from, from + 515))).toBeGreaterThan(18);
      const isMiddle = from > 2000 && from < 5700;
      if (!isMiddle) expect(psnr(pixels, soFar, within(from, from + 515))).toBeLessThan(45);
    }

    // At 100 % the stage shows the very pixels, also at the edge between two textures, which is in the middle.
    await page.evaluate(() => rcodDemo?.change({ mode: "single" }));
    await page.focus(".surface");
    await page.keyboard.press("1");
    const own = await sharp(pixels, { raw: { width: 8240, height: 64, channels: 4 } })
      .extract({ left: 3920, top: 8, width: 400, height: 48 })
      .raw()
      .toBuffer();
    await expect
      .poll(async () => isIn(await shownPixels(page), own, 400, 48, 8), { timeout: PATIENCE_MS })
      .toBe(true);
    expect(await problems()).toEqual([]);
    await page.close();
  });

  it("says before a run what could not be saved, and which size could", async () => {
    const { page } = await openDemo(browser!, `${server.address}/photos-demo/?debug`);
    const raw = { width: 20_000, height: 2, channels: 3 } as const;
    const file = await sharp(Buffer.alloc(20_000 * 2 * 3, 99), { raw })
      .png()
      .toBuffer();
    await openFile(page, file, "longer.png");
    const note = (): Promise<string | null> =>
      page.$eval("#size-note", (node) => ((node as HTMLElement).hidden ? null : node.textContent));
    const isDisabled = (): Promise<boolean> =>
      page.$eval("#upscale", (node) => (node as HTMLButtonElement).disabled);
    expect(await note()).toMatch(/^80000 × 8 pixels are more .* Choose ×3, or crop the picture/);
    expect(await isDisabled()).toBe(true);
    await page.focus("input[name=scale]:checked");
    await page.keyboard.press("ArrowLeft");
    expect(await page.$eval(".photo-size", (node) => node.textContent)).toContain("→ 60000 × 6");
    expect((await note()) ?? "").not.toContain("more than");
    expect(await isDisabled()).toBe(false);
    expect(await page.$eval("#upscale", (node) => node.textContent)).toBe("Upscale ×3");
    await page.close();
  });

  it("says what is missing where there is no WebGPU", async () => {
    const page = await browser!.newPage();
    await page.evaluateOnNewDocument(() => {
      Reflect.deleteProperty(Navigator.prototype, "gpu");
    });
    await page.goto(`${server.address}/photos-demo/`);
    const text = await page.$eval("#unsupported", (node) => node.textContent);
    expect(text).toContain("This browser has no WebGPU");
    expect(text).toMatch(/Chrome.*Safari.*Firefox/s);
    expect(await findings(page)).toEqual([]);
    await page.close();
  });
});
