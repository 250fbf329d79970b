import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype, storedFloats } from "../../../src/gpu/dtype.ts";
import { readBytes } from "../../../src/gpu/transfer.ts";
import type { Weight } from "../../../src/graph/ir/ir.ts";
import type { LoraUpdate, SourceTensor } from "../../../src/graph/weights/device-weights.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import type { SourceDType } from "../../../src/kernels/contraction/pack-weight.ts";
import { storeSource, storedTensor } from "../../../src/rcod/loading/stored-tensors.ts";
import type { TensorData } from "../../../src/weights/index.ts";
import { memoryStore } from "../../../src/weights/index.ts";
import { packedRows } from "../../reference/pack-weight.ts";
import { useGpu } from "../../support/gpu.ts";
import { roundToSource, sourceBytes } from "../../support/packed-weight.ts";
import { uniformArray } from "../../support/random.ts";
import { deviceByteLength, parameterValues, randomSource, tensorOf } from "../support.ts";

const setup = useGpu();

const matrix: Weight = { name: "conv.weight", shape: [6, 5, 3, 3], layout: "matrix" };
const linear: Weight = { name: "to_q.weight", shape: [10, 7], layout: "matrix" };
const gegluMatrix: Weight = { name: "ff.weight", shape: [14, 5], layout: "geglu-matrix" };
const gegluBias: Weight = { name: "ff.bias", shape: [14], layout: "geglu-vector" };
const bias: Weight = { name: "conv.bias", shape: [6], layout: "vector" };
const table: Weight = { name: "position.weight", shape: [3, 6], layout: "table" };
const all = [matrix, linear, gegluMatrix, gegluBias, bias, table];

async function floats(weights: DeviceWeights, weight: Weight, dtype: DType): Promise<Float32Array> {
  const buffer = weights.buffer(weight);
  const bytes = await readBytes(setup.gpu, buffer, 0, buffer.size);
  return storedFloats(bytes, dtype);
}

/** Where W[o, i, tap] lies, from the documented layout. */
function packedIndex(
  [outChannels = 1, inChannels = 1]: readonly number[],
  o: number,
  i: number,
  tap: number,
  geglu = false,
): number {
  const rows = packedRows(outChannels, geglu);
  const column = rows.indexOf(o);
  const [columnQuads, inQuads] = [rows.length / 4, Math.ceil(inChannels / 4)];
  return (
    (((tap * inQuads + (i >> 2)) * columnQuads + (column >> 2)) * 4 + (i & 3)) * 4 + (column & 3)
  );
}

