/** From the shape of a case to its workload, as large as a device can take. */
import type { Caps } from "../../gpu/caps.ts";
import { BASELINE_CAPS } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { elementCount } from "../../gpu/shape.ts";
import type { Graph, Value } from "../../graph/ir/ir.ts";
import { channelsOf, rowsOf, weightKey, weightMembers } from "../../graph/ir/ir.ts";
import type { OperandSource } from "../../graph/lowering/step.ts";
import { planGraph } from "../../graph/plan.ts";
import { weightByteLength } from "../../graph/weights/weight-layout.ts";
import { KERNEL_VARIANTS } from "../../kernels/variant-choice.ts";
import { caseGraph } from "./case-graph.ts";
import type { CaseShape } from "./case-shape.ts";
import { shrink } from "./case-shape.ts";
import { mergeWorkload } from "./merge-workload.ts";
import { referenceOf } from "./reference.ts";
import type { TestTensor } from "./test-data.ts";
import { elementReader, sourceTensor, testTensorByteLength } from "./test-data.ts";
import type { Tolerance, Workload } from "./workload.ts";
import {
  UNIT_PRODUCT_RMS,
  contractionTolerance,
  pointwiseTolerance,
  roundedWeightError,
  totalCost,
} from "./workload.ts";

/** `caps` decide which variants there are, and which one is taken. */
export function workloadOf(shape: CaseShape, dtype: DType, caps: Caps = BASELINE_CAPS): Workload {
  if (shape.kind === "lora-merge") return mergeWorkload(shape, dtype, caps);
  const graph = caseGraph(shape, dtype);
  const { steps, byteLengths, weights } = planGraph(graph, caps);
  const output = graph.outputs.get("y") as Value;
  const names = new Map([...graph.inputs].map(([name, { id }]) => [id, name]));
  names.set(output.id, "y");
  const nameOf = (id: number): string => names.get(id) ?? `value ${id}`;
  const bufferOf = (source: OperandSource): string => {
    if (source.kind === "zeros") throw new Error("internal: every case has a bias");
    return source.kind === "weight" ? weightKey(source.weight) : nameOf(source.id);
  };
  // GroupNorm is three kernels; all others are one.
  const kernel = steps.length > 1 ? "groupNorm" : (steps[0]?.kernel ?? "");
  const stepsIn = (variant: string) =>
    planGraph(graph, { ...caps, variants: { [kernel]: variant } }).steps;
  const selected = steps[0]?.plan.variant ?? "";
  const temporaries = [...byteLengths]
    .filter(([id, byteLength]) => !names.has(id) && byteLength > 0)
    .map(([id, byteLength]) => [nameOf(id), byteLength] as const);
  // What kernels hand over to each other does not count: it depends on the device.
  const handedOver = temporaries.reduce((sum, [, byteLength]) => sum + byteLength, 0);
  const work = totalCost(steps.map(({ cost }) => cost));
  const length = reductionLength(graph);
  const scale = weightScale(length);
  const inputs = [...graph.inputs].map(([name, value], i): TestTensor => ({
    name,
    dtype,
    rows: rowsOf(value),
    channels: channelsOf(value),
    scale: inputScale(shape, name),
    seed: i + 1,
  }));
  const parts = weights.flatMap(weightMembers);
  const parameters = parts.map(({ name, shape: sizes }, i): TestTensor => ({
    name,
    dtype: "f32",
    rows: 1, // the checkpoint's layout has no padding
    channels: elementCount(sizes),
    scale: sizes.length > 1 ? scale : 1,
    seed: 101 + i,
  }));
  const tensors = new Map([...inputs, ...parameters].map((tensor) => [tensor.name, tensor]));
  const tensorOf = (name: string): TestTensor => tensors.get(name) as TestTensor;
  return {
    kernel,
    get variants() {
      const offered = (KERNEL_VARIANTS[kernel] ?? []).filter(
        (variant) => stepsIn(variant)[0]?.plan.variant === variant,
      );
      return offered.length > 0 ? offered : [selected];
    },
    selected,
    plan: (variant) =>
      stepsIn(variant).map((step) => ({
        kernel: step.kernel,
        plan: step.plan,
        buffers: Object.fromEntries(
          Object.entries(step.operands).map(([name, source]) => [name, bufferOf(source)]),
        ),
      })),
    cost: {
      ...work,
      bytesRead: work.bytesRead - handedOver,
      bytesWritten: work.bytesWritten - handedOver,
    },
    inputs,
    weights,
    source: {
      tensor: (name) =>
        sourceTensor(tensorOf(name), parts.find((part) => part.name === name)?.shape ?? []),
      lora: () => null,
    },
    temporaries: Object.fromEntries(temporaries),
    output: {
      dtype,
      rows: rowsOf(output),
      channels: channelsOf(output),
      groupChannels: groupChannelsOf(shape),
    },
    reference: () => referenceOf(graph, (name) => elementReader(tensorOf(name))),
    tolerance: toleranceOf(shape, dtype, length, scale),
  };
}

