import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { roundToDtype } from "../../src/gpu/dtype.ts";
import { DeviceError } from "../../src/gpu/errors.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import type { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { loadWeights } from "../../src/rcod/loading/load.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { RcodModel, loadModel } from "../../src/rcod/model.ts";
import {
  decoderGraph,
  encoderGraph,
  oneStepCoefficients,
  unetGraph,
} from "../../src/rcod/networks/graphs.ts";
import { modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import { timestepEmbedding } from "../../src/rcod/networks/unet.ts";
import { Pipeline } from "../../src/rcod/pipeline.ts";
import type { Progress, RawImage } from "../../src/rcod/settings/options.ts";
import { gaussianTileWeights, unetTiles } from "../../src/rcod/tiles/tiling.ts";
import type { NamedTensorData } from "../../src/weights/index.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { parameterValues } from "../graph/support.ts";
import { metric as metricReference } from "../reference/metric.ts";
import { useGpu } from "../support/gpu.ts";
import { largestDifference, minimalFiles, minimalPipeline, testImage } from "./support.ts";

const setup = useGpu();
let pipeline: Pipeline;
beforeAll(async () => {
  ({ pipeline } = await minimalPipeline(setup.gpu));
});
afterAll(() => pipeline.dispose());

/** A pipeline of its own for one test. */
async function withPipeline<T>(
  use: (own: Pipeline) => Promise<T>,
  ...options: Parameters<typeof minimalPipeline> extends [Gpu, ...infer R] ? R : never
): Promise<T> {
  const own = (await minimalPipeline(setup.gpu, ...options)).pipeline;
  try {
    return await use(own);
  } finally {
    own.dispose();
  }
}

describe("sizes", () => {
  it.each([
    [8, 6],
    [3, 5],
    [1, 1],
    [1, 9],
    [21, 1],
  ])("%i×%i gives exactly four times that", async (width, height) => {
    const { image } = await pipeline.upscale(testImage(width, height));
    expect([image.width, image.height, image.channels]).toEqual([4 * width, 4 * height, 3]);
    expect(image.data.length).toBe(16 * width * height * 3);
    expect(new Set(image.data).size).toBeGreaterThan(1);
  });

  it.each([
    [0, 4],
    [4, 0],
    [2.5, 2],
  ])("%d×%d is refused before anything is allocated", async (width, height) => {
    const before = setup.gpu.memory.use().currentBytes;
    const image = { width, height, channels: 3, data: new Uint8Array(width * height * 3) } as const;
    await expect(pipeline.upscale(image)).rejects.toThrow(
      `image: needs integer sides ≥ 1 and 1 to 4 channels, got ${width}×${height}×3`,
    );
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it("too few pixels, and too many after enlarging, are refused", async () => {
    await expect(
      pipeline.upscale({ width: 2, height: 2, channels: 3, data: new Uint8Array(11) }),
    ).rejects.toThrow("image: 2×2×3 needs 12 values, got 11");
    await expect(
      pipeline.upscale({ width: 30_000, height: 1, channels: 3, data: new Uint8Array(90_000) }),
    ).rejects.toThrow("the enlarged image must have sides of at most");
  });
});

describe("alpha", () => {
  it("constant alpha is kept and colours are those of the opaque image", async () => {
    const rgb = testImage(6, 5);
    const data = new Uint8Array(6 * 5 * 4).fill(77);
    for (let i = 0; i < 30; i++) data.set(rgb.data.subarray(3 * i, 3 * i + 3), 4 * i);
    const { image } = await pipeline.upscale({ width: 6, height: 5, channels: 4, data });
    expect(image.channels).toBe(4);
    const opaque = (await pipeline.upscale(rgb)).image;
    for (let i = 0; i < 24 * 20; i++) {
      expect(image.data[4 * i + 3]).toBe(77);
      expect([...image.data.subarray(4 * i, 4 * i + 3)]).toEqual([
        ...opaque.data.subarray(3 * i, 3 * i + 3),
      ]);
    }
  });

  it("an edge in alpha stays an edge", async () => {
    const source = testImage(8, 4, 4);
    const data = source.data.map((value, i) =>
      i % 4 === 3 ? ((i >> 2) % 8 < 4 ? 0 : 255) : value,
    );
    const { image } = await pipeline.upscale({ ...source, data });
    const alpha = (x: number): number => image.data[(5 * 32 + x) * 4 + 3] as number;
    expect([alpha(0), alpha(12), alpha(20), alpha(31)]).toEqual([0, 0, 255, 255]);
  });
});

describe("realism", () => {
  it("names, numbers and timesteps", async () => {
    const image = testImage(4, 4);
    const timestep = async (options: object): Promise<number> =>
      (await pipeline.upscale(image, options)).timestep;
    expect(await timestep({})).toBe(249);
    expect(await timestep({ realism: "neutral" })).toBe(499);
    expect(await timestep({ realism: "realism" })).toBe(749);
    expect(await timestep({ realism: 0.25 })).toBe(374);
    expect(await timestep({ timestep: 500 })).toBe(499);
    expect(await timestep({ timestep: 12.5, realism: "neutral" })).toBe(12.5);
    await expect(timestep({ realism: 2 })).rejects.toThrow("realism: must be");
    await expect(timestep({ realism: "toString" })).rejects.toThrow("realism: must be");
    await expect(timestep({ timestep: 1000 })).rejects.toThrow(
      "realism: timestep must be a number in 0 … 999, got 1000",
    );
  });

  it("changes the picture, and the second call reuses tokens and encoding bit for bit", async () => {
    const image = testImage(12, 10);
    const first = await pipeline.upscale(image, { realism: "fidelity" });
    const second = await pipeline.upscale(image, { realism: "realism" });
    expect(first.timingsMs.encode).toBeGreaterThan(0.5);
    expect(
      second.timingsMs.tokens + second.timingsMs.encode + second.timingsMs.preprocess,
    ).toBeLessThan(
      0.2 * (first.timingsMs.tokens + first.timingsMs.encode + first.timingsMs.preprocess),
    );
    expect(second.image.data).not.toEqual(first.image.data);
    const fresh = await pipeline.upscale({ ...image }, { realism: "realism" });
    expect(fresh.timingsMs.encode).toBeGreaterThan(0.5);
    expect(fresh.image.data).toEqual(second.image.data);
  });

  it("another image is encoded afresh, and so is the first one after it", async () => {
    const [a, b] = [testImage(6, 6, 3, 1), testImage(6, 6, 3, 2)];
    const first = await pipeline.upscale(a);
    const other = await pipeline.upscale(b);
    expect(other.image.data).not.toEqual(first.image.data);
    expect((await pipeline.upscale(a)).image.data).toEqual(first.image.data);
  });
});

describe("auto", () => {
  /** Sets the bias of the head; its weights stay, or become zero so that the metric is the bias. */
  const withHead =
    (bias: number, isConstant: boolean) =>
    (_part: string, list: NamedTensorData[]): NamedTensorData[] =>
      list.map((tensor) => {
        if (tensor.name === "head.weight" && isConstant)
          return { ...tensor, data: tensor.data.map(() => 0) };
        if (tensor.name !== "head.bias") return tensor;
        const data = new Uint8Array(Float32Array.of(bias).buffer);
        return { name: tensor.name, dtype: "F32", shape: [1], data };
      });

  it("predicts the metric from the latents that the UNet gets, once per image", async () => {
    const files = memoryFiles(
      await minimalFiles({ upscale: 1, minSize: 1, mem: [8, 12] }, withHead(1, false)),
    );
    const configs = await readConfigs(files);
    const weights = await loadWeights(setup.gpu, files, configs, "f32");
    const own = new Pipeline(setup.gpu, configs, weights, "f32");
    const image = testImage(14, 10);
    const program = await Program.create(
      setup.gpu,
      planGraph(encoderGraph(configs.vae, 10, 14, "f32"), setup.caps),
      weights.vae,
    );
    try {
      const pixels = Float64Array.from(image.data, (level) => level / 127.5 - 1);
      await program.run({ image: packActivation(pixels, 3, "f32") });
      const latents = await program.read("latents");
      const mem = modelParameters(configs).mem;
      const values = new Map(
        mem.map((weight) => [
          weight.name,
          parameterValues(weight).map((v) => roundToDtype(v, "f16")),
        ]),
      );
      values.set("head.bias", Float64Array.of(1));
      const expected = metricReference(Float64Array.from(latents.data), [5, 7, 4], values);
      expect(expected).toBeGreaterThan(0.1); // not the ReLU's zero
      expect(Math.abs(expected - 1)).toBeGreaterThan(0.01); // nor the bias alone
      const auto = await own.upscale(image, { realism: "auto" });
      expect(auto.predictedMetric).toBeCloseTo(expected, 5);
      const fixed = await own.upscale(image, { timestep: auto.timestep });
      expect(fixed).not.toHaveProperty("predictedMetric");
      expect(fixed.image.data).toEqual(auto.image.data);

      const run = vi.spyOn(Program.prototype, "run");
      const again = await own.upscale(image, { realism: "auto" });
      expect(again.predictedMetric).toBe(auto.predictedMetric);
      expect(run).toHaveBeenCalledTimes(2); // UNet and decoder
      run.mockRestore();
      const other = await own.upscale(testImage(14, 10, 3, 9), { realism: "auto" });
      expect(other.predictedMetric).not.toBe(auto.predictedMetric);
    } finally {
      program.dispose();
      own.dispose();
    }
  });

  it.each([
    [0.3, 749],
    [0.6, 499],
    [0.9, 249],
  ])("a metric of %d selects timestep %i", async (metric, timestep) => {
    const files = memoryFiles(await minimalFiles({ mem: [4] }, withHead(metric, true)));
    const model = await loadModel(files, { gpu: setup.gpu, precision: "f32" });
    try {
      expect(model.supportsAuto).toBe(true);
      const result = await model.upscale(testImage(4, 4), { realism: "auto" });
      expect(result.predictedMetric).toBeCloseTo(metric, 3);
      expect(result.timestep).toBe(timestep);
    } finally {
      model.dispose();
    }
  });

  it("is refused without mem/ before anything is allocated, unless a timestep is given", async () => {
    const model = await loadModel(memoryFiles(await minimalFiles()), { gpu: setup.gpu });
    try {
      expect(model.supportsAuto).toBe(false);
      const before = setup.gpu.memory.use().currentBytes;
      setup.gpu.memory.resetPeak();
      const error = await model
        .upscale(testImage(4, 4), { realism: "auto" })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toBe(
        'realism: "auto" needs a model with mem/, got one without. Choose "fidelity", "neutral", "realism" or a number in 0 … 1',
      );
      expect(setup.gpu.memory.use().peakBytes).toBe(before);
    } finally {
      model.dispose();
    }
    const own = await pipeline.upscale(testImage(4, 4), { realism: "auto", timestep: 499 });
    expect(own.timestep).toBe(499);
    expect(own).not.toHaveProperty("predictedMetric");
  });
});

let expectedAfterAbort: RawImage["data"] | undefined;

describe("calls", () => {
  it("queue, each with its own options", async () => {
    const [a, b] = [testImage(5, 5, 3, 3), testImage(7, 4, 3, 4)];
    const alone = [await pipeline.upscale(a), await pipeline.upscale(b, { realism: "realism" })];
    const together = await Promise.all([
      pipeline.upscale(a),
      pipeline.upscale(b, { realism: "realism" }),
    ]);
    together.forEach(({ image, timestep }, i) => {
      expect(image.data).toEqual(alone[i]?.image.data);
      expect(timestep).toBe(alone[i]?.timestep);
    });
  });

  it("a call that fails does not stop the next one in the queue", async () => {
    const image = testImage(5, 5);
    const failing = pipeline.upscale(image, { realism: 7 });
    const next = pipeline.upscale(image);
    await expect(failing).rejects.toThrow("realism");
    expect((await next).image.width).toBe(20);
  });

  it("a call aborted while it waits ends at once, without work; the one before it goes on", async () => {
    const image = testImage(5, 5);
    const expected = (await pipeline.upscale({ ...image })).image.data;
    const controller = new AbortController();
    const seen: Progress[] = [];
    let isFirstDone = false;
    const first = pipeline.upscale({ ...image }).finally(() => (isFirstDone = true));
    const queued = pipeline.upscale(testImage(30, 30), {
      signal: controller.signal,
      onProgress: (progress) => seen.push(progress),
    });
    controller.abort(new Error("not needed"));
    await expect(queued).rejects.toThrow("not needed");
    expect(isFirstDone).toBe(false);
    expect((await first).image.data).toEqual(expected);
    expect((await pipeline.upscale({ ...image })).image.data).toEqual(expected);
    expect(seen).toEqual([]);
  });

  it.each(["preprocess", "tokens", "encode", "unet", "decode"] as const)(
    "abort during %s, then run again",
    async (stage) => {
      const image = testImage(9, 7);
      expectedAfterAbort ??= (await pipeline.upscale({ ...image })).image.data;
      const before = setup.gpu.memory.use().currentBytes;
      const controller = new AbortController();
      const run = pipeline.upscale(image, {
        signal: controller.signal,
        onProgress: (progress) => {
          if (progress.stage === stage) controller.abort(new Error("stop it"));
        },
      });
      await expect(run).rejects.toThrow("stop it");
      expect((await pipeline.upscale(image)).image.data).toEqual(expectedAfterAbort);
      expect(setup.gpu.memory.use().currentBytes).toBeLessThanOrEqual(before);
    },
  );

  it("progress never falls, names the stages in order and ends at 1", async () => {
    const image = testImage(9, 7);
    for (const realism of [0, 1]) {
      const seen: Progress[] = [];
      await pipeline.upscale(image, { realism, onProgress: (progress) => seen.push(progress) });
      const fractions = seen.map(({ fraction }) => fraction);
      expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
      expect(fractions.at(-1)).toBe(1);
      expect([...new Set(seen.map(({ stage }) => stage))]).toEqual([
        "preprocess",
        "tokens",
        "encode",
        "unet",
        "decode",
        "color",
      ]);
      expect(seen.every(({ stageFraction }) => stageFraction >= 0 && stageFraction <= 1)).toBe(
        true,
      );
    }
  });

  it("reports times of every stage and peaks of memory", async () => {
    const { timingsMs, peakBytes, peakActivationBytes } = await pipeline.upscale(testImage(8, 8));
    expect(Object.keys(timingsMs)).toEqual([
      "preprocess",
      "tokens",
      "encode",
      "unet",
      "decode",
      "color",
    ]);
    expect(Object.values(timingsMs).every((ms) => ms > 0)).toBe(true);
    expect(peakActivationBytes).toBeGreaterThan(32 * 32 * 8 * 4);
    expect(peakBytes).toBeGreaterThan(peakActivationBytes);
  });
});

describe("options", () => {
  it("a seed samples: reproducibly, and unlike the mean", async () => {
    const image = testImage(6, 6);
    const mode = await pipeline.upscale(image);
    const [a, b, c] = [
      await pipeline.upscale({ ...image }, { seed: 1 }),
      await pipeline.upscale({ ...image }, { seed: 1 }),
      await pipeline.upscale({ ...image }, { seed: 2 }),
    ];
    expect(a.image.data).toEqual(b.image.data);
    expect(a.image.data).not.toEqual(mode.image.data);
    expect(a.image.data).not.toEqual(c.image.data);
  });

  it("colour fixes give the result the colours of the source", async () => {
    const image = testImage(10, 8);
    const mean = ({ data }: { data: ArrayLike<number> }): number[] =>
      [0, 1, 2].map(
        (c) =>
          Array.from(data).reduce((sum, value, i) => sum + (i % 3 === c ? value : 0), 0) /
          (data.length / 3),
      );
    const distance = (a: number[], b: number[]): number =>
      Math.max(...a.map((value, c) => Math.abs(value - (b[c] as number))));
    const source = mean(image);
    const none = await pipeline.upscale(image, { colorFix: "none" });
    const adain = await pipeline.upscale(image, { colorFix: "adain" });
    const wavelet = await pipeline.upscale(image, { colorFix: "wavelet" });
    expect(distance(mean(none.image), source)).toBeGreaterThan(5);
    expect(distance(mean(adain.image), source)).toBeLessThan(4);
    expect(distance(mean(wavelet.image), source)).toBeLessThan(distance(mean(none.image), source));
    expect(adain.image.data).not.toEqual(wavelet.image.data);
    expect(wavelet.timingsMs.encode).toBeLessThan(none.timingsMs.encode);
    expect((await pipeline.upscale(image)).image.data).toEqual(none.image.data); // what the configuration says
  });

  it("f16 is close to f32", async () => {
    const image = testImage(8, 6);
    const exact = await pipeline.upscale(image);
    const half = await withPipeline((own) => own.upscale(image), "f16");
    expect(largestDifference(half.image, exact.image)).toBeLessThanOrEqual(3);
    expect(half.image.data).not.toEqual(new Uint8Array(half.image.data.length));
  });

  it("reference: sides whose ×4 is no multiple of the VAE's factor lose pixels", async () => {
    await withPipeline(
      async (own) => {
        const size = async (
          width: number,
          height: number,
          reference: boolean,
        ): Promise<number[]> => {
          const { image } = await own.upscale(testImage(width, height), { reference });
          return [image.width, image.height];
        };
        expect(await size(9, 6, true)).toEqual([32, 24]);
        expect(await size(9, 6, false)).toEqual([36, 24]);
        expect(await size(3, 5, true)).toEqual([12, 20]); // below min_size: resized back
      },
      "f32",
      { vaeWidths: [8, 8, 8, 8] },
    );
  });
});

describe("latent tiles", () => {
  it("are cut, weighted and blended where they belong", async () => {
    // No enlarging and no attention to tokens: what the tiles must give can be computed outside the pipeline.
    const files = memoryFiles(
      await minimalFiles({ upscale: 1, minSize: 1 }, (_part, list) =>
        list.map((tensor) =>
          tensor.name.endsWith("attn2.to_v.weight")
            ? { ...tensor, data: tensor.data.map(() => 0) }
            : tensor,
        ),
      ),
    );
    const read = await readConfigs(files);
    const configs = { ...read, rcod: { ...read.rcod, latentTiles: { tile: 8, overlap: 3 } } };
    const weights = await loadWeights(setup.gpu, files, configs, "f32");
    const own = new Pipeline(setup.gpu, configs, weights, "f32");
    const image = testImage(28, 18); // latents 14 × 9: 2 × 2 tiles
    const [width, height] = [14, 9];
    const tiling = unetTiles(width, height, configs, false) as NonNullable<
      ReturnType<typeof unetTiles>
    >;
    const { tileWidth, tileHeight } = tiling;
    expect([tileWidth, tileHeight]).toEqual([8, 6]);
    const stage = async (
      graph: Graph,
      part: DeviceWeights,
      inputs: Record<string, [ArrayLike<number>, number]>,
      name: string,
    ) => {
      const program = await Program.create(setup.gpu, planGraph(graph, setup.caps), part);
      await program.run(
        Object.fromEntries(
          Object.entries(inputs).map(([key, [values, channels]]) => [
            key,
            packActivation(values, channels, "f32"),
          ]),
        ),
      );
      const { data } = await program.read(name);
      program.dispose();
      return data;
    };
    try {
      const pixels = Float64Array.from(image.data, (level) => level / 127.5 - 1);
      const latents = await stage(
        encoderGraph(configs.vae, 18, 28, "f32"),
        weights.vae,
        { image: [pixels, 3] },
        "latents",
      );
      const embedding = timestepEmbedding(249, configs.unet, 8);
      const [sums, coverage] = [new Float64Array(latents.length), new Float64Array(width * height)];
      const w = gaussianTileWeights(tileWidth, { height: tileHeight, symmetric: true });
      for (const y0 of tiling.yStarts) {
        for (const x0 of tiling.xStarts) {
          const at = (i: number): number =>
            (y0 + Math.floor(i / tileWidth)) * width + x0 + (i % tileWidth);
          const cut = Float32Array.from(
            { length: w.length * 4 },
            (_, i) => latents[at(i >> 2) * 4 + (i & 3)] as number,
          );
          const eps = await stage(
            unetGraph(configs.unet, tileHeight, tileWidth, 5, "f32"),
            weights.unet,
            { latents: [cut, 4], tokens: [new Float32Array(60), 12], timestep: [embedding, 8] },
            "eps",
          );
          for (let i = 0; i < w.length; i++) {
            const weight = w[i] as number;
            coverage[at(i)] = (coverage[at(i)] as number) + weight;
            for (let c = 0; c < 4; c++)
              sums[at(i) * 4 + c] =
                (sums[at(i) * 4 + c] as number) + weight * (eps[i * 4 + c] as number);
          }
        }
      }
      const { p, q } = oneStepCoefficients(configs.rcod, configs.vae);
      const z = latents.map(
        (value, i) => p * value - (q * (sums[i] as number)) / (coverage[i >> 2] as number),
      );
      const decoded = await stage(
        decoderGraph(configs.vae, height, width, "f32"),
        weights.vae,
        { z: [z, 4] },
        "image",
      );
      const expected = Uint8Array.from(decoded, (v) =>
        Math.floor(255 * (0.5 * Math.min(Math.max(v, -1), 1) + 0.5) + 0.5),
      );
      const seen: number[] = [];
      const tiled = await own.upscale(image, { onProgress: ({ fraction }) => seen.push(fraction) });
      expect(largestDifference(tiled.image, { ...image, data: expected })).toBeLessThanOrEqual(1);
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
      const asymmetric = await own.upscale(image, { reference: true });
      expect(asymmetric.image.data).not.toEqual(tiled.image.data);
    } finally {
      own.dispose();
    }
  });
});

describe("failure and disposal", () => {
  it("after an error of the device the next call starts afresh", async () => {
    await withPipeline(async (own) => {
      const image = testImage(6, 6);
      const expected = (await own.upscale({ ...image })).image.data;
      const run = own.upscale(image, {
        onProgress: ({ stage }) => {
          if (stage === "unet")
            setup.gpu.memory.release(setup.gpu.memory.create("broken", 16, "staging", 0xffff));
        },
      });
      await expect(run).rejects.toThrow(DeviceError);
      expect((await own.upscale(image)).image.data).toEqual(expected);
    });
  });

  it("dispose frees everything, at once when idle, after the call under way otherwise", async () => {
    const before = setup.gpu.memory.use().currentBytes;
    const { pipeline: idle } = await minimalPipeline(setup.gpu);
    await idle.upscale(testImage(5, 5));
    expect(setup.gpu.memory.use().currentBytes).toBeGreaterThan(before);
    idle.dispose();
    idle.dispose();
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
    await expect(idle.upscale(testImage(5, 5))).rejects.toThrow(
      "device: this model was disposed. Load it again",
    );

    const { pipeline: busy } = await minimalPipeline(setup.gpu);
    const runs = [
      busy.upscale(testImage(5, 5), {
        onProgress: ({ stage }) => stage === "encode" && busy.dispose(),
      }),
      busy.upscale(testImage(5, 5)),
    ];
    for (const run of runs)
      await expect(run).rejects.toThrow("device: this model was disposed. Load it again");
    await expect.poll(() => setup.gpu.memory.use().currentBytes).toBe(before);
  });
});

describe("loadModel", () => {
  it("takes ImageData like a RawImage, and caches by object", async () => {
    const files = memoryFiles(await minimalFiles());
    const seen: Progress[] = [];
    const model = await loadModel(files, {
      gpu: setup.gpu,
      precision: "f32",
      onProgress: (progress) => seen.push(progress),
    });
    try {
      expect(model).toBeInstanceOf(RcodModel);
      expect(seen.at(-1)).toMatchObject({ stage: "load", fraction: 1 });
      const raw = testImage(6, 4, 4);
      const imageData = {
        width: 6,
        height: 4,
        data: new Uint8ClampedArray(raw.data),
        colorSpace: "srgb",
      } as unknown as ImageData;
      const fromRaw = await model.upscale(raw);
      const fromData = await model.upscale(imageData);
      expect(fromData.image.data).toEqual(fromRaw.image.data);
      const again = await model.upscale(imageData, { realism: "neutral" });
      expect(again.timingsMs.encode).toBeLessThan(0.5 * fromData.timingsMs.encode);
    } finally {
      model.dispose();
    }
    expect(setup.gpu.lostError).toBeUndefined(); // the caller's device stays
  });

  it("a device of the caller's is shared, not destroyed", async () => {
    const own = await requestNodeGpu();
    const model = await loadModel(memoryFiles(await minimalFiles()), { gpu: own.device });
    model.dispose();
    model.dispose();
    await own.device.queue.onSubmittedWorkDone();
    expect(own.lostError).toBeUndefined();
    own.destroy();
  });
});
