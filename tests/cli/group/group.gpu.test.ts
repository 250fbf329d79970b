/** `rcod group` on a small model: M_L of a pair is the cosine of its latents under the model's encoder. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { GroupOptions } from "../../../cli/group/command.ts";
import { runGroup } from "../../../cli/group/run.ts";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { Program } from "../../../src/graph/program.ts";
import { loadWeights } from "../../../src/rcod/loading/load.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { PairMetric } from "../../../src/rcod/metric-of-pair.ts";
import { encoderGraph } from "../../../src/rcod/networks/graphs.ts";
import { modelParts } from "../../../src/rcod/networks/stage-graphs.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { minimalFiles, testImage } from "../../rcod/support.ts";
import { useGpu } from "../../support/gpu.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const setup = useGpu();
const folder = useFolder();

/** The cosine of the latents of two images with even sides, by the encoder's graph. */
async function cosine(images: readonly RawImage[]): Promise<number> {
  const files = memoryFiles(await minimalFiles());
  const configs = await readConfigs(files);
  const weights = await loadWeights(setup.gpu, files, configs, "f32");
  const latents: Float32Array[] = [];
  for (const { width, height, data } of images) {
    const plan = planGraph(encoderGraph(configs.vae, height, width, "f32"), setup.caps);
    const program = await Program.create(setup.gpu, plan, weights.vae);
    const pixels = Float64Array.from(data, (level) => level / 127.5 - 1);
    await program.run({ image: packActivation(pixels, 3, "f32") });
    latents.push((await program.read("latents")).data);
    program.dispose();
  }
  for (const part of modelParts(configs)) weights[part]?.dispose();
  const [a = [], b = []] = latents;
  const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
    Array.from(x).reduce((sum, value, i) => sum + value * (y[i] as number), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

describe("PairMetric", () => {
  it("is the cosine of the latents, and 1 for equal images", async () => {
    const [a, b] = [testImage(12, 8, 3, 1), testImage(12, 8, 3, 2)];
    const encoder = await PairMetric.load(setup.gpu, memoryFiles(await minimalFiles()), "f32");
    try {
      const expected = await cosine([a, b]);
      expect(Math.abs(expected)).toBeLessThan(0.999);
      expect(await encoder.of(a, b)).toBeCloseTo(expected, 5);
      expect(await encoder.of(a, a)).toBeCloseTo(1, 6);
      // A smaller one is enlarged first: a single colour stays one.
      const grey = (width: number, height: number): RawImage => ({
        width,
        height,
        channels: 3,
        data: new Uint8Array(width * height * 3).fill(90),
      });
      expect(await encoder.of(grey(3, 2), grey(12, 8))).toBeCloseTo(1, 6);
      await expect(encoder.of(grey(3, 2), grey(12, 9))).rejects.toThrow(
        "metric: the low-quality image must be as large as its original or 4 times smaller, got 3×2 and 12×9",
      );
    } finally {
      encoder.dispose();
    }
    expect(setup.gpu.memory.use().currentBytes).toBe(0);
  });
});

async function save({ width, height, data }: RawImage, ...path: string[]): Promise<string> {
  const file = folder.file(...path);
  await mkdir(dirname(file), { recursive: true });
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(file);
  return file;
}

async function group(lq: string, hq: string, options: Partial<GroupOptions>) {
  for (const [path, bytes] of await minimalFiles()) {
    const file = folder.file("model", ...path.split("/"));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
  }
  const terminal = recordingTerminal();
  const given = { lq, hq, model: folder.file("model"), precision: "f32", dawnToggles: [] } as const;
  const exitCode = await runGroup({ ...given, ...options }, terminal, async () => null);
  return { exitCode, terminal };
}

describe("rcod group", () => {
  it("folders: every pair, both tables, a histogram, a plot; a bad pair does not stop the others", async () => {
    const [a, b] = [testImage(8, 8, 3, 1), testImage(8, 8, 3, 2)];
    await save(a, "lq", "same.png");
    await save(a, "hq", "same.png");
    await save(a, "lq", "other.png");
    await save(b, "hq", "other.png");
    await save(a, "lq", "wrong.png");
    await save(testImage(9, 8), "hq", "wrong.png");
    const out = folder.file("plot.svg");
    const { exitCode, terminal } = await group(folder.file("lq"), folder.file("hq"), {
      json: true,
      out,
    });
    expect(exitCode).toBe(1);
    const { pairs, thresholds, failed, histogram } = JSON.parse(terminal.stdout[0] ?? "");
    expect(thresholds).toEqual({ 3: [0.5, 0.7], 4: [0.3, 0.5, 0.7] });
    expect(pairs.map(({ low }: { low: string }) => low.split("/").at(-1))).toEqual([
      "other.png",
      "same.png",
      "wrong.png",
    ]);
    expect(pairs[0].metric).toBeCloseTo(await cosine([a, b]), 5);
    expect(pairs[1].groups).toEqual({
      3: { group: 3, timestep: 249 },
      4: { group: 4, timestep: 249 },
    });
    expect(pairs[2].error).toContain("got 8×8 and 9×8");
    expect(failed).toBe(1);
    expect(histogram.reduce((sum: number, count: number) => sum + count, 0)).toBe(2);
    expect(await readFile(out, "utf8")).toContain("Latent metric of 2 pairs");
  });

  it("a pair as text", async () => {
    const file = await save(testImage(8, 8), "a.png");
    const { exitCode, terminal } = await group(file, file, {});
    expect(exitCode).toBe(0);
    expect(terminal.stdout).toEqual([
      `${file}  ${file}  M_L 1.0000  group 3 of 3, timestep 249  group 4 of 4, timestep 249`,
    ]);
  });
});
