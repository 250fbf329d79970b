/** RCOD_S through the API, from the files that people have to PyTorch's picture. */
import { describe, expect, it } from "vitest";
import { loadWeights, modelParts, readConfigs } from "../../src/rcod/load.ts";
import { adaptToImage } from "../../src/rcod/degradation-stage.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { RawImage } from "../../src/rcod/image-ops.ts";
import { PairMetric } from "../../src/rcod/metric-of-pair.ts";
import { StagePrograms } from "../../src/rcod/stage-programs.ts";
import {
  WeightsError,
  bytesSource,
  memoryFiles,
  openSafetensors,
  toFloat32,
  writeSafetensors,
} from "../../src/weights/index.ts";
import { useGpu } from "../support/gpu.ts";
import { makeTexture, readTexture } from "../support/texture.ts";
import { rcodSExpected, rcodSFiles } from "./rcod-s-sample.ts";
import { testImage } from "./support.ts";

const setup = useGpu();

async function expected(name: string): Promise<Float32Array> {
  const file = await openSafetensors(bytesSource("expected", rcodSExpected()));
  const info = file.tensors.get(name);
  if (info === undefined) throw new Error(`no tensor ${name}`);
  const bytes = await file.read(name);
  return info.dtype === "U8" ? Float32Array.from(bytes) : toFloat32(info, bytes);
}

const [WIDTH, HEIGHT] = [16, 24];

async function lowResolution(): Promise<RawImage> {
  const data = Uint8Array.from(await expected("inputs/image_u8_hwc"));
  return { width: WIDTH, height: HEIGHT, channels: 3, data };
}

/** Largest difference in levels from a decoded image [1, 3, 128, 64] of PyTorch, where both have pixels. */
function worstLevel({ width, height, data }: RawImage, decoded: Float32Array): number {
  let worst = 0;
  for (let i = 0; i < width * height; i++) {
    const at = Math.floor(i / width) * 64 + (i % width);
    for (let c = 0; c < 3; c++) {
      const level = 255 * (0.5 * (decoded[c * 128 * 64 + at] as number) + 0.5);
      worst = Math.max(worst, Math.abs(level - (data[3 * i + c] as number)));
    }
  }
  return worst;
}

describe.each(["f32", "f16"] as const)("RCOD_S in %s", (precision) => {
  it("gives PyTorch's picture at every timestep, and chooses its timestep", async () => {
    const model = await loadModel(memoryFiles(await rcodSFiles()), { gpu: setup.gpu, precision });
    try {
      expect(model.supportsAuto).toBe(true);
      const image = await lowResolution();
      // Half a level is the rounding to 8 bits; the rest is f16's 1.2 % relative error of the reference itself.
      const limit = precision === "f32" ? 0.502 : 8;
      for (const timestep of precision === "f32" ? [249, 749] : [249]) {
        const result = await model.upscale(image, { timestep, colorFix: "none" });
        expect([result.image.width, result.image.height]).toEqual([4 * WIDTH, 4 * HEIGHT]);
        const decoded = await expected(`outputs/image_t${timestep}`);
        expect(worstLevel(result.image, decoded), `t ${timestep}`).toBeLessThanOrEqual(limit);
      }
      const auto = await model.upscale(image, { realism: "auto", colorFix: "none" });
      expect(auto.timestep).toBe(499);
      const [metric = NaN] = await expected("outputs/m_l");
      expect(auto.predictedMetric).toBeCloseTo(metric, 5); // the estimator is f32 in both
      expect(worstLevel(auto.image, await expected("outputs/image_t249"))).toBeGreaterThan(8);

      if (precision === "f16") return;
      // Another image takes the weights with it, and the first one takes them back.
      const other = await model.upscale(testImage(5, 3), { timestep: 249 });
      expect([other.image.width, other.image.height]).toEqual([20, 12]);
      const again = await model.upscale(image, { timestep: 249, colorFix: "none" });
      const decoded = await expected("outputs/image_t249");
      expect(worstLevel(again.image, decoded)).toBeLessThanOrEqual(limit);

      // A texture goes the same way: enlarging, estimator and colours.
      const rgba = new Uint8Array(WIDTH * HEIGHT * 4).fill(255);
      for (let i = 0; i < WIDTH * HEIGHT; i++)
        rgba.set(image.data.subarray(3 * i, 3 * i + 3), 4 * i);
      const texture = makeTexture(setup.gpu, WIDTH, HEIGHT, rgba);
      const options = { timestep: 249, colorFix: "none", output: "texture" } as const;
      const { texture: out } = await model.upscale(texture, options);
      const pixels = await readTexture(setup.gpu, out);
      expect(pixels.filter((_, i) => i % 4 < 3)).toEqual(again.image.data);
      for (const each of [texture, out]) each.destroy();
    } finally {
      model.dispose();
      expect(setup.gpu.memory.use().byPurpose["weights"]?.current ?? 0).toBe(0);
    }
  }, 600_000);
});

it("estimates PyTorch's degradation scores", async () => {
  const files = memoryFiles(await rcodSFiles());
  const configs = await readConfigs(files);
  const weights = await loadWeights(setup.gpu, files, configs, "f32");
  const programs = new StagePrograms(setup.gpu, weights);
  const context = { gpu: setup.gpu, configs, weights, programs, dtype: "f32" } as const;
  const { degrees } = await adaptToImage(context, await lowResolution(), {});
  const scores = await expected("outputs/degrees");
  degrees.forEach((degree, d) => expect(degree).toBeCloseTo(scores[d] as number, 6));
  programs.clear();
  for (const part of modelParts(configs)) weights[part]?.dispose();
}, 600_000);

it("a pair's metric is under the encoder for the low-quality image", async () => {
  const encoder = await PairMetric.load(setup.gpu, memoryFiles(await rcodSFiles()), "f32");
  try {
    const image = await lowResolution();
    expect(await encoder.of(image, image)).toBeCloseTo(1, 6);
    const other = testImage(4 * WIDTH, 4 * HEIGHT);
    expect(Math.abs(await encoder.of(image, other))).toBeLessThan(0.99);
  } finally {
    encoder.dispose();
  }
}, 600_000);

it("refuses what does not fit before any buffer is made, all parts in one report", async () => {
  const files = await rcodSFiles();
  files.set("rcod_s_mem.pkl", files.get("rcod_s.pkl") as Uint8Array);
  files.set("image_encoder/model.safetensors", writeSafetensors([]));
  setup.gpu.memory.resetPeak();
  const before = setup.gpu.memory.use().currentBytes;
  const error = await loadModel(memoryFiles(files), { gpu: setup.gpu }).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WeightsError);
  expect((error as Error).message).toContain("missing: mem.0.weight, mem.0.bias");
  expect((error as Error).message).toContain("vision_model.embeddings.class_embedding");
  expect(setup.gpu.memory.use().peakBytes).toBe(before);
});
