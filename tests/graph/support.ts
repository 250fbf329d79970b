/** Random parameters for graphs, and running a graph on the test device. */
import type { Caps } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import { paddedChannels, quadCount } from "../../src/gpu/shape.ts";
import type { Graph, Value, Weight } from "../../src/graph/ir/ir.ts";
import { channelsOf, weightMembers } from "../../src/graph/ir/ir.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import type { PlanOptions } from "../../src/graph/plan.ts";
import { planGraph } from "../../src/graph/plan.ts";
import type { HostTensor } from "../../src/graph/program.ts";
import { Program } from "../../src/graph/program.ts";
import type {
  LoraUpdate,
  SourceTensor,
  TensorSource,
} from "../../src/graph/weights/device-weights.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import type { SourceDType } from "../../src/kernels/contraction/pack-weight.ts";
import { packedColumnQuads } from "../../src/kernels/contraction/pack-weight.ts";
import { sourceBytes } from "../support/packed-weight.ts";
import { uniformArray } from "../support/random.ts";

/** Raw bytes as a checkpoint tensor. */
export function tensorOf(
  values: Float64Array,
  shape: readonly number[],
  dtype: SourceDType = "F32",
): SourceTensor {
  const bytes = sourceBytes(values, dtype);
  const byteLength = values.length * (dtype === "F32" ? 4 : 2);
  return {
    dtype,
    shape,
    byteLength,
    read: async (start, length) => bytes.slice(start, start + length),
  };
}

function seedOf(name: string): number {
  let seed = 7;
  for (const letter of name) seed = (Math.imul(seed, 31) + letter.charCodeAt(0)) >>> 0;
  return seed;
}

/** Values of a parameter that keep activations near 1: matrices by fan-in, norm weights around 1. */
export function parameterValues({
  name,
  shape,
  layout,
}: Pick<Weight, "name" | "shape" | "layout">): Float64Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const isNormWeight = name.endsWith("weight") && layout === "vector";
  const fanIn = count / (shape[0] ?? 1);
  const scale = layout.endsWith("matrix") ? Math.sqrt(3 / fanIn) : 0.3;
  return uniformArray(count, seedOf(name), scale, isNormWeight ? 1 : 0);
}

/** A source of random parameters, the same for equal names. */
export function randomSource(
  weights: readonly Weight[],
  options: { readonly dtype?: SourceDType; readonly lora?: ReadonlyMap<string, LoraUpdate> } = {},
): TensorSource {
  const byName = new Map(weights.flatMap(weightMembers).map((weight) => [weight.name, weight]));
  return {
    tensor(name) {
      const weight = byName.get(name);
      if (weight === undefined) throw new Error(`no parameter ${name}`);
      // GEGLU layouts are about the device; the checkpoint's values do not depend on them.
      const layout = weight.layout.endsWith("matrix")
        ? "matrix"
        : weight.layout === "geglu-vector"
          ? "vector"
          : weight.layout;
      return tensorOf(parameterValues({ ...weight, layout }), weight.shape, options.dtype);
    },
    lora: (name) => options.lora?.get(name) ?? null,
  };
}

/** Bytes that a parameter takes on the device. */
export function deviceByteLength({ shape, layout, members }: Weight, dtype: DType): number {
  const [first = 1, second = 1, ...kernel] = shape;
  const size = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);
  switch (layout) {
    case "matrix":
    case "geglu-matrix":
    case "upsample-matrix": {
      const taps =
        layout === "upsample-matrix" ? 16 : kernel.reduce((product, side) => product * side, 1);
      const columns = packedColumnQuads(first, layout === "geglu-matrix");
      return size(taps * quadCount(second) * columns * 16 * (dtype === "f32" ? 4 : 2));
    }
    case "summed-vector":
      return size(paddedChannels(first) * 4);
    case "stacked-matrix":
    case "shortcut-matrix":
    case "stacked-vector":
      return (members ?? []).reduce((sum, member) => sum + deviceByteLength(member, dtype), 0);
    case "vector":
      return size(paddedChannels(first) * 4);
    case "geglu-vector":
      return size(packedColumnQuads(first, true) * 16);
    case "table":
      return size(first * paddedChannels(second) * 4);
    default:
      return layout satisfies never;
  }
}

/** Random values for every input of a graph, packed, by name. */
export function randomInputs(
  graph: Pick<Graph, "inputs" | "dtype">,
  seed = 1,
): Record<string, Uint8Array<ArrayBuffer>> {
  return Object.fromEntries(
    [...graph.inputs].map(([name, value], index) => [
      name,
      packedRandom(value, graph.dtype, seed + index),
    ]),
  );
}

export function packedRandom(value: Value, dtype: DType, seed: number): Uint8Array<ArrayBuffer> {
  const count = value.shape.reduce((product, size) => product * size, 1);
  return packActivation(uniformArray(count, seed, 1.5), channelsOf(value), dtype);
}

/** Plans (for `caps`), runs once with random parameters and inputs, reads all results, frees everything. */
export async function runGraph(
  gpu: Gpu,
  graph: Graph,
  options: PlanOptions = {},
  caps: Caps = gpu.caps,
): Promise<ReadonlyMap<string, HostTensor>> {
  const plan = planGraph(graph, caps, options);
  const weights = new DeviceWeights(gpu, randomSource(plan.weights), { dtype: graph.dtype });
  await weights.load(plan.weights);
  const program = await Program.create(gpu, plan, weights);
  try {
    await program.run(randomInputs(graph));
    const results = new Map<string, HostTensor>();
    for (const name of plan.results.keys()) results.set(name, await program.read(name));
    return results;
  } finally {
    program.dispose();
    weights.dispose();
  }
}

/** Root of Σ(got − expected)² / Σexpected². NaN when anything is not finite. */
export function relativeRms(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length)
    throw new Error(`${got.length} values instead of ${expected.length}`);
  let errors = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    errors += ((got[i] as number) - (expected[i] as number)) ** 2;
    squares += (expected[i] as number) ** 2;
  }
  return Math.sqrt(errors / squares);
}
