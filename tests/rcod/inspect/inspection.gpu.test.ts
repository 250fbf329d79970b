import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { outputGeometry } from "../../../src/rcod/images/geometry.ts";
import { latentMask } from "../../../src/rcod/images/realism-mask.ts";
import { attentionMap } from "../../../src/rcod/inspect/attention-map.ts";
import { Inspector } from "../../../src/rcod/inspect/inspector.ts";
import { NETWORK_STAGES } from "../../../src/rcod/inspect/stage-modules.ts";
import { oneStepCoefficients, unetGraph } from "../../../src/rcod/networks/graphs.ts";
import { modelParameters } from "../../../src/rcod/networks/stage-graphs.ts";
import type { Pipeline } from "../../../src/rcod/pipeline.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import type { Capture, UpscaleOptions } from "../../../src/rcod/settings/options.ts";
import { parameterValues } from "../../graph/support.ts";
import { attention as attentionReference } from "../../reference/attention.ts";
import { useGpu } from "../../support/gpu.ts";
import { largestDifference, minimalPipeline, testImage } from "../support.ts";

const setup = useGpu();
let pipeline: Pipeline;
let configs: ModelConfigs;
beforeAll(async () => {
  ({ pipeline, configs } = await minimalPipeline(setup.gpu));
});
afterAll(() => pipeline.dispose());

const image = testImage(9, 7); // latents 18 × 14
const VALUES = ["tokens", "latents", "eps", "z"] as const;

async function captured(
  names: readonly string[],
  options: UpscaleOptions = {},
): Promise<Readonly<Record<string, Capture>>> {
  const result = await pipeline.upscale(image, { ...options, inspect: { captures: names } });
  expect(Object.keys(result.inspection?.captures ?? {}).toSorted()).toEqual(names.toSorted());
  return result.inspection?.captures ?? {};
}

/** Largest difference, and the largest value to judge it by. */
function compare(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(got.length).toBe(expected.length);
  let [worst, scale] = [0, 0];
  for (let i = 0; i < got.length; i++) {
    worst = Math.max(worst, Math.abs((got[i] as number) - (expected[i] as number)));
    scale = Math.max(scale, Math.abs(expected[i] as number));
  }
  return worst / scale;
}

