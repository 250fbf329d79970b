/** RCOD_S through the API, from the files that people have to PyTorch's picture. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { runConvert } from "../../cli/convert/run.ts";
import { loadModelAt } from "../../cli/engine.ts";
import { readImage } from "../../cli/image/decode.ts";
import { describeWeights } from "../../cli/info/weights.ts";
import type { UpscaleCliOptions } from "../../cli/upscale/command.ts";
import { runUpscale } from "../../cli/upscale/run.ts";
import { describePlan } from "../../src/bench/model-plan.ts";
import { loadWeights } from "../../src/rcod/loading/load.ts";
import type { ModelSources } from "../../src/rcod/loading/model-source.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { PairMetric } from "../../src/rcod/metric-of-pair.ts";
import { loadModel } from "../../src/rcod/model.ts";
import { modelParts } from "../../src/rcod/networks/stage-graphs.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { adaptToImage } from "../../src/rcod/stages/adapt.ts";
import { StagePrograms } from "../../src/rcod/stages/programs.ts";
import {
  WeightsError,
  memoryFiles,
  openSafetensors,
  toFloat32,
  writeSafetensors,
} from "../../src/weights/index.ts";
import { fileSource } from "../../src/weights/sources/node-source.ts";
import { recordingTerminal, useFolder } from "../cli/support/terminal.ts";
import { keptGpu, useGpu } from "../support/gpu.ts";
import { SAMPLE_EXPECTED } from "../support/samples.ts";
import { makeTexture, readTexture } from "../support/texture.ts";
import { rcodSFiles } from "./rcod-s-sample.ts";
import { largestDifference, testImage } from "./support.ts";

const setup = useGpu();
type Json = Record<string, unknown>;

async function expected(name: string): Promise<Float32Array> {
  const file = await openSafetensors(await fileSource(SAMPLE_EXPECTED));
  const full = `rcod_s/${name}`;
  const info = file.tensors.get(full);
  if (info === undefined) throw new Error(`no tensor ${full}`);
  const bytes = await file.read(full);
  await file.close();
  return info.dtype === "U8" ? Float32Array.from(bytes) : toFloat32(info, bytes);
}

const [WIDTH, HEIGHT] = [16, 24];

/** The files as people have them, each on its own. */
async function pieces(): Promise<ModelSources> {
  const files = await rcodSFiles();
  const take = (name: string): File => {
    const bytes = files.get(name) as Uint8Array<ArrayBuffer>;
    files.delete(name);
    return new File([bytes], name);
  };
  files.delete("rcod_config.json");
  const [checkpoint, deNet, mem] = ["rcod_s.pkl", "de_net.pth", "rcod_s_mem.pkl"].map(take);
  if (!checkpoint || !deNet || !mem) throw new Error("no file");
  const prefix = "image_encoder/";
  const clip = new Map<string, Uint8Array>();
  for (const [path, bytes] of files) {
    if (!path.startsWith(prefix)) continue;
    clip.set(path.slice(prefix.length), bytes);
    files.delete(path);
  }
  return { model: memoryFiles(files), clip: memoryFiles(clip), checkpoint, deNet, mem };
}

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
    const model = await loadModel(await pieces(), { gpu: setup.gpu, precision });
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

