/**
 * Floats to integers with scales, piece by piece, as `integer-tensors.ts` describes them.
 *
 * Scales are chosen for the least squared error of their block, not for its largest value: of a few starts around the
 * largest value each is refined by least squares, Σqw / Σq², until the integers stay, and the best once it is a half wins.
 */
import { F16_MAX, floatToHalfBits, halfBitsToFloat } from "../../gpu/dtype.ts";
import { elementCount } from "../../gpu/shape.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import type { IntegerStorage } from "../../kernels/quantized/storage.ts";
import {
  blockChannels,
  blockCount,
  integerBits,
  integerLimit,
} from "../../kernels/quantized/storage.ts";
import { quoted } from "../../weights/errors.ts";
import { WeightsError } from "../../weights/index.ts";
import { integerTensors } from "./integer-tensors.ts";
import { PIECE_ELEMENTS, mergedPieces } from "./merge.ts";

/** Starts of the search, as shares of the scale at which the largest value is the largest integer. */
const STARTS = { 8: [1, 0.97], 4: [1, 0.92, 0.84, 0.76] } as const;
/** Refinements of a start; nearly all stop sooner. */
const MOST_TURNS = 8;

/** The integer nearest to value / scale, halves away from zero; 0 where the scale is. */
export function nearestInteger(value: number, scale: number, limit: number): number {
  if (scale === 0) return 0;
  const magnitude = Math.min(limit, Math.floor(Math.abs(value) / scale + 0.5));
  return value < 0 ? -magnitude : magnitude;
}

/** Loops by index here and below: a model has 10⁹ values, and each is seen some twenty times. */
function squaredError(block: Float32Array, scale: number, limit: number): number {
  let sum = 0;
  for (let i = 0; i < block.length; i++) {
    const value = block[i] as number;
    const error = value - scale * nearestInteger(value, scale, limit);
    sum += error * error;
  }
  return sum;
}

/** The scale of least squared error for a block of finite values, as the bits of a half; 0 for zeros. */
export function blockScale(block: Float32Array, storage: IntegerStorage): number {
  const limit = integerLimit(storage);
  let largest = 0;
  for (let i = 0; i < block.length; i++) largest = Math.max(largest, Math.abs(block[i] as number));
  if (largest === 0) return 0;
  let best = 0;
  let least = Infinity;
  const seen = new Set<number>();
  const consider = (scale: number): void => {
    const bits = floatToHalfBits(Math.min(scale, F16_MAX));
    if (seen.has(bits)) return;
    seen.add(bits);
    const error = squaredError(block, halfBitsToFloat(bits), limit);
    if (error < least) [best, least] = [bits, error];
  };
  for (const start of STARTS[integerBits(storage)]) {
    const scale = (start * largest) / limit;
    consider(scale);
    consider(refined(block, scale, limit));
  }
  return best;
}

/** What least squares makes of a scale. */
function refined(block: Float32Array, start: number, limit: number): number {
  let scale = start;
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    let [products, squares] = [0, 0];
    for (let i = 0; i < block.length; i++) {
      const value = block[i] as number;
      const q = nearestInteger(value, scale, limit);
      products += q * value;
      squares += q * q;
    }
    const next = products / squares;
    if (squares === 0 || next === scale) break;
    scale = next;
  }
  return scale;
}

/** Calls `each` with the values of every block, in the order of the scales: output channel, block, tap. */
function forEachBlock(
  rows: Float32Array,
  [, inChannels = 1, ...kernel]: readonly number[],
  storage: IntegerStorage,
  each: (block: Float32Array, at: number, row: number, channel: number, tap: number) => void,
): void {
  const taps = elementCount(kernel);
  const blocks = blockCount(inChannels, storage);
  const length = blockChannels(storage);
  const scratch = new Float32Array(length);
  const count = rows.length / (inChannels * taps);
  for (let row = 0; row < count; row++) {
    for (let block = 0; block < blocks; block++) {
      const channel = block * length;
      const channels = Math.min(length, inChannels - channel);
      for (let tap = 0; tap < taps; tap++) {
        for (let i = 0; i < channels; i++) {
          scratch[i] = rows[(row * inChannels + channel + i) * taps + tap] as number;
        }
        const at = (row * blocks + block) * taps + tap;
        each(scratch.subarray(0, channels), at, row, channel, tap);
      }
    }
  }
}

