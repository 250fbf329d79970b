/** One stage's weights at a time: the same picture, less memory, and no more reading than needed. */
import { describe, expect, it } from "vitest";
import { weightByteLength } from "../../../src/graph/weights/weight-layout.ts";
import { DeviceError, WeightsError } from "../../../src/index.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import type { RcodModel } from "../../../src/rcod/model.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import { stageWeights } from "../../../src/rcod/networks/stage-graphs.ts";
import type { Progress } from "../../../src/rcod/settings/options.ts";
import type { FileSet } from "../../../src/weights/index.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { minimalFiles, testImage } from "../support.ts";

const setup = useGpu();

/** Files that note the folders of which tensors are read, and how many are open. */
async function watchedFiles() {
  const files = memoryFiles(await minimalFiles({ mem: [8] }));
  const read = new Map<string, number>();
  const state = { open: 0 };
  const watched: FileSet = {
    name: files.name,
    async open(path, signal) {
      const source = await files.open(path, signal);
      if (source === null || path.endsWith(".json")) return source;
      state.open++;
      return {
        ...source,
        async read(offset, length, readSignal) {
          const folder = path.slice(0, path.indexOf("/"));
          read.set(folder, (read.get(folder) ?? 0) + length);
          return source.read(offset, length, readSignal);
        },
        async close() {
          state.open--;
          await source.close();
        },
      };
    },
  };
  return { files: watched, read, state };
}

const weightUse = () => setup.gpu.memory.use().byPurpose["weights"] ?? { current: 0, peak: 0 };

describe("low memory", () => {
  async function load(files?: FileSet): Promise<RcodModel> {
    const source = files ?? (await watchedFiles()).files;
    return loadModel(source, { gpu: setup.gpu, precision: "f32", lowMemory: true });
  }

  it("gives the same picture with the weights of one stage, and reads what a stage needs", async () => {
    const { files, read, state } = await watchedFiles();
    const normal = await loadModel(files, { gpu: setup.gpu, precision: "f32" });
    expect(state.open).toBe(0);
    const image = testImage(6, 5);
    const settings = ["fidelity", "realism", "auto"] as const;
    const expected = [];
    for (const realism of settings) expected.push(await normal.upscale(image, { realism }));
    normal.dispose();
    expect(weightUse().current).toBe(0);

    const model = await load(files);
    expect(weightUse().current).toBe(0);
    read.clear();
    const needed = stageWeights(model.configs, "f32");
    const stageBytes = Object.values(needed).map((weights) =>
      weights.reduce(
        (sum, weight) => sum + 16 * Math.ceil(weightByteLength(weight, "f32") / 16),
        0,
      ),
    );
    const largest = Math.max(...stageBytes);
    const all = stageBytes.reduce((sum, bytes) => sum + bytes, 0);
    const folders: string[][] = [];
    for (const [i, realism] of settings.entries()) {
      const result = await model.upscale(image, { realism });
      expect(result.image.data, realism).toEqual(expected[i]?.image.data);
      expect(result.predictedMetric).toBe(expected[i]?.predictedMetric);
      // Zeros for layers without bias are shared buffers of a few hundred bytes.
      expect(weightUse().peak).toBeLessThanOrEqual(largest + 1024);
      expect(weightUse().peak).toBeLessThan(0.8 * all);
      expect(result.peakBytes).toBeLessThan(expected[i]?.peakBytes ?? 0);
      folders.push([...read.keys()].toSorted());
      read.clear();
    }
    expect(folders).toEqual([
      ["image_encoder", "image_proj", "unet", "vae"],
      ["unet", "vae"], // another realism: UNet and decoder
      ["mem", "unet", "vae"],
    ]);
    expect(state.open).toBeGreaterThan(0);
    model.dispose();
    expect(weightUse().current).toBe(0);
    await expect.poll(() => state.open).toBe(0);
  });

  it("reads only the decoder's tensors of the VAE for another realism", async () => {
    const { files, read } = await watchedFiles();
    const model = await load(files);
    const image = testImage(6, 5);
    read.clear();
    await model.upscale(image);
    const first = read.get("vae") ?? 0;
    read.clear();
    await model.upscale(image, { realism: 1 });
    expect(read.get("vae")).toBeGreaterThan(0);
    expect(read.get("vae")).toBeLessThan(0.7 * first);
    model.dispose();
  });

  it("says what is wrong with all parts before any GPU work", async () => {
    const files = await minimalFiles({}, (part, list) =>
      part === "unet" || part === "image_encoder" ? list.slice(1) : list,
    );
    setup.gpu.memory.resetPeak();
    const before = setup.gpu.memory.use().currentBytes;
    const error: unknown = await load(memoryFiles(files)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toContain("image_encoder");
    expect((error as Error).message).toMatch(/unet.*1 tensor missing|1 tensor missing.*unet/);
    expect(setup.gpu.memory.use().peakBytes).toBe(before);
  });

  it("can be aborted while a stage loads, and goes on afterwards", async () => {
    const model = await load();
    const image = testImage(6, 5);
    const stages: Progress[] = [];
    const { image: expected } = await model.upscale(image, {
      onProgress: (progress) => stages.push(progress),
    });
    const loads = stages.filter(({ stage }) => stage === "load");
    expect(loads.length).toBeGreaterThan(4);
    expect(loads.every(({ bytesLoaded = 0, bytesTotal = 0 }) => bytesLoaded <= bytesTotal)).toBe(
      true,
    );
    const fractions = stages.map(({ fraction }) => fraction);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));

    const controller = new AbortController();
    let unet = false;
    const aborted = model.upscale(image, {
      realism: 1,
      signal: controller.signal,
      onProgress({ stage, bytesLoaded = 0 }) {
        unet ||= stage === "unet";
        if (unet && stage === "load" && bytesLoaded > 0) controller.abort("stop");
      },
    });
    await expect(aborted).rejects.toBe("stop");
    expect(weightUse().current).toBe(0);
    const { image: again } = await model.upscale(image);
    expect(again.data).toEqual(expected.data);
    model.dispose();
    await expect(model.upscale(image)).rejects.toBeInstanceOf(DeviceError);
  });

  it("tiles the VAE too", async () => {
    const { files } = await watchedFiles();
    const normal = await loadModel(files, { gpu: setup.gpu, precision: "f32" });
    const model = await load(files);
    const image = testImage(17, 8);
    const { image: expected } = await normal.upscale(image, { tile: 64 });
    const { image: got } = await model.upscale(image, { tile: 64 });
    expect(got.data).toEqual(expected.data);
    normal.dispose();
    model.dispose();
  });

  it("knows its stages' weights", async () => {
    const configs = await readConfigs(memoryFiles(await minimalFiles()));
    const { encode, decode } = stageWeights(configs, "f32");
    expect(encode.every(({ name }) => /^(encoder|quant_conv)\./.test(name))).toBe(true);
    expect(decode.every(({ name }) => /^(decoder|post_quant_conv)\./.test(name))).toBe(true);
  });
});