describe.each<DType>(["f32", "f16"])("DeviceWeights in %s", (dtype) => {
  it.each<SourceDType>(["F32", "F16", "BF16"])("every layout from %s", async (source) => {
    const weights = new DeviceWeights(setup.gpu, randomSource(all, { dtype: source }), { dtype });
    await weights.load(all);
    try {
      for (const weight of [matrix, linear, gegluMatrix]) {
        const geglu = weight.layout === "geglu-matrix";
        const packed = await floats(weights, weight, dtype);
        const values = parameterValues({ ...weight, layout: "matrix" });
        const [outChannels = 1, inChannels = 1, kh = 1, kw = 1] = weight.shape;
        const taps = kh * kw;
        let sum = 0;
        for (let o = 0; o < outChannels; o++) {
          for (let i = 0; i < inChannels; i++) {
            for (let tap = 0; tap < taps; tap++) {
              const value = roundToSource(
                values[(o * inChannels + i) * taps + tap] as number,
                source,
              );
              const expected = roundToDtype(value, dtype);
              sum += Math.abs(expected);
              expect(
                packed[packedIndex(weight.shape, o, i, tap, geglu)],
                `${weight.name} ${o} ${i} ${tap}`,
              ).toBe(expected);
            }
          }
        }
        // Padding is zero: all there is has been seen.
        expect(packed.reduce((total, value) => total + Math.abs(value), 0)).toBeCloseTo(sum, 3);
      }
      const vector = (weight: Weight): number[] =>
        [
          ...parameterValues({ ...weight, layout: weight.layout === "table" ? "table" : "vector" }),
        ].map((value) => roundToSource(value, source));
      expect([...(await floats(weights, bias, "f32"))]).toEqual([...vector(bias), 0, 0]);
      const rows = vector(table);
      expect([...(await floats(weights, table, "f32"))]).toEqual(
        [0, 1, 2].flatMap((row) => [...rows.slice(6 * row, 6 * row + 6), 0, 0]),
      );
      const halves = vector(gegluBias);
      expect([...(await floats(weights, gegluBias, "f32"))]).toEqual(
        packedRows(14, true).map((row) => (row < 0 ? 0 : (halves[row] as number))),
      );
    } finally {
      weights.dispose();
    }
  });

  it("stacks matrices and vectors, each with its own LoRA and source dtype", async () => {
    const members = [8, 4].map((rows): Weight => ({
      name: `part ${rows}`,
      shape: [rows, 5],
      layout: "matrix",
    }));
    const biases = [8, 4].map((rows): Weight => ({
      name: `bias ${rows}`,
      shape: [rows],
      layout: "vector",
    }));
    const stack: Weight = { name: "s", shape: [12, 5], layout: "stacked-matrix", members };
    const bias12: Weight = { name: "b", shape: [12], layout: "stacked-vector", members: biases };
    const [whole, update] = [uniformArray(60, 1), uniformArray(20, 2)].map(
      (values) => values.map((value) => Math.round(value * 8) / 8 + 0), // + 0: no −0, which a sum would lose
    ) as [Float64Array, Float64Array];
    // Rank 1 on the second part only: W + 2 · B · A with B = 1 is A, doubled, added to every row.
    const lora: LoraUpdate = {
      rank: 1,
      scaling: 2,
      a: tensorOf(update.slice(0, 5), [1, 5], "F16"),
      b: tensorOf(new Float64Array(4).fill(1), [4, 1]),
    };
    const tensors = new Map([
      ["part 8", tensorOf(whole.slice(0, 40), [8, 5], "BF16")],
      ["part 4", tensorOf(whole.slice(40), [4, 5])],
      ["bias 8", tensorOf(whole.slice(0, 8), [8], "F16")],
      ["bias 4", tensorOf(whole.slice(8, 12), [4])],
    ]);
    const weights = new DeviceWeights(
      setup.gpu,
      {
        tensor: (name) => tensors.get(name) as SourceTensor,
        lora: (name) => (name === "part 4" ? lora : null),
      },
      { dtype },
    );
    const seen: [number, number][] = [];
    await weights.load([stack, bias12], { onProgress: (...bytes) => seen.push(bytes) });
    try {
      const packed = await floats(weights, stack, dtype);
      expect(packed).toHaveLength(12 * 8);
      for (let o = 0; o < 12; o++) {
        for (let i = 0; i < 5; i++) {
          const added = o < 8 ? 0 : 2 * (update[i] as number);
          const expected = (whole[o * 5 + i] as number) + added;
          expect(packed[packedIndex(stack.shape, o, i, 0)], `${o} ${i}`).toBe(expected);
        }
      }
      expect([...(await floats(weights, bias12, "f32"))]).toEqual([...whole.subarray(0, 12)]);
      const total = 40 * 2 + 20 * 4 + 8 * 2 + 4 * 4;
      expect(seen.at(-1)).toEqual([total, total]);
    } finally {
      weights.dispose();
    }
  });

  it("appends a shortcut behind the taps and adds the biases", async () => {
    const main: Weight = { name: "conv.weight", shape: [6, 5, 3, 3], layout: "matrix" };
    const side: Weight = { name: "side.weight", shape: [6, 9, 1, 1], layout: "matrix" };
    const other: Weight = { name: "side.bias", shape: [6], layout: "vector" };
    const both: Weight = { ...main, name: "m", layout: "shortcut-matrix", members: [main, side] };
    const sum: Weight = { ...bias, name: "b", layout: "summed-vector", members: [bias, other] };
    const weights = new DeviceWeights(setup.gpu, randomSource([both, sum]), { dtype });
    await weights.load([both, main, side, sum]);
    try {
      const [whole, first, second] = await Promise.all(
        [both, main, side].map((weight) => floats(weights, weight, dtype)),
      );
      expect([...(whole ?? [])]).toEqual([...(first ?? []), ...(second ?? [])]);
      const [a, b] = [bias, other].map((weight) => parameterValues(weight)) as [
        Float64Array,
        Float64Array,
      ];
      expect([...(await floats(weights, sum, "f32"))]).toEqual([
        ...a.map((value, i) => Math.fround(Math.fround(value) + Math.fround(b[i] as number))),
        0,
        0,
      ]);
    } finally {
      weights.dispose();
    }
  });

  it("stores every weight exactly once and frees all", async () => {
    const { memory } = setup.gpu;
    const before = memory.use();
    const current = (purpose: string): number =>
      (memory.use().byPurpose[purpose]?.current ?? 0) - (before.byPurpose[purpose]?.current ?? 0);
    const weights = new DeviceWeights(setup.gpu, randomSource(all), { dtype });
    const seen: [number, number][] = [];
    await weights.load(all, { onProgress: (loaded, total) => seen.push([loaded, total]) });
    const expected = all.reduce((sum, weight) => sum + deviceByteLength(weight, dtype), 0);
    expect(current("weights")).toBe(expected);
    expect(current("staging")).toBe(0);
    const total = all.reduce((sum, { shape }) => sum + 4 * shape.reduce((a, b) => a * b, 1), 0);
    expect(seen.at(-1)).toEqual([total, total]);
    expect(seen.length).toBe(all.length);
    await weights.load(all, { onProgress: () => expect.unreachable("loaded again") });
    expect(current("weights")).toBe(expected);
    weights.zeros(32);
    weights.zeros(32);
    weights.zeros(64);
    expect(current("weights")).toBe(expected + 96);
    expect(await readBytes(setup.gpu, weights.zeros(32), 0, 32)).toEqual(new Uint8Array(32));
    weights.dispose();
    expect(memory.use().currentBytes).toBe(before.currentBytes);
    expect(() => weights.buffer(bias)).toThrow('internal: weight "conv.bias" is not loaded');
  });

  it("merges LoRA at load: W + alpha/rank · B · A, rounded once", async () => {
    const rank = 2;
    const held = (values: Float64Array, shape: readonly number[]): TensorData => ({
      dtype: "F32",
      shape,
      data: sourceBytes(values, "F32"),
    });
    const values = uniformArray(6 * 5 * 9, 1);
    const a = uniformArray(rank * 5 * 9, 2);
    const b = uniformArray(6 * rank, 3);
    const base = memoryStore("base", new Map([["conv.weight", held(values, matrix.shape)]]));
    const adapters = memoryStore(
      "adapter",
      new Map([
        ["conv.lora_A.weight", held(a, [rank, 5, 3, 3])],
        ["conv.lora_B.weight", held(b, [6, rank, 1, 1])],
      ]),
    );
    const update: LoraUpdate = {
      rank,
      scaling: 8 / rank,
      a: storedTensor(adapters, "conv.lora_A.weight"),
      b: storedTensor(adapters, "conv.lora_B.weight"),
    };
    const source = storeSource(base, new Map([["conv.weight", update]]));
    const weights = new DeviceWeights(setup.gpu, source, { dtype });
    await weights.load([matrix]);
    const packed = await floats(weights, matrix, dtype);
    weights.dispose();
    let largest = 0;
    for (let o = 0; o < 6; o++) {
      for (let i = 0; i < 5; i++) {
        for (let tap = 0; tap < 9; tap++) {
          let delta = 0;
          for (let k = 0; k < rank; k++) {
            delta +=
              Math.fround(b[o * rank + k] as number) *
              Math.fround(a[(k * 5 + i) * 9 + tap] as number);
          }
          const expected = (values[(o * 5 + i) * 9 + tap] as number) + (8 / rank) * delta;
          const got = packed[packedIndex(matrix.shape, o, i, tap)] as number;
          largest = Math.max(largest, Math.abs(got - expected) / Math.max(1, Math.abs(expected)));
        }
      }
    }
    expect(largest).toBeLessThanOrEqual(dtype === "f32" ? 1e-6 : 2 ** -11);
  });
});