/** Scales of whole output channels, as bits of halves. `shape` is that of the matrix. */
export function scalesOf(
  rows: Float32Array,
  shape: readonly number[],
  storage: IntegerStorage,
): Uint16Array<ArrayBuffer> {
  const [, inChannels = 1] = shape;
  const scales = new Uint16Array((rows.length / inChannels) * blockCount(inChannels, storage));
  forEachBlock(rows, shape, storage, (block, at) => (scales[at] = blockScale(block, storage)));
  return scales;
}

/** Integers of whole output channels with these scales, as a file stores them. */
export function integersOf(
  rows: Float32Array,
  shape: readonly number[],
  storage: IntegerStorage,
  scales: Uint16Array,
): Uint8Array<ArrayBuffer> {
  const [, inChannels = 1, ...kernel] = shape;
  const taps = elementCount(kernel);
  const limit = integerLimit(storage);
  const isInt8 = integerBits(storage) === 8;
  const rowChannels = isInt8 ? inChannels : Math.ceil(inChannels / 2);
  // A byte of int4 holds two channels; one that lacks the second has a zero there, which is stored as 8.
  const bytes = new Uint8Array((rows.length / inChannels) * rowChannels).fill(isInt8 ? 0 : 0x88);
  forEachBlock(rows, shape, storage, (block, at, row, channel, tap) => {
    const scale = halfBitsToFloat(scales[at] as number);
    block.forEach((value, i) => {
      const q = nearestInteger(value, scale, limit);
      const c = channel + i;
      if (isInt8) {
        bytes[(row * rowChannels + c) * taps + tap] = q;
        return;
      }
      const to = (row * rowChannels + (c >> 1)) * taps + tap;
      const shift = 4 * (c & 1);
      bytes[to] = ((bytes[to] as number) & (0xf0 >> shift)) | ((q + 8) << shift);
    });
  });
  return bytes;
}

/** Output channels of a matrix, whole and piece by piece, with the number of the first. */
async function* wholeRows(
  source: TensorSource,
  weight: Weight,
  signal?: AbortSignal,
): AsyncGenerator<readonly [rows: Float32Array, first: number]> {
  const rowLength = elementCount(weight.shape.slice(1));
  const unit = Math.max(1, Math.floor(PIECE_ELEMENTS / rowLength)) * rowLength;
  let first = 0;
  for await (const rows of mergedPieces(source, weight, signal, unit)) {
    const bad = rows.find((value) => !(Math.abs(value) <= F16_MAX));
    if (bad !== undefined) {
      throw new WeightsError(
        `weights: values must be finite and at most ${F16_MAX} to be quantized, got ${bad} ` +
          `(tensor ${quoted(weight.name)}). ${Number.isFinite(bad) ? "Keep its part in floats" : "The file is damaged"}`,
      );
    }
    yield [rows, first];
    first += rows.length / rowLength;
  }
}

/** A matrix on its way to integers. A file writes the scales first; they are kept until the integers are written. */
export class QuantizedMatrix {
  readonly #source: TensorSource;
  readonly #weight: Weight;
  readonly #storage: IntegerStorage;
  #scales: Uint16Array | undefined;

  constructor(source: TensorSource, weight: Weight, storage: IntegerStorage) {
    this.#source = source;
    this.#weight = weight;
    this.#storage = storage;
  }

  async *scales(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const scales = await this.#searched(signal);
    this.#scales = scales;
    yield new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength);
  }

  async *integers(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const { shape } = this.#weight;
    const scales = this.#scales ?? (await this.#searched(signal));
    this.#scales = undefined;
    const each = elementCount(integerTensors(shape, this.#storage).scales.shape.slice(1));
    for await (const [rows, first] of wholeRows(this.#source, this.#weight, signal)) {
      yield integersOf(rows, shape, this.#storage, scales.subarray(first * each));
    }
  }

  async #searched(signal?: AbortSignal): Promise<Uint16Array> {
    const { shape } = this.#weight;
    const all = new Uint16Array(elementCount(integerTensors(shape, this.#storage).scales.shape));
    let at = 0;
    for await (const [rows] of wholeRows(this.#source, this.#weight, signal)) {
      const scales = scalesOf(rows, shape, this.#storage);
      all.set(scales, at);
      at += scales.length;
    }
    return all;
  }
}
