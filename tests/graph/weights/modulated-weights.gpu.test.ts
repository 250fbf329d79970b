/** Weights whose LoRA is merged anew for each modulation. */
import { afterEach, describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { storedFloats } from "../../../src/gpu/dtype.ts";
import { readBytes, uploadBytes } from "../../../src/gpu/transfer.ts";
import type { Weight } from "../../../src/graph/ir/ir.ts";
import { packActivation } from "../../../src/graph/pack-activation.ts";
import type { LoraUpdate } from "../../../src/graph/weights/device-weights.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import { mergeModulatedLora } from "../../reference/modulated-lora.ts";
import { packWeight } from "../../reference/pack-weight.ts";
import { expectClose } from "../../support/expect-close.ts";
import { useGpu } from "../../support/gpu.ts";
import { roundToSource } from "../../support/packed-weight.ts";
import { uniformArray } from "../../support/random.ts";
import { contraction } from "../../support/tolerance.ts";
import { parameterValues, randomSource, tensorOf } from "../support.ts";

const setup = useGpu();
const SCALING = 0.75;
const BLOCKS = 3;

/** A weight, and the number of its matrix. */
const MODULATED: readonly (readonly [Weight, number])[] = [
  [{ name: "conv.weight", shape: [6, 5, 3, 3], layout: "matrix" }, 2],
  [{ name: "to_q.weight", shape: [10, 7], layout: "matrix" }, 0],
  [{ name: "ff.weight", shape: [14, 5], layout: "geglu-matrix" }, 1],
  [{ name: "conv1.weight", shape: [1, 1, 1, 1], layout: "matrix" }, 2],
];
const PLAIN: Weight = { name: "decoder.weight", shape: [4, 4], layout: "matrix" };
const ALL = [...MODULATED.map(([weight]) => weight), PLAIN];

const RANK = 3; // nine elements a matrix, twelve with padding

function factors({ shape }: Weight): { a: Float64Array; b: Float64Array } {
  const [out = 1, ...rest] = shape;
  const columns = rest.reduce((product, size) => product * size, 1);
  return {
    a: uniformArray(RANK * columns, 11).map((value) => roundToSource(value, "BF16")),
    b: uniformArray(out * RANK, 12).map((value) => roundToSource(value, "F16")),
  };
}

const updates = new Map<string, LoraUpdate>(
  MODULATED.map(([weight, block]) => {
    const { a, b } = factors(weight);
    const [out = 1, ...rest] = weight.shape;
    return [
      weight.name,
      {
        rank: RANK,
        scaling: SCALING,
        a: tensorOf(a, [RANK, ...rest], "BF16"),
        b: tensorOf(b, [out, RANK], "F16"),
        block,
      },
    ];
  }),
);

const opened: DeviceWeights[] = [];
afterEach(() => {
  for (const weights of opened.splice(0)) weights.dispose();
  expect(setup.gpu.memory.use().currentBytes).toBe(0);
});

async function load(dtype: DType): Promise<DeviceWeights> {
  const weights = new DeviceWeights(setup.gpu, randomSource(ALL, { lora: updates }), { dtype });
  opened.push(weights);
  await weights.load(ALL);
  return weights;
}

async function modulate(weights: DeviceWeights, matrices: Float64Array): Promise<void> {
  const bytes = packActivation(Float32Array.from(matrices), 9, "f32");
  const buffer = setup.gpu.memory.create("matrices", bytes.byteLength, "staging");
  uploadBytes(setup.gpu, buffer, 0, bytes);
  await weights.modulate(buffer);
  setup.gpu.memory.release(buffer);
}

async function values(weights: DeviceWeights, weight: Weight): Promise<Float32Array> {
  const buffer = weights.buffer(weight);
  const bytes = await readBytes(setup.gpu, buffer, 0, buffer.size);
  return storedFloats(bytes, weights.dtype);
}

function packed({ shape, layout }: Weight, merged: Float64Array): Float64Array {
  const [out = 1, inChannels = 1, height = 1, width = 1] = shape;
  return packWeight(merged, out, inChannels, height * width, layout === "geglu-matrix");
}

describe.each<DType>(["f32", "f16"])("modulated weights in %s", (dtype) => {
  it("are the merge by its definition, for each modulation anew", async () => {
    const weights = await load(dtype);
    for (const seed of [5, 6]) {
      const matrices = uniformArray(BLOCKS * 9, seed).map(Math.fround);
      await modulate(weights, matrices);
      for (const [weight, block] of MODULATED) {
        const { a, b } = factors(weight);
        const base = parameterValues({ ...weight, layout: "matrix" }).map(Math.fround);
        const m = matrices.subarray(block * 9, (block + 1) * 9);
        const merged = mergeModulatedLora(base, a, b, m, RANK, SCALING);
        const expected = packed(weight, merged);
        const got = (await values(weights, weight)).subarray(0, expected.length);
        // Products of three uniform numbers have rms 0.2.
        expectClose(got, expected, weight.shape, contraction(dtype, RANK * RANK, 0.2));
      }
    }
  });

  it("leave other weights alone", async () => {
    const weights = await load(dtype);
    const before = await values(weights, PLAIN);
    await modulate(weights, uniformArray(BLOCKS * 9, 5));
    expect(await values(weights, PLAIN)).toEqual(before);
  });
});

it("an aborted modulation ends between two weights", async () => {
  const weights = await load("f32");
  const buffer = setup.gpu.memory.create("matrices", BLOCKS * 48, "staging");
  const signal = AbortSignal.abort(new Error("stop it"));
  await expect(weights.modulate(buffer, { signal })).rejects.toThrow("stop it");
  setup.gpu.memory.release(buffer);
});
