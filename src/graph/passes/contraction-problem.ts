/** The problem that conv2d or linear solves for a node. Variants are chosen by it; lowering adds norms and statistics. */
import type { DType } from "../../gpu/dtype.ts";
import type { Conv2dProblem } from "../../kernels/contraction/conv2d.ts";
import type { Epilogue } from "../../kernels/contraction/epilogue.ts";
import type { LinearProblem } from "../../kernels/contraction/linear.ts";
import type { InputNorm } from "../../kernels/contraction/loads.ts";
import type { Node, Op, Value } from "../ir/ir.ts";
import { channelsOf, rowsOf } from "../ir/ir.ts";

export type ConvOp = Extract<Op, { kind: "conv2d" }>;
export type LinearOp = Extract<Op, { kind: "linear" }>;

/** Whether a convolution is a linear layer over pixels. */
export function isPointwise({ kernelSize, stride, padding }: ConvOp): boolean {
  return (
    kernelSize.every((size) => size === 1) && stride === 1 && padding.every((side) => side === 0)
  );
}

export function conv2dProblem(node: Node, op: ConvOp, dtype: DType): Conv2dProblem {
  const { inputs, output } = node;
  const [batch = 1, inHeight = 1, inWidth = 1] = inputs.x[0]?.shape ?? [];
  return {
    dtype,
    batch,
    inHeight,
    inWidth,
    inChannels: inputs.x.map(channelsOf),
    outChannels: channelsOf(output),
    kernelSize: op.kernelSize,
    stride: op.stride,
    padding: op.padding,
    upsample: op.upsample,
    shortcutChannels: (inputs.shortcut ?? []).map(channelsOf),
    inputNorm: inputNormOf(node, op),
    mergedNorm: null,
    weightStorage: op.weight.storage ?? "float",
    epilogue: epilogueOf(node, op, false),
  };
}

/** Of a linear layer, or of a convolution that is one (`isPointwise`). */
export function linearProblem(node: Node, op: ConvOp | LinearOp, dtype: DType): LinearProblem {
  const [x] = node.inputs.x as readonly [Value];
  const rows = rowsOf(x);
  const isGeglu = op.kind === "linear" && op.geglu;
  return {
    dtype,
    rows,
    inChannels: node.inputs.x.map(channelsOf),
    outChannels: channelsOf(node.output) * (isGeglu ? 2 : 1),
    rowsPerImage: rows / (x.shape[0] ?? 1),
    inputNorm: inputNormOf(node, op),
    mergedNorm: null,
    layerNorm: null,
    weightStorage: op.weight.storage ?? "float",
    epilogue: epilogueOf(node, op, isGeglu),
  };
}

function epilogueOf({ inputs }: Node, op: ConvOp | LinearOp, isGeglu: boolean): Epilogue {
  const { channelAdd } = inputs;
  return {
    channelAdd: channelAdd !== undefined,
    channelAddWindow: channelAdd ? [op.channelAddOffset, channelsOf(channelAdd)] : null,
    channelAddShared: channelAdd?.shape[0] === 1,
    residual: inputs.residual !== undefined,
    activation: op.activation,
    statistics: "none",
    channelsPerEntry: 1,
    statisticsFirst: 0,
    geglu: isGeglu,
  };
}

function inputNormOf({ inputs }: Node, { inputActivation }: ConvOp | LinearOp): InputNorm {
  if (inputs.norm === undefined) return "none";
  return inputActivation === "silu" ? "affine-silu" : "affine";
}
