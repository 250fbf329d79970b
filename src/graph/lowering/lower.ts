/**
 * From graph nodes to steps: which kernel, which problem, which value or weight is which operand. Needs
 * only `Caps`, so a graph can be lowered, planned and costed without a GPU.
 *
 * Most nodes are one step. The files beside this one lower those that may be several, or none:
 * `lower-contraction.ts` conv2d and linear with all that passes fuse into them, `lower-statistics.ts` and
 * `lower-group-norm.ts` the two nodes of GroupNorm, `lower-layer-norm.ts` LayerNorm on load, `lower-foreign.ts` kernels
 * of an embedder.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, paddedChannels, quadCount } from "../../gpu/shape.ts";
import { attention } from "../../kernels/attention/attention.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import { affineActivation } from "../../kernels/norm/affine-activation.ts";
import { channelMean } from "../../kernels/norm/channel-mean.ts";
import { layerNorm } from "../../kernels/norm/layer-norm.ts";
import { channelAdd } from "../../kernels/pointwise/channel-add.ts";
import { concatChannels } from "../../kernels/pointwise/concat-channels.ts";
import { elementwise } from "../../kernels/pointwise/elementwise.ts";
import { geglu } from "../../kernels/pointwise/geglu.ts";
import { sliceChannels } from "../../kernels/pointwise/slice-channels.ts";
import { tokenEmbeddings } from "../../kernels/pointwise/token-embeddings.ts";
import { upsampleNearest } from "../../kernels/pointwise/upsample-nearest.ts";
import type { Graph, Node, Op, Value } from "../ir/ir.ts";
import { channelsOf, freshIds, rowsOf } from "../ir/ir.ts";
import { lowerConv2d, lowerLinear } from "./lower-contraction.ts";
import { lowerForeign } from "./lower-foreign.ts";
import { groupNormStep, mergeableNorms } from "./lower-group-norm.ts";
import { channelsPerEntryOf, knownStatistics, statsStep } from "./lower-statistics.ts";
import type { LowerContext, Step } from "./step.ts";
import { makeStep, value, weight } from "./step.ts";

export type { OperandSource, Step } from "./step.ts";

export interface LoweredGraph {
  readonly graph: Graph;
  readonly steps: readonly Step[];
  /** Bytes of every value id. */
  readonly byteLengths: ReadonlyMap<number, number>;
}

/** Bytes of an activation of this shape: rows × channels padded to quads. */
export function activationByteLength(shape: readonly number[], dtype: DType): number {
  const channels = shape[shape.length - 1] ?? 1;
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return rows * paddedChannels(channels) * dtypeByteLength(dtype);
}

/** Lowers every node. Throws `ShapeError` with the module path of the node that no kernel can run. */
export function lower(graph: Graph, caps: Caps): LoweredGraph {
  const byteLengths = new Map<number, number>();
  for (const input of graph.inputs.values()) {
    byteLengths.set(input.id, activationByteLength(input.shape, graph.dtype));
  }
  const freshId = freshIds(graph);
  const context: LowerContext = {
    graph,
    caps,
    byteLengths,
    rowStatistics: new Set(),
    freshId,
    statistics: new Map(),
    epilogueStatistics: { id: freshId(), byteLength: 0 },
    channelsPerEntry: channelsPerEntryOf(graph),
    pendingNorms: mergeableNorms(graph),
  };
  const steps: Step[] = [];
  for (const node of graph.nodes) {
    try {
      steps.push(...lowerNode(node, context));
    } catch (error) {
      if (error instanceof ShapeError) throw new ShapeError(`${error.message} (${node.path})`);
      throw error;
    }
    if (!byteLengths.has(node.output.id)) {
      byteLengths.set(node.output.id, activationByteLength(node.output.shape, graph.dtype));
    }
  }
  byteLengths.set(context.epilogueStatistics.id, context.epilogueStatistics.byteLength);
  return { graph, steps, byteLengths };
}

function lowerNode(node: Node, context: LowerContext): readonly Step[] {
  const { op, output } = node;
  switch (op.kind) {
    case "conv2d":
      return lowerConv2d(node, op, context);
    case "linear":
      return lowerLinear(node, op, context);
    case "groupNormAffine":
      return context.pendingNorms.has(output.id) ? [] : [groupNormStep(node, op, context)];
    case "affine":
      return lowerAffine(node, op, context);
    case "kernel":
      return [lowerForeign(node, op, context)];
    default:
      return [lowerSingle(node, op, context)];
  }
}