/** Products in a sum of the graph's contractions, which are added to each other. */
function reductionLength({ nodes }: Graph): number {
  return nodes.reduce((sum, { op }) => {
    if (op.kind !== "conv2d" && op.kind !== "linear") return sum;
    return sum + elementCount(op.weight.shape.slice(1));
  }, 0);
}

/** A power of two that brings sums of K products with unit inputs to about 0.5. */
function weightScale(length: number): number {
  return 2 ** -Math.round(Math.log2(Math.sqrt(length) / 2));
}

/**
 * Scores of attention have a standard deviation of 2.7 (1.3 where queries, keys and values are of one size): a softmax
 * that is neither flat nor a single key.
 */
const ATTENTION_SCALES: Readonly<Record<string, number>> = { q: 4, k: 2, v: 1, kv: 2, qkv: 2 };

function inputScale({ kind }: CaseShape, name: string): number {
  if (kind === "attention") return ATTENTION_SCALES[name] ?? 1;
  return kind === "group-norm-silu" || kind === "layer-norm" ? 4 : 1;
}

function groupChannelsOf(shape: CaseShape): number {
  if (shape.kind === "attention") return shape.headDim;
  if (shape.kind === "group-norm-silu") return shape.channels / shape.numGroups;
  return shape.kind === "layer-norm" ? shape.channels : 1;
}

function toleranceOf(shape: CaseShape, dtype: DType, length: number, scale: number): Tolerance {
  const pointwise = pointwiseTolerance(dtype);
  const { rtol, atol } = contractionTolerance(dtype, length, scale * UNIT_PRODUCT_RMS);
  switch (shape.kind) {
    case "conv2d": // doubling: sums of taps are rounded to f16 once more
      return { rtol, atol: atol + (shape.upsample ? roundedWeightError(dtype, length, scale) : 0) };
    case "linear": // the activation's slope is below 1.2; GEGLU multiplies two sums of size 4 at most, each in error
      return { rtol, atol: atol * ({ geglu: 8, quick_gelu: 1.2 }[shape.epilogue as "geglu"] ?? 1) };
    case "attention":
      return { ...pointwise, atol: pointwise.atol * (shape.stacked === undefined ? 1 : 2) };
    case "upsample": // a copy
      return { rtol: 0, atol: 0 };
    default:
      return pointwise;
  }
}

/** A byte moved counts as this many flops when cases are made smaller. */
const FLOPS_PER_BYTE = 8;

/** Work of a workload in flop-equivalents. */
export function workOf({ cost }: Workload): number {
  return cost.flops + FLOPS_PER_BYTE * (cost.bytesRead + cost.bytesWritten);
}

/** Bytes of every buffer of a workload: inputs, weights, temporaries and result. */
export function bufferByteLengths(workload: Workload): readonly number[] {
  const { inputs, weights, temporaries, output } = workload;
  return [
    ...inputs.map(testTensorByteLength),
    ...weights.map((weight) => weightByteLength(weight, output.dtype)),
    ...Object.values(temporaries),
    testTensorByteLength(output),
  ];
}

/**
 * The largest version of a case with at most `maxWork` flop-equivalents whose buffers this device can bind.
 * Where nothing is small enough, the smallest there is.
 */
export function fitShape(shape: CaseShape, dtype: DType, caps: Caps, maxWork: number): CaseShape {
  const binding = Math.min(caps.limits.maxStorageBufferBindingSize, caps.limits.maxBufferSize);
  let fitted = shape;
  for (;;) {
    const workload = workloadOf(fitted, dtype, caps);
    if (workOf(workload) <= maxWork && Math.max(...bufferByteLengths(workload)) <= binding)
      return fitted;
    const smaller = shrink(fitted);
    if (smaller === null) return fitted;
    fitted = smaller;
  }
}
