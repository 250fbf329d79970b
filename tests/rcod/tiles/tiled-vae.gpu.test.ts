import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withCaps } from "../../../src/gpu/device.ts";
import type { DType } from "../../../src/gpu/dtype.ts";
import { uploadBytes } from "../../../src/gpu/transfer.ts";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { Program } from "../../../src/graph/program.ts";
import { readActivation } from "../../../src/graph/read-activation.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import { vaeGraph } from "../../../src/rcod/networks/graphs.ts";
import {
  momentChannels,
  vaeDecoder,
  vaeDecoderTail,
  vaeEncoder,
} from "../../../src/rcod/networks/vae.ts";
import type { VaeConfig } from "../../../src/rcod/settings/config.ts";
import { sampleChannels, vaeFactor } from "../../../src/rcod/settings/config.ts";
import { createMap, mapSink, mapSource } from "../../../src/rcod/tiles/device-map.ts";
import { TILED_WITHOUT, cutsOf, mostWaitingBytes } from "../../../src/rcod/tiles/segments.ts";
import type { TiledVaeOptions, VaePass } from "../../../src/rcod/tiles/tiled-vae.ts";
import { runTiledVae } from "../../../src/rcod/tiles/tiled-vae.ts";
import { exactTiles, exactVaeTiles, vaeReach } from "../../../src/rcod/tiles/vae-tiles.ts";
import { randomSource, relativeRms } from "../../graph/support.ts";
import { useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { largestDifference, minimalPipeline, testImage } from "../support.ts";

const setup = useGpu();

/** Three levels, so that the reach differs by level; attention over the whole map in the middle. */
const CONFIG: VaeConfig = {
  inChannels: 3,
  outChannels: 3,
  blockOutChannels: [4, 8, 8],
  layersPerBlock: 1,
  latentChannels: 3,
  pixelChannels: 0,
  normNumGroups: 2,
  scalingFactor: 1,
  midAttention: true,
  forceUpcast: false,
  quantization: null,
};

type Kind = "encode" | "decode";

function wholeGraph(kind: Kind, height: number, width: number, dtype: DType, config = CONFIG) {
  const g = new GraphBuilder(dtype);
  const channels = kind === "encode" ? 3 : sampleChannels(config);
  const x = g.input("x", [1, height, width, channels]);
  g.output("y", (kind === "encode" ? vaeEncoder : vaeDecoder)(g, new WeightScope(), x, config));
  return planGraph(g.build(), setup.caps);
}

/** Runs in tiles, from and to the host. */
async function inTiles(
  pass: VaePass,
  input: Float64Array,
  height: number,
  width: number,
  options: TiledVaeOptions,
): Promise<{ readonly shape: readonly number[]; readonly data: Float32Array }> {
  const { gpu, config, kind, weights } = pass;
  const { dtype } = weights;
  const factor = vaeFactor(config);
  const channels = input.length / height / width;
  const shape =
    kind === "encode"
      ? ([height / factor, width / factor, momentChannels(config)] as const)
      : ([height * factor, width * factor, config.outChannels] as const);
  const from = createMap(gpu, "input", [height, width, channels], dtype);
  const to = createMap(gpu, "result", shape, dtype);
  try {
    uploadBytes(gpu, from.buffer, 0, packActivation(input, channels, dtype));
    await runTiledVae(pass, from, mapSource(gpu, from), mapSink(gpu, to), options);
    return { shape, data: await readActivation(gpu, to.buffer, shape, dtype) };
  } finally {
    for (const { buffer } of [from, to]) gpu.memory.release(buffer);
  }
}

async function untiled(
  weights: DeviceWeights,
  kind: Kind,
  input: Float64Array,
  height: number,
  width: number,
  config = CONFIG,
): Promise<Float32Array> {
  const plan = wholeGraph(kind, height, width, weights.dtype, config);
  await weights.load(plan.weights);
  const program = await Program.create(setup.gpu, plan, weights);
  try {
    await program.run({ x: packActivation(input, input.length / height / width, weights.dtype) });
    return (await program.read("y")).data;
  } finally {
    program.dispose();
  }
}

function inputOf(kind: Kind, height: number, width: number, config = CONFIG): Float64Array {
  // A gradient besides the noise: tiles differ in their means, which only exact statistics get right.
  const channels = kind === "encode" ? 3 : sampleChannels(config);
  return uniformArray(height * width * channels, 3, 0.5).map(
    (v, i) => v + Math.floor(i / channels / width) / height - 0.5,
  );
}

describe("vaeReach", () => {
  it("is the full VAE's 112 and 18, rounded up from 108 and 17.4", () => {
    const full = { ...CONFIG, blockOutChannels: [128, 256, 512, 512], layersPerBlock: 2 };
    expect(vaeReach(full, "decode")).toBeGreaterThanOrEqual(12);
    expect(vaeReach(full, "decode")).toBeLessThanOrEqual(18);
    expect(vaeReach(full, "encode")).toBeGreaterThanOrEqual(75);
    expect(vaeReach(full, "encode")).toBeLessThanOrEqual(112);
  });
});

describe("exactTiles", () => {
  it.each([
    [64, 64, 16, 8, 4, 1 / 4],
    [72, 40, 20, 12, 4, 1 / 4],
    [12, 200, 64, 32, 4, 1 / 4],
    [17, 9, 5, 4, 1, 4],
    [3, 3, 8, 4, 1, 4],
  ])(
    "%i×%i, tile %i, margin %i, multiple %i: cores partition the map",
    (width, height, tileSize, margin, multiple, scale) => {
      const tiles = exactTiles({ width, height }, tileSize, margin, multiple, scale);
      const seen = new Uint8Array(width * height);
      const out = new Uint8Array(width * scale * height * scale);
      for (const { input, counted, output } of tiles) {
        for (let y = counted.y0; y < counted.y1; y++)
          for (let x = counted.x0; x < counted.x1; x++)
            seen[y * width + x] = (seen[y * width + x] as number) + 1;
        for (let y = output.y0; y < output.y1; y++)
          for (let x = output.x0; x < output.x1; x++)
            out[y * width * scale + x] = (out[y * width * scale + x] as number) + 1;
        expect((input.x0 % multiple) + (input.y0 % multiple)).toBe(0);
        expect(counted.x0 - input.x0 === margin || input.x0 === 0).toBe(true);
        expect(input.x1 - counted.x1 === margin || input.x1 === width).toBe(true);
        expect(counted.x1 - counted.x0).toBeLessThanOrEqual(
          Math.ceil(tileSize / multiple) * multiple,
        );
      }
      expect(seen.every((count) => count === 1)).toBe(true);
      expect(out.every((count) => count === 1)).toBe(true);
    },
  );
});

describe("exact tiles equal the untiled network", () => {
  let weights: DeviceWeights;
  beforeAll(async () => {
    const parameters = [
      ...wholeGraph("encode", 16, 16, "f32").weights,
      ...wholeGraph("decode", 8, 8, "f32").weights,
    ];
    weights = new DeviceWeights(setup.gpu, randomSource(parameters), { dtype: "f32" });
    await weights.load(parameters);
  });
  afterAll(() => weights.dispose());

  it.each([
    ["encode", 28, 40, 20], // 2 × 2 tiles of unequal size
    ["encode", 12, 8, 64], // a single tile
    ["decode", 11, 7, 6], // 2 × 2 tiles of unequal size
    ["decode", 3, 14, 8], // one row
    ["decode", 3, 2, 64],
  ] as const)("%s %i×%i in tiles of %i", async (kind, height, width, tileSize) => {
    const input = inputOf(kind, height, width);
    const expected = await untiled(weights, kind, input, height, width);
    const before = setup.gpu.memory.use().currentBytes;
    const pass = { gpu: setup.gpu, weights, config: CONFIG, kind };
    const seen: number[] = [];
    const options = {
      tileSize,
      reference: false,
      onProgress: (fraction: number) => seen.push(fraction),
    };
    const result = await inTiles(pass, input, height, width, options);
    const factor = vaeFactor(CONFIG);
    expect(result.shape.slice(0, 2)).toEqual(
      kind === "encode" ? [height / factor, width / factor] : [height * factor, width * factor],
    );
    expect(relativeRms(result.data, expected)).toBeLessThanOrEqual(1e-5);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it.each([
    ["encode", 28, 40, 20],
    ["decode", 11, 7, 6],
  ] as const)("%s %i×%i with a pixel path", async (kind, height, width, tileSize) => {
    const config = { ...CONFIG, pixelChannels: 5 };
    const parameters = wholeGraph(kind, 16, 16, "f32", config).weights;
    const own = new DeviceWeights(setup.gpu, randomSource(parameters), { dtype: "f32" });
    try {
      const input = inputOf(kind, height, width, config);
      const expected = await untiled(own, kind, input, height, width, config);
      const pass = { gpu: setup.gpu, weights: own, config, kind };
      const { data } = await inTiles(pass, input, height, width, { tileSize, reference: false });
      expect(relativeRms(data, expected)).toBeLessThanOrEqual(1e-5);
    } finally {
      own.dispose();
    }
  });

  it("also where some tiles normalise while they load and others store: by size, on a GPU", async () => {
    const variants = { conv2d: "register-8x2", linear: "register-8x2", attention: "thread" };
    const gpu = withCaps(setup.gpu, { isSoftware: false, variants });
    // Tiles of 16 × 48, 16 × 68 and 16 × 44 pixels; norms are stored above 1024 pixels.
    const [height, width, tileSize] = [16, 68, 24];
    const input = inputOf("encode", height, width);
    const expected = await untiled(weights, "encode", input, height, width);
    const pass = { gpu, weights, config: CONFIG, kind: "encode" } as const;
    const options = { tileSize, reference: false };
    const { data } = await inTiles(pass, input, height, width, options);
    expect(relativeRms(data, expected)).toBeLessThanOrEqual(1e-5);
  });

  it("reference mode differs: local attention, averaged statistics", async () => {
    const input = inputOf("decode", 6, 16);
    const expected = await untiled(weights, "decode", input, 6, 16);
    const pass = { gpu: setup.gpu, weights, config: CONFIG, kind: "decode" } as const;
    const options = { tileSize: 8, pad: 2, reference: true };
    const { data, shape } = await inTiles(pass, input, 6, 16, options);
    expect(shape).toEqual([24, 64, 3]);
    const error = relativeRms(data, expected);
    expect(error).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(1);
  });

  it("aborts between tiles and frees everything", async () => {
    const before = setup.gpu.memory.use().currentBytes;
    const controller = new AbortController();
    const pass = { gpu: setup.gpu, weights, config: CONFIG, kind: "decode" } as const;
    const run = inTiles(pass, inputOf("decode", 8, 12), 8, 12, {
      tileSize: 6,
      reference: false,
      signal: controller.signal,
      onProgress: (fraction) => fraction > 0.3 && controller.abort(new Error("stop")),
    });
    await expect(run).rejects.toThrow("stop");
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it("keeps of waiting tiles what is counted in advance, within a few kernels' params", async () => {
    const { memory } = setup.gpu;
    const config = { ...CONFIG, midAttention: false };
    const pass = { gpu: setup.gpu, weights, config, kind: "decode" } as const;
    const [height, width, tileSize] = [8, 32, 8];
    const start = memory.use().byPurpose["activations"]?.current ?? 0;
    memory.resetPeak();
    await inTiles(pass, inputOf("decode", height, width), height, width, {
      tileSize,
      reference: false,
    });
    const used = (memory.use().byPurpose["activations"]?.peak ?? 0) - start;
    const map = { height, width };
    const tiles = exactVaeTiles(config, "decode", map, tileSize);
    const side = Math.max(...tiles.map(({ input }) => input.x1 - input.x0));
    const graph = vaeGraph(vaeDecoderTail, config, "f32", [1, height, side, 8]);
    const plan = planGraph(graph, setup.caps, { without: TILED_WITHOUT });
    const planned = plan.memory.totalBytes + mostWaitingBytes(cutsOf(plan), tiles);
    expect(used).toBeLessThanOrEqual(planned + 4096); // statistics, scale and shift
    expect(used).toBeGreaterThan(0.8 * planned);
  });
});

describe("upscale with a tile", () => {
  it("equals the untiled upscale within a level, and needs no factor of 8", async () => {
    const { pipeline } = await minimalPipeline(setup.gpu);
    try {
      const image = testImage(17, 5); // 68 × 20 output pixels
      const whole = await pipeline.upscale(image, { colorFix: "adain" });
      const tiled = await pipeline.upscale(image, { colorFix: "adain", tile: 64 });
      expect([tiled.image.width, tiled.image.height]).toEqual([68, 20]);
      expect(largestDifference(tiled.image, whole.image)).toBeLessThanOrEqual(1);
      // 16 bits go through a map of floats, and agree to a fraction of a level of 8 bits.
      const deep = { ...image, data: Uint16Array.from(image.data, (value) => 257 * value) };
      const [wholeDeep, tiledDeep] = [
        await pipeline.upscale(deep),
        await pipeline.upscale(deep, { tile: 64 }),
      ];
      expect(largestDifference(tiledDeep.image, wholeDeep.image)).toBeLessThanOrEqual(2);
      const sampled = await pipeline.upscale(image, { seed: 5 });
      const sampledTiled = await pipeline.upscale(image, { seed: 5, tile: 64 });
      expect(largestDifference(sampledTiled.image, sampled.image)).toBeLessThanOrEqual(1);
      // The released hook at this factor, cut into tiles: another picture of the same size.
      const reference = await pipeline.upscale(image, { reference: true, tile: 64 });
      expect([reference.image.width, reference.image.height]).toEqual([68, 20]);
      await expect(pipeline.upscale(image, { tile: 32 })).rejects.toThrow(
        "upscale: tile must be an integer ≥ 64 output pixels, got 32",
      );
    } finally {
      pipeline.dispose();
    }
  });
});