describe("captures", () => {
  it("stage values: z follows from latents and eps, and nothing runs twice for them", async () => {
    await pipeline.upscale(image);
    const result = await pipeline.upscale(image, { inspect: { captures: VALUES } });
    expect(result.reused).toEqual(["preprocess", "tokens", "encode"]);
    const captures = (result.inspection?.captures ?? {}) as Record<string, Capture>;
    const { tokens, latents, eps, z } = captures as Record<(typeof VALUES)[number], Capture>;
    expect(tokens).toMatchObject({ stage: "tokens", shape: [1, 5, 12] });
    expect(latents).toMatchObject({ stage: "encode", shape: [1, 14, 18, 4] });
    expect(eps).toMatchObject({ stage: "unet", shape: [1, 14, 18, 4] });
    const { p, q } = oneStepCoefficients(configs.rcod, configs.vae);
    const expected = Array.from(latents.data, (x, i) => p * x - q * (eps.data[i] as number));
    expect(compare(z.data, expected)).toBeLessThan(1e-6);
    expect(result.inspection).not.toHaveProperty("passes");
  });

  it("every module that is listed, of every stage, and the picture stays", async () => {
    const { modules } = pipeline;
    expect(modules.unet).toContain("mid_block.attentions.0.transformer_blocks.0.attn1.q");
    const all = NETWORK_STAGES.flatMap((stage) => modules[stage]);
    expect(new Set(all).size).toBe(all.length); // a name says its stage
    expect(all.length).toBeGreaterThan(40);
    const plain = await pipeline.upscale({ ...image });
    const result = await pipeline.upscale(image, { inspect: { captures: all } });
    expect(result.reused).toEqual([]); // tokens and encode had to run for their modules
    expect(largestDifference(result.image, plain.image)).toBeLessThanOrEqual(1);
    for (const stage of NETWORK_STAGES) {
      for (const name of modules[stage]) {
        const capture = result.inspection?.captures[name] as Capture;
        expect(capture.stage, name).toBe(stage);
        expect(capture.data.length, name).toBe(capture.shape.reduce((a, b) => a * b, 1));
        expect(capture.data.every(Number.isFinite), name).toBe(true);
        expect(
          capture.data.some((value) => value !== 0),
          name,
        ).toBe(true);
      }
    }
    expect(result.inspection?.captures["decoder.conv_out"]?.shape).toEqual([1, 28, 36, 3]);
  });

  it("of a mask: z is the mean of both, weighted by the mask", async () => {
    const names = ["z"] as const;
    const data = Uint8Array.from({ length: 63 }, (_, i) => (i * 37) % 256);
    const realismMask = { data, width: 9, height: 7, realism: "realism" } as const;
    const [a, b, both] = [
      (await captured(names))["z"],
      (await captured(names, { realism: "realism" }))["z"],
      (await captured(names, { realismMask }))["z"],
    ] as [Capture, Capture, Capture];
    expect(compare(a.data, b.data)).toBeGreaterThan(0.01);
    const geometry = outputGeometry(9, 7, { upscale: 4, minSide: 4, multiple: 2, mode: "exact" });
    const m = latentMask(realismMask, geometry, 2) as Float32Array;
    const expected = Array.from(a.data, (value, i) => {
      const weight = m[i >> 2] as number;
      return (1 - weight) * value + weight * (b.data[i] as number);
    });
    expect(compare(both.data, expected)).toBeLessThan(1e-6);
  });

  it("keys of every cross-attention: its own projection of the tokens, wherever it is stacked", async () => {
    const names = pipeline.modules.unet.filter((name) => name.endsWith("attn2.k"));
    expect(names.length).toBeGreaterThan(2);
    const captures = await captured([...names, "tokens"]);
    const tokens = captures["tokens"] as Capture; // [1, 5, 12]
    for (const name of names) {
      const path = name.replace(/k$/, "to_k.weight");
      const parameter = modelParameters(configs).unet.find((weight) => weight.name === path);
      const [channels = 0] = parameter?.shape ?? [];
      const w = parameter ? parameterValues(parameter).map((v) => roundToDtype(v, "f16")) : [];
      const expected = Array.from({ length: 5 * channels }, (_, i) => {
        const [token, out] = [Math.floor(i / channels), i % channels];
        let sum = 0;
        for (let c = 0; c < 12; c++)
          sum += (tokens.data[token * 12 + c] as number) * (w[out * 12 + c] as number);
        return sum;
      });
      expect(captures[name]?.shape).toEqual([1, 5, channels]);
      expect(compare(captures[name]?.data ?? [], expected), name).toBeLessThan(1e-6);
    }
  });

  it("a token's attention: probabilities, and those of the oracle", async () => {
    const attn = "mid_block.attentions.0.transformer_blocks.0.attn2";
    const captures = await captured([`${attn}.q`, `${attn}.k`]);
    const [q, k] = [captures[`${attn}.q`], captures[`${attn}.k`]] as [Capture, Capture];
    expect([q.shape[1], k.shape]).toEqual([7 * 9, [1, 5, 16]]);
    const map = attentionMap(q, k, 3);
    expect(map.length).toBe(5);
    expect(map.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    // The oracle mixes values; the unit vectors as values give its probabilities back.
    const [numHeads, headDim, query] = [q.numHeads ?? 0, 8, 3];
    const sizes = { batch: 1, queryTokens: 63, keyTokens: 5, numHeads, headDim };
    const units = Float64Array.from({ length: 5 * 16 }, (_, i) =>
      Math.floor(i / 16) === i % headDim ? 1 : 0,
    );
    const [q64, k64] = [Float64Array.from(q.data), Float64Array.from(k.data)];
    const mixed = attentionReference(sizes, q64, k64, units, headDim ** -0.5);
    map.forEach((p, key) => {
      const ofHead = (head: number): number => mixed[query * 16 + head * headDim + key] as number;
      expect(p).toBeCloseTo((ofHead(0) + ofHead(1)) / 2, 12);
      expect(attentionMap(q, k, query, 1)[key]).toBeCloseTo(ofHead(1), 12);
    });
    expect(() => attentionMap(q, k, 63)).toThrow("attentionMap: query must be in 0 … 62, got 63");
    expect(() => attentionMap(q, k, 0, 2)).toThrow("attentionMap: head must be in 0 … 1, got 2");
    const other = (await captured(["latents"]))["latents"] as Capture;
    expect(() => attentionMap(q, other, 0)).toThrow(ShapeError);
  });

  it("unknown names, and modules of a stage in tiles, are refused before GPU work", async () => {
    setup.gpu.memory.resetPeak();
    const before = setup.gpu.memory.use().currentBytes;
    const run = (names: readonly string[], options: UpscaleOptions = {}): Promise<unknown> =>
      pipeline.upscale(testImage(20, 20), { ...options, inspect: { captures: names } });
    await expect(run(["down_blocks.7", "z"])).rejects.toThrow(
      'inspect: this model has no capture "down_blocks.7". Take names that model.modules() lists',
    );
    await expect(run(["decoder.conv_in"], { tile: 64 })).rejects.toThrow(
      'inspect: modules of "decode" can be captured where it runs in one piece; at 80×80 it runs in tiles',
    );
    expect(setup.gpu.memory.use().peakBytes).toBe(before);
  });
});

describe("passes", () => {
  it("without timestamp-query there are none", () => {
    const caps = { ...setup.caps, hasTimestampQuery: false };
    const inspector = new Inspector({ passes: true }, pipeline.modules, caps);
    expect(inspector.onTimes("unet")).toEqual({});
    expect(inspector.result()).toEqual({ captures: {} });
  });

  it("of every network, in order, from zero; of those that ran", async () => {
    if (!setup.caps.hasTimestampQuery) {
      process.stderr.write("no timestamp-query on this adapter: passes are not tested\n");
      return;
    }
    const plain = await pipeline.upscale({ ...image });
    const { image: out, inspection } = await pipeline.upscale(
      { ...image },
      { inspect: { passes: true } },
    );
    expect(out.data).toEqual(plain.image.data);
    const passes = inspection?.passes ?? [];
    expect([...new Set(passes.map(({ stage }) => stage))]).toEqual(NETWORK_STAGES);
    const plan = planGraph(unetGraph(configs.unet, 14, 18, 5, "f32"), setup.caps);
    expect(
      passes.filter(({ stage }) => stage === "unet").map((p) => [p.label, p.kernel, p.variant]),
    ).toEqual(
      plan.steps.map(({ node, kernel, plan: { variant } }) => [node.path, kernel, variant]),
    );
    const unet = passes.filter(({ stage }) => stage === "unet");
    expect(unet.map(({ shader, flops, bytes }) => [shader, flops, bytes])).toEqual(
      plan.steps.map(({ plan: { dispatches }, cost }) => [
        dispatches[0]?.label,
        cost.flops,
        cost.bytesRead + cost.bytesWritten,
      ]),
    );
    expect(passes[0]?.startMs).toBe(0);
    const starts = passes.map(({ startMs }) => startMs);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    expect(passes.every(({ durationMs }) => durationMs >= 0 && durationMs < 60_000)).toBe(true);
    expect(passes.some(({ durationMs }) => durationMs > 0)).toBe(true);

    await pipeline.upscale(image);
    const again = await pipeline.upscale(image, { inspect: { passes: true } });
    const stages = new Set(again.inspection?.passes?.map(({ stage }) => stage));
    expect([...stages]).toEqual(["unet", "decode"]);
  });
});
