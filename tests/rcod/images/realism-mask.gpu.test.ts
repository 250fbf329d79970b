import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Program } from "../../../src/graph/program.ts";
import { folderFiles } from "../../../src/node/index.ts";
import type { RcodModel } from "../../../src/rcod/model.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { Pipeline } from "../../../src/rcod/pipeline.ts";
import type { RawImage, UpscaleOptions } from "../../../src/rcod/settings/options.ts";
import { bytesSource, openSafetensors, safetensorsStore } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { minimalPipeline, testImage } from "../support.ts";

const setup = useGpu();
const root = new URL("../../../", import.meta.url);
let pipeline: Pipeline;
beforeAll(async () => {
  ({ pipeline } = await minimalPipeline(setup.gpu));
});
afterAll(() => pipeline.dispose());

/** A mask of the left half of the picture; grey where it ends. */
function halfMask(width: number, height: number): NonNullable<UpscaleOptions["realismMask"]> {
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = i % width < width / 2 ? 255 : 0;
  return { data, width, height, realism: "realism" };
}

/** Maps that the UNet computes during `use`, in whatever batches. */
async function unetRuns(use: () => Promise<unknown>): Promise<number> {
  const run = vi.spyOn(Program.prototype, "run");
  try {
    await use();
    const programs = run.mock.contexts as Program[];
    return programs
      .filter(({ plan }) => plan.results.has("eps"))
      .reduce((sum, { plan }) => sum + (plan.graph.inputs.get("latents")?.shape[0] ?? 0), 0);
  } finally {
    run.mockRestore();
  }
}

/** PSNR of the columns from `x0` to `x1`, in dB. */
function psnr(a: RawImage, b: RawImage, x0: number, x1: number): number {
  let [squares, count] = [0, 0];
  a.data.forEach((value, i) => {
    const x = Math.floor(i / a.channels) % a.width;
    if (x < x0 || x >= x1) return;
    squares += (value - (b.data[i] as number)) ** 2;
    count++;
  });
  return 10 * Math.log10(255 ** 2 / (squares / count));
}

describe("a mask", () => {
  const image = testImage(12, 9);
  const mask = halfMask(12, 9);
  const filled = (value: number) => ({ ...mask, data: mask.data.map(() => value) });

  it("of 0 gives the plain result, of 255 the other one, with one run each", async () => {
    const [plain, other] = [
      await pipeline.upscale(image),
      await pipeline.upscale(image, { realism: "realism" }),
    ];
    expect(other.image.data).not.toEqual(plain.image.data);
    for (const [value, expected] of [
      [0, plain],
      [255, other],
    ] as const) {
      let data: unknown;
      const runs = await unetRuns(async () => {
        const result = await pipeline.upscale(image, { realismMask: filled(value) });
        data = result.image.data;
        expect([result.timestep, result.maskTimestep]).toEqual([249, 749]);
      });
      expect(data).toEqual(expected.image.data);
      expect(runs).toBe(1);
    }
    const same = { realism: "realism", realismMask: mask } as const;
    expect(await unetRuns(() => pipeline.upscale(image, same))).toBe(1);
  });

  it("blends two runs, and repeats bit for bit", async () => {
    const [plain, other] = [
      await pipeline.upscale(image),
      await pipeline.upscale(image, { realism: "realism" }),
    ];
    const seen: number[] = [];
    let first: RawImage = plain.image;
    const runs = await unetRuns(async () => {
      first = (
        await pipeline.upscale(image, {
          realismMask: mask,
          onProgress: ({ fraction }) => seen.push(fraction),
        })
      ).image;
    });
    expect(runs).toBe(2);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(first.data).not.toEqual(plain.image.data);
    expect(first.data).not.toEqual(other.image.data);
    const again = await pipeline.upscale({ ...image }, { realismMask: mask });
    expect(again.image.data).toEqual(first.data);
  });

  it("on tiles runs the second timestep only where the mask is", async () => {
    const { pipeline: tiled } = await minimalPipeline(
      setup.gpu,
      "f32",
      { upscale: 1, minSize: 1 },
      { tile: 8, overlap: 3 },
    );
    try {
      const wide = testImage(56, 16); // latents 28 × 8: 5 tiles
      const data = new Uint8Array(56 * 16);
      for (let y = 0; y < 16; y++) data.fill(255, y * 56, y * 56 + 6);
      const corner = { data, width: 56, height: 16, realism: "realism" } as const;
      expect(await unetRuns(() => tiled.upscale(wide))).toBe(5);
      expect(await unetRuns(() => tiled.upscale(wide, { realismMask: corner }))).toBe(6);
    } finally {
      tiled.dispose();
    }
  });

  it.each([
    [{ ...mask, width: 0 }, "realismMask: needs integer sides ≥ 1, got 0×9"],
    [{ ...mask, height: 2.5 }, "realismMask: needs integer sides ≥ 1, got 12×2.5"],
    [
      { ...mask, width: 6 },
      "realismMask: 6×9 needs 54 bytes, got 108. One byte per pixel, not RGBA",
    ],
    [{ ...mask, data: [1] as unknown as Uint8Array }, "realismMask: data must be a Uint8Array"],
    [{ ...mask, realism: 3 }, "realism: must be"],
    [{ ...mask, realism: "auto" }, 'realism: "auto" needs a model with mem/'],
  ] as const)("is refused before anything is allocated: %#", async (realismMask, message) => {
    setup.gpu.memory.resetPeak();
    const before = setup.gpu.memory.use().currentBytes;
    await expect(pipeline.upscale({ ...image }, { realismMask })).rejects.toThrow(message);
    expect(setup.gpu.memory.use().peakBytes).toBe(before);
  });
});

describe("rcod-tiny, the left half masked", () => {
  let model: RcodModel;
  let image: RawImage;
  beforeAll(async () => {
    const url = new URL("tests/fixtures/rcod-tiny/photos.safetensors", root);
    const photos = safetensorsStore(await openSafetensors(bytesSource("p", readFileSync(url))));
    const [, height = 1, width = 1] = photos.info("lq").shape;
    const data = (await photos.read("lq")).slice(0, width * height * 3);
    image = { width, height, channels: 3, data };
    const files = folderFiles(new URL("models/rcod-tiny/", root).pathname);
    model = await loadModel(files, { gpu: setup.gpu, precision: "f32" });
  });
  afterAll(() => model.dispose());

  it.each(["none", "adain", "wavelet"] as const)(
    "leaves the rest as it was, at more than 45 dB, colour fix %s",
    async (colorFix) => {
      const { width, height } = image;
      const { image: plain } = await model.upscale(image, { colorFix });
      const { image: full } = await model.upscale(image, { colorFix, realism: "realism" });
      const realismMask = halfMask(width, height);
      const { image: masked } = await model.upscale(image, { colorFix, realismMask });
      const middle = plain.width / 2;
      const margin = 16; // output pixels: four latent ones; beyond it the difference stays the same
      const outside = psnr(plain, masked, middle + margin, plain.width);
      const inside = psnr(full, masked, 0, middle - margin);
      const change = psnr(plain, full, 0, plain.width);
      process.stderr.write(
        `mask, ${colorFix}: ${outside.toFixed(1)} dB from the plain result outside, ` +
          `${inside.toFixed(1)} from the other inside; these two are ${change.toFixed(1)} apart\n`,
      );
      expect(outside).toBeGreaterThan(45);
      expect(inside).toBeGreaterThan(45);
      expect(change).toBeLessThan(43);
    },
  );
});