/** A step for each source of a concatenation: it writes its channels of the output. */
function lowerAffine(
  node: Node,
  { activation }: Extract<Op, { kind: "affine" }>,
  context: LowerContext,
): readonly Step[] {
  const { inputs, output } = node;
  if (activation !== "none" && activation !== "silu") {
    throw new Error(`internal: affine with ${activation}`);
  }
  const table = inputs.x[inputs.x.length - 1] as Value;
  let channelOffset = 0;
  return inputs.x.slice(0, -1).map((source) => {
    const [batch = 1] = source.shape;
    const channels = channelsOf(source);
    const problem = {
      dtype: context.graph.dtype,
      batch,
      pixels: rowsOf(source) / batch,
      channels,
      channelOffset,
      totalChannels: channelsOf(output),
      activation,
    };
    channelOffset += channels;
    const operands = { x: value(source), affine: value(table), y: value(output) };
    return makeStep(node, context, affineActivation, problem, operands);
  });
}

/** Nodes of one step and one kernel, without choices. */
function lowerSingle(
  node: Node,
  op: Exclude<Op, { kind: "conv2d" | "linear" | "groupNormAffine" | "affine" | "kernel" }>,
  context: LowerContext,
): Step {
  const { inputs, output } = node;
  const { dtype } = context.graph;
  const [x, second, third] = inputs.x as readonly [Value, Value | undefined, Value | undefined];
  const [batch = 1] = x.shape;
  const rows = rowsOf(x);
  const channels = channelsOf(x);
  const y = value(output);
  const step = <P, V extends string>(
    kernel: Kernel<P, V>,
    problem: P,
    operands: Step["operands"],
  ): Step => makeStep(node, context, kernel, problem, operands);
  switch (op.kind) {
    case "channelStats":
      return statsStep(node, x, output, context);
    case "channelMean": {
      const { buffer, place } = knownStatistics(x, context, node);
      const { partials, pixels, tiles, first } = place;
      return step(
        channelMean,
        { dtype, batch, channels, partials, pixels, tiles, first },
        { stats: value({ id: buffer }), y },
      );
    }
    case "layerNorm":
      return step(
        layerNorm,
        { dtype, rows, channels, eps: op.eps },
        { x: value(x), gamma: weight(op.gamma), beta: weight(op.beta), y },
      );
    case "attention": {
      const [k, v] = [second, third] as [Value, Value];
      const stride = (tokens: Value): number => paddedChannels(channelsOf(tokens));
      return step(
        attention,
        {
          dtype,
          batch,
          queryTokens: x.shape[1] ?? 1,
          keyTokens: k.shape[1] ?? 1,
          numHeads: op.numHeads,
          headDim: op.headDim,
          scale: op.scale,
          queryStride: stride(x),
          keyStride: stride(k),
          valueStride: stride(v),
          outputStride: stride(output),
          queryOffset: op.offsets[0],
          keyOffset: op.offsets[1],
          valueOffset: op.offsets[2],
        },
        { q: value(x), k: value(k), v: value(v), y },
      );
    }
    case "elementwise": {
      const { scaleA, scaleB, activation } = op;
      const quads = rows * quadCount(channels);
      return step(
        elementwise,
        { dtype, quads, hasB: second !== undefined, scaleA, scaleB, activation },
        { a: value(x), ...(second && { b: value(second) }), y },
      );
    }
    case "channelAdd": {
      const added = inputs.channelAdd as Value;
      const [images = 1] = added.shape; // one row is added to all pixels, as if they were of one image
      return step(
        channelAdd,
        { dtype, batch: images, pixels: rows / images, channels },
        { x: value(x), channel_add: value(added), y },
      );
    }
    case "geglu":
      return step(geglu, { dtype, rows, channels: channelsOf(output) }, { x: value(x), y });
    case "upsampleNearest": {
      const [, inHeight = 1, inWidth = 1] = x.shape;
      const [, outHeight = 1, outWidth = 1] = output.shape;
      return step(
        upsampleNearest,
        { dtype, batch, inHeight, inWidth, outHeight, outWidth, channels },
        { x: value(x), y },
      );
    }
    case "concat":
      return step(
        concatChannels,
        { dtype, rows, channels: [channels, channelsOf(second as Value)] },
        { a: value(x), b: value(second as Value), y },
      );
    case "sliceChannels": {
      const { offset, scale, clamp } = op;
      return step(
        sliceChannels,
        { dtype, rows, channels, offset, scale, count: channelsOf(output), clamp },
        { x: value(x), y },
      );
    }
    case "tokenEmbeddings":
      return step(
        tokenEmbeddings,
        { dtype, batch, patches: x.shape[1] ?? 1, channels },
        {
          patches: value(x),
          class_embedding: weight(op.classEmbedding),
          position: weight(op.position),
          y,
        },
      );
    default:
      return op satisfies never;
  }
}
