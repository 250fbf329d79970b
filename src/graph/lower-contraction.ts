/** Lowering of conv2d and linear. */
import { quadCount } from "../gpu/shape.ts";
import { conv2d, conv2dTiledRows } from "../kernels/conv2d.ts";
import type { Epilogue } from "../kernels/epilogue.ts";
import type { InputNorm } from "../kernels/input-norm.ts";
import type { LinearProblem } from "../kernels/linear.ts";
import { linear, linearTiledRows } from "../kernels/linear.ts";
import { packedColumnQuads } from "../kernels/pack-weight.ts";
import type { Node, Op, Value, Weight } from "./ir.ts";
import { channelsOf, rowsOf } from "./ir.ts";
import { withLayerNorm, withRowStatistics } from "./lower-layer-norm.ts";
import { withStatistics } from "./lower-statistics.ts";
import type { LowerContext, OperandSource, Step } from "./step.ts";
import { value, weight } from "./step.ts";

type ConvOp = Extract<Op, { kind: "conv2d" }>;
type LinearOp = Extract<Op, { kind: "linear" }>;

export function lowerConv2d(node: Node, op: ConvOp, context: LowerContext): Step[] {
  const { inputs, output } = node;
  const { dtype } = context.graph;
  const [batch = 1, inHeight = 1, inWidth = 1] = inputs.x[0]?.shape ?? [];
  const outChannels = channelsOf(output);
  const inChannels = inputs.x.map(channelsOf);
  const epilogue = epilogueOf(node, op, false);
  const inputNorm = inputNormOf(node, op);
  const operands = operandsOf(node, op, quadCount(outChannels));
  const isPointwise =
    op.kernelSize.every((size) => size === 1) &&
    op.stride === 1 &&
    op.padding.every((p) => p === 0);
  if (isPointwise) {
    const rowsPerImage = inHeight * inWidth;
    const rows = batch * rowsPerImage;
    const layerNorm = null;
    const problem = {
      dtype,
      rows,
      inChannels,
      outChannels,
      rowsPerImage,
      inputNorm,
      layerNorm,
      epilogue,
    };
    return withStatistics(node, context, linear, problem, operands, linearTiledRows(problem));
  }
  const problem = {
    dtype,
    batch,
    inHeight,
    inWidth,
    inChannels,
    outChannels,
    kernelSize: op.kernelSize,
    stride: op.stride,
    padding: op.padding,
    upsample: op.upsample,
    shortcutChannels: (inputs.shortcut ?? []).map(channelsOf),
    inputNorm,
    epilogue,
  };
  return withStatistics(node, context, conv2d, problem, operands, conv2dTiledRows(problem));
}

export function lowerLinear(node: Node, op: LinearOp, context: LowerContext): Step[] {
  const { inputs, output } = node;
  const [x] = inputs.x as readonly [Value];
  const outChannels = op.geglu ? 2 * channelsOf(output) : channelsOf(output);
  const rows = rowsOf(x);
  const problem: LinearProblem = {
    dtype: context.graph.dtype,
    rows,
    inChannels: inputs.x.map(channelsOf),
    outChannels,
    rowsPerImage: rows / (x.shape[0] ?? 1),
    inputNorm: inputNormOf(node, op),
    layerNorm: null,
    epilogue: epilogueOf(node, op, op.geglu),
  };
  const operands = operandsOf(node, op, packedColumnQuads(outChannels, op.geglu));
  const normed = withLayerNorm(node, op, problem, operands, context);
  const measured = withRowStatistics(node, normed.problem, context);
  const steps = withStatistics(
    node,
    context,
    linear,
    measured.problem,
    { ...normed.operands, ...measured.operands },
    linearTiledRows(problem),
  );
  return [...normed.steps, ...steps];
}

function epilogueOf({ inputs }: Node, op: ConvOp | LinearOp, isGeglu: boolean): Epilogue {
  const { channelAdd } = inputs;
  return {
    channelAdd: channelAdd !== undefined,
    channelAddWindow: channelAdd ? [op.channelAddOffset, channelsOf(channelAdd)] : null,
    residual: inputs.residual !== undefined,
    activation: op.activation,
    statistics: "none",
    geglu: isGeglu,
  };
}

function inputNormOf({ inputs }: Node, { inputActivation }: ConvOp | LinearOp): InputNorm {
  if (inputs.norm === undefined) return "none";
  return inputActivation === "silu" ? "affine-silu" : "affine";
}

function operandsOf(
  { inputs, output }: Node,
  op: ConvOp | LinearOp,
  columnQuads: number,
): Step["operands"] {
  const numbered = (name: string, sources: readonly Value[] = []) =>
    Object.fromEntries(sources.map((source, i) => [`${name}${i}`, value(source)]));
  return {
    ...numbered("x", inputs.x),
    weight: weight(op.weight),
    bias: biasSource(op.bias, columnQuads * 16),
    ...(inputs.channelAdd && { channel_add: value(inputs.channelAdd) }),
    ...(inputs.residual && { residual: value(inputs.residual) }),
    ...numbered("shortcut", inputs.shortcut),
    ...(inputs.norm && { norm: value(inputs.norm) }),
    y: value(output),
  };
}

function biasSource(bias: Weight | null, byteLength: number): OperandSource {
  return bias ? weight(bias) : { kind: "zeros", byteLength };
}
