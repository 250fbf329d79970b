/** Matrices of integers on the device: every layout word for word, their bytes, and what is wrong with their files. */
import { describe, expect, it } from "vitest";
import { readBytes } from "../../../src/gpu/transfer.ts";
import type { Weight } from "../../../src/graph/ir/ir.ts";
import { weightMembers } from "../../../src/graph/ir/ir.ts";
import type { StoredBytes, TensorSource } from "../../../src/graph/weights/device-weights.ts";
import { DeviceWeights } from "../../../src/graph/weights/device-weights.ts";
import { weightByteLength } from "../../../src/graph/weights/weight-layout.ts";
import type { IntegerStorage } from "../../../src/kernels/quantized/storage.ts";
import { blockChannels, integerBits } from "../../../src/kernels/quantized/storage.ts";
import { packedIntegers } from "../../reference/integer-weight.ts";
import type { IntegerMatrix } from "../../reference/integer-weight.ts";
import { packedRows } from "../../reference/pack-weight.ts";
import { useGpu } from "../../support/gpu.ts";
import { hostileMatrix, integerBytes } from "../../support/integer-weight.ts";

const setup = useGpu();

function matrixOf({ name, shape, storage }: Weight): IntegerMatrix {
  const [outChannels = 1, inChannels = 1, height = 1, width = 1] = shape;
  const sizes = { outChannels, inChannels, taps: height * width };
  return hostileMatrix(sizes, storage as IntegerStorage, 1, name.length);
}

/** The tensors of these weights in a file. `change` may damage the bytes. */
function sourceOf(
  weights: readonly Weight[],
  change: (bytes: Uint8Array, what: string) => Uint8Array = (bytes) => bytes,
): TensorSource {
  const stored = (bytes: Uint8Array): StoredBytes => ({
    byteLength: bytes.byteLength,
    read: async (start, length) => bytes.slice(start, start + length),
  });
  return {
    tensor: (name) => expect.unreachable(`${name} is no floats`),
    lora: () => null,
    integers(name) {
      const weight = weights
        .flatMap(weightMembers)
        .find((member) => member.name === name) as Weight;
      const matrix = matrixOf(weight);
      const { values, scales } = integerBytes(matrix, weight.storage as IntegerStorage);
      const { outChannels, inChannels, taps } = matrix;
      const isInt8 = integerBits(weight.storage as IntegerStorage) === 8;
      const rowBytes = isInt8 ? inChannels : Math.ceil(inChannels / 2);
      return {
        values: stored(change(values.slice(0, outChannels * rowBytes * taps), "values")),
        scales: stored(change(scales.slice(0, matrix.scales.byteLength), "scales")),
      };
    },
  };
}

async function words(weights: DeviceWeights, weight: Weight): Promise<number[]> {
  const bytes = await readBytes(
    setup.gpu,
    weights.buffer(weight),
    0,
    weightByteLength(weight, "f16"),
  );
  return [...new Uint32Array(bytes.buffer)];
}

describe.each(["int8", "int4", "int8/64", "int4/64"] as const)("%s", (storage) => {
  const bits = integerBits(storage);
  const named = (name: string, shape: number[], layout: Weight["layout"] = "matrix"): Weight => ({
    name,
    shape,
    layout,
    storage,
  });
  const conv = named("conv.weight", [6, 37, 3, 3]);
  const side = named("side.weight", [6, 70, 1, 1]);
  const geglu = named("ff.weight", [14, 33], "geglu-matrix");
  const both: Weight = { ...conv, name: "both", layout: "shortcut-matrix", members: [conv, side] };
  const [q, k] = [named("q.weight", [8, 33]), named("key.weight", [4, 33])];
  const stack: Weight = {
    ...q,
    name: "q, k",
    shape: [12, 33],
    layout: "stacked-matrix",
    members: [q, k],
  };
  const all = [conv, geglu, both, stack];

  it("has every layout word for word", async () => {
    const weights = new DeviceWeights(setup.gpu, sourceOf(all), { dtype: "f16" });
    const seen: [number, number][] = [];
    await weights.load(all, { onProgress: (loaded, total) => seen.push([loaded, total]) });
    try {
      expect(seen.at(-1)?.[0]).toBe(seen.at(-1)?.[1]);
      const packed = (weight: Weight): number[] => {
        const isGeglu = weight.layout === "geglu-matrix";
        const columns = packedRows(weight.shape[0] ?? 0, isGeglu);
        return [...packedIntegers(weightMembers(weight).map(matrixOf), bits, columns)];
      };
      for (const weight of [conv, geglu, both]) {
        expect(await words(weights, weight), weight.name).toEqual(packed(weight));
      }
      // A stack is one matrix with the rows of both.
      const [first, second] = [q, k].map(matrixOf) as [IntegerMatrix, IntegerMatrix];
      const rows: IntegerMatrix = {
        ...first,
        outChannels: 12,
        integers: Int8Array.from([...first.integers, ...second.integers]),
        scales: Uint16Array.from([...first.scales, ...second.scales]),
      };
      const expected = [...packedIntegers([rows], bits, packedRows(12, false))];
      expect(await words(weights, stack)).toEqual(expected);
    } finally {
      weights.dispose();
    }
  });

  it("takes on the device what is planned, and no halves on the way", async () => {
    const { memory } = setup.gpu;
    memory.resetPeak();
    const before = memory.use().currentBytes;
    const weights = new DeviceWeights(setup.gpu, sourceOf([conv]), { dtype: "f16" });
    await weights.load([conv]);
    try {
      const planned = weightByteLength(conv, "f16");
      expect(memory.use().currentBytes - before).toBe(16 * Math.ceil(planned / 16));
      // [9 taps] × 10 quads of 40 channels × 2 quads of 8 outputs, and their blocks
      const blocks = blockChannels(storage) === 32 ? 2 : 1;
      expect(planned).toBe(9 * 2 * (10 * (bits === 8 ? 16 : 8) + blocks * 8));
      const halves = 9 * 40 * 8 * 2;
      expect(memory.use().peakBytes - before).toBeLessThan(planned + halves);
    } finally {
      weights.dispose();
    }
  });

  it("names scales that are no finite numbers, and tensors that are cut", async () => {
    const nan = (bytes: Uint8Array, what: string): Uint8Array =>
      what === "scales" ? bytes.fill(0x7e, 3, 4) : bytes;
    const damaged = new DeviceWeights(setup.gpu, sourceOf([conv], nan), { dtype: "f16" });
    expect(await damaged.load([conv])).toEqual({
      nonFinite: ["conv.weight.scales"],
      saturated: [],
    });
    damaged.dispose();
    for (const what of ["values", "scales"]) {
      const cut = (bytes: Uint8Array, of: string): Uint8Array =>
        of === what ? bytes.subarray(2) : bytes;
      const weights = new DeviceWeights(setup.gpu, sourceOf([conv], cut), { dtype: "f16" });
      await expect(weights.load([conv])).rejects.toThrow("weights: must have");
      weights.dispose();
    }
  });
});
