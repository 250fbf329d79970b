/** Models in a page: over HTTP, from chosen files and directory handles, from storage; against PyTorch's images. */
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ElementHandle, JSHandle, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runConvert } from "../../cli/convert/run.ts";
import type { ModelSource, RawImage, UpscaleOptions } from "../../src/index.ts";
import { folderFiles } from "../../src/node/index.ts";
import { memoryFiles, openSafetensors, toFloat32 } from "../../src/weights/index.ts";
import { fileSource } from "../../src/weights/sources/node-source.ts";
import { recordingTerminal } from "../cli/support/terminal.ts";
import { rcodSFiles } from "../rcod/rcod-s-sample.ts";
import { largestDifference } from "../rcod/support.ts";
import {
  SAMPLE_CHECKPOINTS,
  SAMPLE_CLIP,
  SAMPLE_EXPECTED,
  SAMPLE_RCOD_CONFIG,
  SAMPLE_SD,
  sampleImage,
  sampleSdFiles,
} from "../support/samples.ts";
import type { EncodedImage, UpscaleReport } from "./page/main.ts";
import { builtPage, useBrowser } from "./support.ts";

const browser = await useBrowser();
const CHECKPOINT = SAMPLE_CHECKPOINTS[0] as string;

const encoded = (image: RawImage): EncodedImage => ({
  ...image,
  data: Buffer.from(image.data).toString("base64"),
});
const decoded = (image: EncodedImage): RawImage => ({
  ...image,
  data: Buffer.from(image.data, "base64"),
});

