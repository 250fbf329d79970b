/** Calls with a result for each of several settings. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Program } from "../../src/graph/program.ts";
import { blendRealism } from "../../src/rcod/images/blend-realism.ts";
import type { Pipeline } from "../../src/rcod/pipeline.ts";
import type {
  RealismSetting,
  ResultRegion,
  UpscaleOptions,
  UpscaleResult,
} from "../../src/rcod/settings/options.ts";
import { useGpu } from "../support/gpu.ts";
import { largestDifference, minimalPipeline, testImage } from "./support.ts";

const setup = useGpu();
let pipeline: Pipeline;
beforeAll(async () => {
  ({ pipeline } = await minimalPipeline(setup.gpu, "f32", { mem: [6] }));
});
afterAll(() => pipeline.dispose());

/** Names of the results and batches of the programs that run during `use`. */
async function programs<T>(use: () => Promise<T>): Promise<readonly [T, string[]]> {
  const run = vi.spyOn(Program.prototype, "run");
  try {
    const value = await use();
    const names = (run.mock.contexts as Program[]).map(({ plan }) => {
      const [batch] = [...plan.graph.inputs.values()][0]?.shape ?? [];
      return `${[...plan.results.keys()][0]} × ${batch}`;
    });
    return [value, names];
  } finally {
    run.mockRestore();
  }
}

/** The same calls one by one, on an image of their own. */
async function oneByOne(
  own: Pipeline,
  settings: readonly RealismSetting[],
  options: UpscaleOptions,
  image = testImage(12, 9),
): Promise<UpscaleResult[]> {
  const results: UpscaleResult[] = [];
  for (const realism of settings) results.push(await own.upscale(image, { ...options, realism }));
  return results;
}

