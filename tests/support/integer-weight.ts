/** Matrices of integers with hostile blocks, as a checkpoint stores them. */
import { expect } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { floatToHalfBits } from "../../src/gpu/dtype.ts";
import { packIntegers } from "../../src/kernels/quantized/pack-integers.ts";
import type { IntegerStorage } from "../../src/kernels/quantized/storage.ts";
import type { IntegerMatrix } from "../reference/integer-weight.ts";
import { packedIntegers } from "../reference/integer-weight.ts";
import { packedRows } from "../reference/pack-weight.ts";
import { runKernel } from "./gpu.ts";
import { uniformSource } from "./random.ts";

const bitsOf = (storage: IntegerStorage): 8 | 4 => (storage.startsWith("int8") ? 8 : 4);
const blockOf = (storage: IntegerStorage): number => (storage.endsWith("/64") ? 64 : 32);

/**
 * Random integers whose values are uniform up to about `magnitude`. Of the first blocks one is all zeros with the scale 0, one
 * has zeros and one largest value, one only values of one sign.
 */
export function hostileMatrix(
  shape: Pick<IntegerMatrix, "outChannels" | "inChannels" | "taps">,
  storage: IntegerStorage,
  magnitude: number,
  seed: number,
): IntegerMatrix {
  const { outChannels, inChannels, taps } = shape;
  const limit = bitsOf(storage) === 8 ? 127 : 7;
  const length = blockOf(storage);
  const next = uniformSource(seed);
  const blocks = Math.ceil(inChannels / length);
  const integers = new Int8Array(outChannels * inChannels * taps);
  const scales = new Uint16Array(outChannels * blocks * taps);
  for (let o = 0; o < outChannels; o++) {
    for (let block = 0; block < blocks; block++) {
      for (let tap = 0; tap < taps; tap++) {
        const kind = (o + block + tap) % 7;
        const scale = kind === 0 ? 0 : (magnitude / limit) * (0.5 + next());
        scales[(o * blocks + block) * taps + tap] = floatToHalfBits(scale);
        for (let i = length * block; i < Math.min(inChannels, length * (block + 1)); i++) {
          const value = Math.round((2 * next() - 1) * limit);
          const isOutlier =
            i === length * block + (o % Math.min(length, inChannels - length * block));
          const kinds = [0, isOutlier ? -limit : 0, Math.abs(value)];
          integers[(o * inChannels + i) * taps + tap] = kinds[kind] ?? value;
        }
      }
    }
  }
  return { ...shape, block: length, integers, scales };
}

/** The bytes of the two tensors of a matrix in a file; behind them what must not matter. */
export function integerBytes(
  { outChannels, inChannels, taps, integers, scales }: IntegerMatrix,
  storage: IntegerStorage,
): { readonly values: Uint8Array<ArrayBuffer>; readonly scales: Uint8Array<ArrayBuffer> } {
  const padded = (bytes: ArrayLike<number>): Uint8Array<ArrayBuffer> => {
    const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4).fill(0xff);
    whole.set(bytes);
    return whole;
  };
  const halves = padded(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength));
  if (bitsOf(storage) === 8)
    return { values: padded(new Uint8Array(integers.buffer)), scales: halves };
  const pairs = Math.ceil(inChannels / 2);
  const values = new Uint8Array(outChannels * pairs * taps);
  const at = (o: number, i: number, tap: number): number =>
    i < inChannels ? (integers[(o * inChannels + i) * taps + tap] as number) + 8 : 8;
  for (let o = 0; o < outChannels; o++) {
    for (let pair = 0; pair < pairs; pair++) {
      for (let tap = 0; tap < taps; tap++) {
        values[(o * pairs + pair) * taps + tap] =
          at(o, 2 * pair, tap) + 16 * at(o, 2 * pair + 1, tap);
      }
    }
  }
  return { values: padded(values), scales: halves };
}

/** Packs matrices that follow each other as further rows of one buffer, and holds the words against the reference. */
export async function packIntegersOnGpu(
  gpu: Gpu,
  storage: IntegerStorage,
  matrices: readonly IntegerMatrix[],
  geglu: boolean,
): Promise<Uint8Array<ArrayBuffer>> {
  const columns = packedRows(matrices[0]?.outChannels ?? 0, geglu);
  const expected = packedIntegers(matrices, bitsOf(storage), columns);
  const columnQuads = columns.length / 4;
  const blocks = matrices.reduce((sum, m) => sum + m.taps * Math.ceil(m.inChannels / 4), 0);
  const scalesAt = blocks * columnQuads * (bitsOf(storage) / 2);
  let packed = new Uint8Array(expected.byteLength);
  let [firstBlock, firstScale] = [0, 0];
  for (const matrix of matrices) {
    const { outChannels, inChannels, taps } = matrix;
    const place = { columnQuads, firstBlock, firstScale, scalesAt };
    const problem = { storage, outChannels, inChannels, taps, geglu, place };
    const plan = packIntegers.plan(problem, gpu.caps);
    const inputs = { ...integerBytes(matrix, storage), packed };
    const results = await runKernel(gpu, plan, inputs, { packed: packed.byteLength });
    packed = results["packed"] as Uint8Array<ArrayBuffer>;
    firstBlock += taps * Math.ceil(inChannels / 4) * columnQuads;
    firstScale += taps * Math.ceil(inChannels / matrix.block) * columnQuads;
  }
  expect([...new Uint32Array(packed.buffer, 0, packed.byteLength / 4)]).toEqual([...expected]);
  return packed;
}
