/** Weight files that are written from a model's parameters, piece by piece: nothing is held. */
import { floatToHalfBits } from "../../gpu/dtype.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import { quoted } from "../../weights/errors.ts";
import type { TensorPlace, WeightStem } from "../../weights/index.ts";
import { WeightsError, elementByteLength, layoutSafetensors } from "../../weights/index.ts";
import { mergedPieces } from "./merge.ts";

/** A file of the converted folder. */
export interface ConvertedFile {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly byteLength: number;
  /** Its bytes, in pieces of at most 8 MiB (a header is one piece). */
  bytes(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** A tensor to write, with where its bytes come from. */
export interface ConvertedTensor extends TensorPlace {
  bytes(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** A parameter as floats, under the name that it has in its file. */
export function floatTensor(
  source: TensorSource,
  weight: Weight,
  isHalf: boolean,
  name = weight.name,
): ConvertedTensor {
  return {
    name,
    dtype: isHalf ? "F16" : "F32",
    shape: weight.shape,
    async *bytes(signal) {
      for await (const values of mergedPieces(source, weight, signal)) {
        yield encode(values, isHalf, weight.name);
      }
    },
  };
}

/** The weights of one folder. */
export interface ConvertedFolder {
  readonly folder: string;
  readonly stem: WeightStem;
  readonly tensors: readonly ConvertedTensor[];
}

/** One file, or several with an index, named as diffusers and transformers do. */
export function shards(
  { folder, stem, tensors }: ConvertedFolder,
  shardBytes: number,
): ConvertedFile[] {
  const groups: ConvertedTensor[][] = [];
  let filled = Infinity;
  for (const tensor of tensors) {
    const bytes = byteLengthOf(tensor);
    if (filled + bytes > shardBytes) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)?.push(tensor);
    filled += bytes;
  }
  if (groups.length === 1) return [weightFile(`${folder}/${stem}.safetensors`, tensors)];
  const digits = (count: number): string => String(count).padStart(5, "0");
  const names = groups.map(
    (_group, i) => `${stem}-${digits(i + 1)}-of-${digits(groups.length)}.safetensors`,
  );
  const weight_map = Object.fromEntries(
    groups.flatMap((group, i) => group.map(({ name }) => [name, names[i]])),
  );
  const total_size = tensors.reduce((sum, tensor) => sum + byteLengthOf(tensor), 0);
  const index = JSON.stringify({ metadata: { total_size }, weight_map }, null, 2);
  return [
    textFile(`${folder}/${stem}.safetensors.index.json`, `${index}\n`),
    ...groups.map((group, i) => weightFile(`${folder}/${names[i]}`, group)),
  ];
}

function byteLengthOf({ dtype, shape }: TensorPlace): number {
  return shape.reduce((product, size) => product * size, elementByteLength(dtype));
}

export function textFile(path: string, text: string): ConvertedFile {
  const bytes = new TextEncoder().encode(text);
  return {
    path,
    byteLength: bytes.byteLength,
    async *bytes() {
      yield bytes;
    },
  };
}

/** A safetensors file; transformers reads none without the `format`. */
export function weightFile(
  path: string,
  tensors: readonly ConvertedTensor[],
  metadata: Iterable<readonly [key: string, value: string]> = [],
): ConvertedFile {
  const texts = new Map([...metadata, ["format", "pt"]]);
  const layout = layoutSafetensors(tensors, texts);
  return {
    path,
    byteLength: layout.byteLength,
    async *bytes(signal) {
      yield layout.start;
      for (const tensor of layout.tensors) yield* tensor.bytes(signal);
    },
  };
}

const EXPONENT_OF_INFINITY = 0x7c00;

/** Little-endian elements. @throws WeightsError for what is no finite number of the dtype */
function encode(values: Float32Array, toHalf: boolean, name: string): Uint8Array {
  const fail = (value: number): never => {
    const advice = Number.isFinite(value) ? "Convert to fp32" : "The file is damaged";
    const rule = toHalf ? "finite and at most 65504 in fp16" : "finite";
    throw new WeightsError(
      `weights: values must be ${rule}, got ${value} (tensor ${quoted(name)}). ${advice}`,
    );
  };
  if (!toHalf) {
    const bad = values.find((value) => !Number.isFinite(value));
    if (bad !== undefined) fail(bad);
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const bits = floatToHalfBits(value);
    if ((bits & EXPONENT_OF_INFINITY) === EXPONENT_OF_INFINITY) fail(value);
    halves[i] = bits;
  }
  return new Uint8Array(halves.buffer);
}