describe("the command line", () => {
  const folder = useFolder();

  /** The files on disk: base and CLIP in folders, the rest beside them; and the photo. */
  async function writeFiles() {
    for (const [path, bytes] of await rcodSFiles()) {
      if (path === "rcod_config.json") continue;
      const target = path.replace(/^image_encoder/, "clip").replace(/^(unet|vae)/, "turbo/$1");
      await mkdir(dirname(folder.file(target)), { recursive: true });
      await writeFile(folder.file(target), bytes);
    }
    const { width, height, channels, data } = await lowResolution();
    const png = await sharp(data, { raw: { width, height, channels } }).png().toBuffer();
    await writeFile(folder.file("photo.png"), png);
    return {
      model: folder.file("turbo"),
      clip: folder.file("clip"),
      checkpoint: folder.file("rcod_s.pkl"),
      deNet: folder.file("de_net.pth"),
      mem: folder.file("rcod_s_mem.pkl"),
    };
  }

  async function upscale(options: Partial<UpscaleCliOptions> & { readonly model: string }) {
    const terminal = recordingTerminal();
    const out = folder.file("x4.png");
    const exitCode = await runUpscale(
      {
        input: [folder.file("photo.png")],
        out,
        precision: "f32",
        color: "none",
        dawnToggles: [],
        json: true,
        quiet: true,
        force: true,
        ...options,
      },
      terminal,
      {
        launch: async () => null,
        openGpu: async () => keptGpu(setup.gpu),
        loadModel: loadModelAt,
      },
    );
    expect([exitCode, terminal.stderr]).toEqual([0, []]);
    return {
      report: JSON.parse(terminal.stdout[0] as string) as Json,
      image: await readImage(out),
    };
  }

  it("runs the pieces, recognised by the checkpoint, and their conversion, to PyTorch's picture", async () => {
    const paths = await writeFiles();
    const { image, report } = await upscale({ ...paths, timestep: 249 });
    expect(report).toMatchObject(paths);
    const decoded = await expected("outputs/image_t249");
    expect(worstLevel(dropAlphaOf(image), decoded)).toBeLessThanOrEqual(0.502);

    const low = await upscale({ ...paths, timestep: 249, lowMemory: true });
    expect(largestDifference(low.image, image)).toBe(0);
    const peak = ({ results }: Json): number =>
      (results as { peakBytes: number }[])[0]?.peakBytes ?? 0;
    expect(peak(low.report)).toBeLessThan(0.7 * peak(report));

    const out = folder.file("converted");
    const sources = { ...paths, out, shardSize: 5e5, quiet: true };
    expect(await runConvert({ ...sources, dtype: "fp32" }, recordingTerminal())).toBe(0);
    const manifest = JSON.parse(await readFile(`${out}/manifest.json`, "utf8")) as {
      files: readonly { readonly path: string }[];
    };
    const written = manifest.files.map(({ path }) => path);
    expect(written).toContain("rcod_s.safetensors");
    expect(written).toContain("unet/diffusion_pytorch_model.safetensors.index.json");
    await rm(paths.model, { recursive: true }); // nothing else is needed
    const converted = await upscale({ model: out, timestep: 249 });
    expect(largestDifference(converted.image, image)).toBe(0);
    const auto = await upscale({ model: out, realism: "auto" });
    expect(auto.report["results"]).toMatchObject([{ timestep: 499 }]);
  }, 600_000);

  it("refuses auto without --mem before a GPU is asked for", async () => {
    const { mem: _mem, ...paths } = await writeFiles();
    await expect(upscale({ ...paths, realism: "auto" })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining("has no mem/ and is given no --mem; choose") as string,
    });
  });
});

const dropAlphaOf = (image: RawImage): RawImage => ({
  ...image,
  channels: 3,
  data: image.data.filter((_value, i) => image.channels === 3 || i % 4 < 3),
});

it("takes the memory that rcod info counts, and estimates PyTorch's degradation scores", async () => {
  const files = memoryFiles(await rcodSFiles());
  const configs = await readConfigs(files);
  const before = setup.gpu.memory.use().byPurpose["weights"]?.current ?? 0;
  const weights = await loadWeights(setup.gpu, files, configs, "f32");
  const loaded = (setup.gpu.memory.use().byPurpose["weights"]?.current ?? 0) - before;
  const { resident = [] } = (await describeWeights(files, configs)) ?? {};
  expect(resident.map(({ part, matrices }) => [part, matrices])).toEqual([
    ["vae", 33], // 30 modules; Q, K and V of the attention are packed as one product and as three
    ["unet", 167], // 164 modules; three up-samplers are packed for even and odd sizes
  ]);
  const kept = resident.reduce(
    (sum, { baseBytes, factorBytes }) => sum + baseBytes + factorBytes,
    0,
  );
  const { weightBytes } = describePlan(configs, 64, 64, "f32", setup.gpu.caps);
  expect(loaded / (weightBytes + kept)).toBeCloseTo(1, 2); // buffers are rounded up to 16 bytes
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