describe("errors", () => {
  const sourceOf = (tensor: SourceTensor, lora: LoraUpdate | null = null) => ({
    tensor: () => tensor,
    lora: () => lora,
  });
  const tensor = (shape: readonly number[]): SourceTensor => {
    const bytes = new Uint8Array(4 * shape.reduce((product, size) => product * size, 1));
    return {
      dtype: "F32",
      shape,
      byteLength: bytes.byteLength,
      read: async (start, length) => bytes.slice(start, start + length),
    };
  };

  it("a tensor of another size is refused before it reaches the device", async () => {
    const before = setup.gpu.memory.use().currentBytes;
    for (const weight of all) {
      const weights = new DeviceWeights(setup.gpu, sourceOf(tensor([5])), { dtype: "f32" });
      await expect(weights.load([weight])).rejects.toThrow(
        `weights: shape must be [${weight.shape}], got [5] (${weight.name})`,
      );
    }
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it("LoRA of a table or a vector is refused, not left out", async () => {
    const lora = { rank: 1, scaling: 1, a: tensor([1, 6]), b: tensor([3, 1]) };
    const weights = new DeviceWeights(setup.gpu, sourceOf(tensor([3, 6]), lora), { dtype: "f32" });
    await expect(weights.load([table])).rejects.toThrow(
      "weights: LoRA merges into matrices only, got a table (position.weight)",
    );
  });

  it("a failing or aborted read leaves nothing behind", async () => {
    const before = setup.gpu.memory.use().currentBytes;
    const broken = {
      ...tensor(matrix.shape),
      read: () => Promise.reject(new Error("disk on fire")),
    };
    const weights = new DeviceWeights(setup.gpu, sourceOf(broken), { dtype: "f32" });
    await expect(weights.load([matrix])).rejects.toThrow("disk on fire");
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(weights.load([matrix], { signal })).rejects.toThrow("stop");
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });
});