describe.skipIf(browser === null)("a model in a page", () => {
  let page: Page;
  let address = "";
  let folder = "";

  beforeAll(async () => {
    const { server, open } = browser!;
    ({ address } = server);
    folder = await mkdtemp(join(tmpdir(), "rcod-test-"));
    for (const part of ["unet", "vae"]) await symlink(`${SAMPLE_SD}/${part}`, join(folder, part));
    await writeFile(join(folder, "rcod_config.json"), JSON.stringify(SAMPLE_RCOD_CONFIG));
    server.mount("page", await builtPage("tests/browser/page"));
    server.mount("sd", sampleSdFiles());
    server.mount("clip", folderFiles(SAMPLE_CLIP));
    server.mount("checkpoint", folderFiles(dirname(CHECKPOINT)));
    ({ page } = await open("/page/", { isKept: true })); // one device, and its pipelines, for all
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** What `rcod.upscale` gives for a source that lives in the page. */
  async function upscale(
    source: JSHandle<ModelSource>,
    image: RawImage,
    options: UpscaleOptions,
  ): Promise<UpscaleReport> {
    return page.evaluate((...args) => rcod.upscale(...args), source, encoded(image), options);
  }

  const sourceOf = (make: (at: string) => ModelSource): Promise<JSHandle<ModelSource>> =>
    page.evaluateHandle(make, address) as Promise<JSHandle<ModelSource>>;

  /** Truncated to 8 bits, hence one level; the other timestep's image is farther away. */
  async function expectPyTorch(image: EncodedImage, timestep: 249 | 749): Promise<void> {
    const got = decoded(image);
    const expected = await sampleImage(`outputs/image_u8_t${timestep}`);
    expect(largestDifference(got, expected)).toBeLessThanOrEqual(1);
    const other = await sampleImage(`outputs/image_u8_t${timestep === 249 ? 749 : 249}`);
    expect(largestDifference(got, other)).toBeGreaterThan(5);
  }

  it("comes in pieces over HTTP", async () => {
    const source = await sourceOf((at) => ({
      model: `${at}/sd`,
      clip: `${at}/clip`,
      checkpoint: `${at}/checkpoint/rcod_o_torch2.pkl`,
    }));
    const input = await sampleImage("inputs/image_u8_hwc");
    const { image, progress } = await upscale(source, input, { timestep: 249 });
    await expectPyTorch(image, 249);
    // 1134 tensors, in four files of 4.13 MB together: no byte twice but the checkpoint of 0.41 MB, which is looked at
    // first for whose it is, and far fewer requests than tensors.
    const ranges = browser!.server.requests.filter(({ range }) => range !== null);
    expect(ranges.length).toBeLessThan(60);
    expect(ranges.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(4.6e6);
    const totals = new Set(progress.map(([, total]) => total));
    expect([...totals]).toEqual([progress.at(-1)?.[0]]);
    expect(progress.map(([loaded]) => loaded)).toEqual(
      progress.map(([loaded]) => loaded).toSorted((a, b) => a - b),
    );
  }, 300_000); // compiles what the others use again

  it("comes in chosen folders, files and directory handles", async () => {
    const choose = async (id: string, path: string): Promise<void> => {
      const input = (await page.$(`#${id}`)) as ElementHandle<HTMLInputElement>;
      await input.uploadFile(path);
    };
    await choose("folder", SAMPLE_SD);
    await choose("file", CHECKPOINT);
    const source = await page.evaluateHandle(async (at) => {
      const clip = await rcod.directory(`${at}/clip`, ["config.json", "model.safetensors"]);
      const config = new File(
        [await (await fetch(`${at}/sd/rcod_config.json`)).blob()],
        "rcod_config.json",
      );
      Object.defineProperty(config, "webkitRelativePath", { value: "sd-tiny/rcod_config.json" });
      const model = [...rcod.chosen("folder"), config];
      return { model, clip, checkpoint: rcod.chosen("file")[0] as File };
    }, address);
    const input = await sampleImage("inputs/image_u8_hwc");
    const { image } = await upscale(source, input, { timestep: 749 });
    await expectPyTorch(image, 749);
  });

  it("comes from storage, without a network, once it was loaded", async () => {
    const { server } = browser!;
    const out = join(folder, "out");
    const pieces = { model: folder, clip: SAMPLE_CLIP, checkpoint: CHECKPOINT };
    const options = { ...pieces, out, dtype: "fp32", shardSize: 5e5, quiet: true } as const;
    expect(await runConvert(options, recordingTerminal())).toBe(0);
    server.mount("converted", folderFiles(out));
    const input = await sampleImage("inputs/image_u8_hwc");
    const source = (): Promise<JSHandle<ModelSource>> =>
      sourceOf((at) => rcod.cachedUrlFiles(`${at}/converted`));
    const first = await upscale(await source(), input, { timestep: 249 });
    await expectPyTorch(first.image, 249);
    server.isDown = true;
    const second = await upscale(await source(), input, { timestep: 249 });
    expect(second).toEqual(first);
  });

  it("comes as integers, over HTTP and from storage", async () => {
    const { server } = browser!;
    const out = join(folder, "integers");
    const pieces = { model: folder, clip: SAMPLE_CLIP, checkpoint: CHECKPOINT };
    const options = { ...pieces, out, dtype: "fp16", shardSize: 5e5, quiet: true } as const;
    await runConvert({ ...options, weights: "int8" }, recordingTerminal());
    server.mount("integers", folderFiles(out));
    const input = await sampleImage("inputs/image_u8_hwc");
    const once = (make: (at: string) => ModelSource): Promise<UpscaleReport> =>
      sourceOf(make).then((source) => upscale(source, input, { timestep: 249 }));
    const { image } = await once((at) => `${at}/integers`);
    const expected = await sampleImage("outputs/image_u8_t249");
    // Eight bits of random weights are six levels.
    expect(largestDifference(decoded(image), expected)).toBeLessThanOrEqual(8);
    const cached = (at: string): ModelSource => rcod.cachedUrlFiles(`${at}/integers`);
    expect((await once(cached)).image).toEqual(image);
    server.isDown = true;
    expect((await once(cached)).image).toEqual(image);
  });

  it("is RCOD_S too, from a folder as released", async () => {
    browser!.server.mount("s", memoryFiles(await rcodSFiles()));
    const file = await openSafetensors(await fileSource(SAMPLE_EXPECTED));
    const data = await file.read("rcod_s/inputs/image_u8_hwc");
    const [width, height] = [16, 24];
    const source = await sourceOf((at) => `${at}/s`);
    const { image } = await upscale(
      source,
      { width, height, channels: 3, data },
      { timestep: 249, colorFix: "none" },
    );
    // PyTorch's image is decoded with its padding, [1, 3, 128, 64].
    const info = file.tensors.get("rcod_s/outputs/image_t249")!;
    const expected = toFloat32(info, await file.read("rcod_s/outputs/image_t249"));
    await file.close();
    const got = decoded(image);
    expect([got.width, got.height]).toEqual([4 * width, 4 * height]);
    const differences = Array.from(got.data, (level, i) => {
      const [y, x] = [Math.floor(i / 3 / got.width), Math.floor(i / 3) % got.width];
      const value = expected[((i % 3) * 128 + y) * 64 + x] as number;
      return Math.abs(level - 255 * (0.5 * value + 0.5));
    });
    expect(Math.max(...differences)).toBeLessThanOrEqual(0.502); // half a level is the rounding
  });
});