describe("several settings", () => {
  it("give what calls one by one give, encoded once and with one run of the UNet", async () => {
    const settings = ["realism", 0.25, "fidelity"] as const;
    const depth = 16; // fine enough to see what batches change
    const expected = await oneByOne(pipeline, settings, { depth });
    const seen: number[] = [];
    const onProgress: UpscaleOptions["onProgress"] = ({ fraction }) => seen.push(fraction);
    const [results, ran] = await programs(() =>
      pipeline.upscale(testImage(12, 9), { realism: settings, depth, onProgress }),
    );
    expect(ran).toEqual([
      "tokens × 1",
      "latents × 1",
      "eps × 3",
      "image × 1",
      "image × 1",
      "image × 1",
    ]);
    expect(results.map(({ timestep }) => timestep)).toEqual([749, 374, 249]);
    results.forEach(({ image }, i) => {
      const { image: own } = expected[i] as UpscaleResult;
      expect(largestDifference(image, own)).toBeLessThanOrEqual(2);
    });
    expect(
      largestDifference(results[0]?.image as never, results[2]?.image as never),
    ).toBeGreaterThan(9);
    expect(results[1]?.timingsMs).toEqual(results[0]?.timingsMs);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
  });

  it("may be timesteps, a single one, and where a mask is", async () => {
    const image = testImage(12, 9);
    const realismMask = {
      data: Uint8Array.from({ length: 12 * 9 }, (_, i) => (i % 12 < 6 ? 255 : 0)),
      width: 12,
      height: 9,
      realism: "realism",
    } as const;
    const [results, ran] = await programs(() =>
      pipeline.upscale(image, { timestep: [249, 500], realismMask }),
    );
    expect(ran).toContain("eps × 4");
    expect(
      results.map(({ timestep, realism, maskTimestep }) => [timestep, realism, maskTimestep]),
    ).toEqual([
      [249, 0, 749],
      [499, 0.5, 749],
    ]);
    for (const [i, timestep] of [249, 499].entries()) {
      const { image: own } = await pipeline.upscale(image, { timestep, realismMask });
      expect(largestDifference(results[i]?.image as never, own)).toBeLessThanOrEqual(1);
    }
    const [only, ...others] = await pipeline.upscale(image, { realism: ["neutral"] });
    expect(others).toEqual([]);
    expect(only?.image.data).toEqual(
      (await pipeline.upscale(image, { realism: "neutral" })).image.data,
    );
  });

  it("may have one that the picture decides", async () => {
    const image = testImage(12, 9);
    const [auto, neutral] = await pipeline.upscale(image, { realism: ["auto", "neutral"] });
    const alone = await pipeline.upscale(image, { realism: "auto" });
    expect(auto?.timestep).toBe(alone.timestep);
    expect(auto?.predictedMetric).toBe(alone.predictedMetric);
    expect(neutral?.predictedMetric).toBeUndefined();
  });

  it("are what pictures between them are blended from", async () => {
    const [from, to] = await pipeline.upscale(testImage(12, 9), { realism: [0.25, "realism"] });
    const blend = blendRealism([from!, to!], 0.25 + 0.75 / 3);
    const { data } = from!.image;
    const third = Array.from(data, (value, i) => (2 * value + to!.image.data[i]!) / 3);
    expect(largestDifference(from!.image, to!.image)).toBeGreaterThan(9);
    third.forEach((value, i) => expect(Math.abs(value - blend.data[i]!)).toBeLessThan(0.51));
  });

  it("give a texture each", async () => {
    const made = await pipeline.upscale(testImage(6, 5), { realism: [0, 1], output: "texture" });
    expect(made.map(({ texture }) => [texture.width, texture.height])).toEqual([
      [24, 20],
      [24, 20],
    ]);
    expect(made[0]?.texture).not.toBe(made[1]?.texture);
    for (const { texture } of made) texture.destroy();
  });

  it("go through tiles of the UNet together", async () => {
    const tiles = { tile: 8, overlap: 3 };
    const options = { upscale: 1, minSize: 1 };
    const { pipeline: tiled } = await minimalPipeline(setup.gpu, "f32", options, tiles);
    try {
      const expected = await oneByOne(tiled, [0, 1], {}, testImage(28, 18));
      const [results, ran] = await programs(() =>
        tiled.upscale(testImage(28, 18), { realism: [0, 1] }),
      );
      expect(ran.filter((name) => name.startsWith("eps"))).toEqual(["eps × 8"]);
      results.forEach(({ image }, i) =>
        expect(largestDifference(image, expected[i]?.image as never)).toBeLessThanOrEqual(1),
      );
    } finally {
      tiled.dispose();
    }
  });

  it("share the regions of a large picture, whose parts say of which result they are", async () => {
    const image = testImage(70, 6);
    const expected = await oneByOne(pipeline, [0, 1], { region: 256 }, image);
    const parts: ResultRegion[] = [];
    const onRegion = (part: ResultRegion): void => void parts.push(part);
    const results = await pipeline.upscale(image, { realism: [0, 1], region: 256, onRegion });
    expect(results.map(({ regions }) => regions)).toEqual([2, 2]);
    results.forEach((result, i) => {
      expect(largestDifference(result.image, expected[i]?.image as never)).toBeLessThanOrEqual(1);
      const area = parts
        .filter((part) => part.result === i)
        .reduce((sum, part) => sum + part.width * part.height, 0);
      expect(area).toBe(280 * 24);
    });
    expect(results[0]?.image.data).not.toEqual(results[1]?.image.data);
  });

  it("leave nothing behind when a call fails between two of them", async () => {
    await pipeline.upscale(testImage(6, 5), { realism: [0, 1] });
    const before = setup.gpu.memory.use().byPurpose["images"]?.current;
    let decoding = 0;
    const onProgress: UpscaleOptions["onProgress"] = ({ stage, stageFraction }) => {
      if (stage === "decode" && stageFraction === 0 && ++decoding === 2) throw new Error("gone");
    };
    const run = pipeline.upscale(testImage(6, 5), { realism: [0, 1, 0.5], onProgress });
    await expect(run).rejects.toThrow("gone");
    const after = setup.gpu.memory.use().byPurpose["images"]?.current;
    expect(after).toBe(before);
  });

  it.each([
    [{ realism: [] }, "realism: a call takes 1 … 8 settings, got 0"],
    [
      { realism: Array.from({ length: 9 }, () => 0) },
      "realism: a call takes 1 … 8 settings, got 9",
    ],
    [{ timestep: [249, 1000] }, "timestep must be a number in 0 … 999, got 1000"],
    [{ realism: ["fidelity", "most"] }, 'got "most"'],
    [{ realism: [0, 1], inspect: {} }, "inspect: is for calls with one setting"],
    [
      { realism: [0, 1], output: "regions", onRegion: () => undefined },
      'output: "regions": is for calls with one setting',
    ],
  ])("are refused: %#", async (options, message) => {
    const run = pipeline.upscale(testImage(4, 4), options as unknown as UpscaleOptions);
    await expect(run).rejects.toThrow(message);
    await expect(run).rejects.toBeInstanceOf(RangeError);
  });
});
