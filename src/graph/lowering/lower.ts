/**
 * From graph nodes to steps: which kernel, which problem, which value or weight is which operand. Needs
 * only `Caps`, so a graph can be lowered, planned and costed without a GPU.
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
import type { Graph, Node, Value } from "../ir/ir.ts";
import { channelsOf, freshIds, rowsOf } from "../ir/ir.ts";
import { lowerConv2d, lowerLinear } from "./lower-contraction.ts";
import { lowerForeign } from "./lower-foreign.ts";
import { groupNormStep, mergeableNorms } from "./lower-group-norm.ts";
import { knownStatistics, statisticsRuns, statsStep } from "./lower-statistics.ts";
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
  const shapes = new Map<number, readonly number[]>(
    [...graph.inputs.values()].map((v) => [v.id, v.shape]),
  );
  const freshId = freshIds(graph);
  const context: LowerContext = {
    graph,
    caps,
    byteLengths,
    rowStatistics: new Set(),
    freshId,
    statistics: new Map(),
    epilogueStatistics: { id: freshId(), byteLength: 0 },
    channelsPerEntry: statisticsRuns(graph),
    pendingNorms: mergeableNorms(graph),
  };
  const steps: Step[] = [];
  for (const node of graph.nodes) {
    shapes.set(node.output.id, node.output.shape);
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

function lowerNode(node: Node, context: LowerContext): Step[] {
  const { op, inputs, output } = node;
  const { graph } = context;
  const { dtype } = graph;
  const [x, second, third] = inputs.x as readonly [Value, Value | undefined, Value | undefined];
  const step = <P, V extends string>(
    kernel: Kernel<P, V>,
    problem: P,
    operands: Step["operands"],
  ): Step => makeStep(node, context, kernel, problem, operands);
  switch (op.kind) {
    case "conv2d":
      return lowerConv2d(node, op, context);
    case "linear":
      return lowerLinear(node, op, context);
    case "channelStats":
      return [statsStep(node, x, output, context)];
    case "channelMean": {
      const { buffer, place } = knownStatistics(x, context, node);
      const { partials, pixels, tiles, first } = place;
      const batch = x.shape[0] ?? 1;
      return [
        step(
          channelMean,
          { dtype, batch, channels: channelsOf(x), partials, pixels, tiles, first },
          { stats: value({ id: buffer }), y: value(output) },
        ),
      ];
    }
    case "groupNormAffine":
      return context.pendingNorms.has(output.id) ? [] : [groupNormStep(node, context)];
    case "affine": {
      if (op.activation !== "none" && op.activation !== "silu") {
        throw new Error(`internal: affine with ${op.activation}`);
      }
      const activation = op.activation;
      const table = inputs.x[inputs.x.length - 1] as Value;
      let channelOffset = 0;
      return inputs.x.slice(0, -1).map((source) => {
        const channels = channelsOf(source);
        const made = step(
          affineActivation,
          {
            dtype,
            batch: source.shape[0] ?? 1,
            pixels: rowsOf(source) / (source.shape[0] ?? 1),
            channels,
            channelOffset,
            totalChannels: channelsOf(output),
            activation,
          },
          { x: value(source), affine: value(table), y: value(output) },
        );
        channelOffset += channels;
        return made;
      });
    }
    case "layerNorm":
      return [
        step(
          layerNorm,
          { dtype, rows: rowsOf(x), channels: channelsOf(x), eps: op.eps },
          { x: value(x), gamma: weight(op.gamma), beta: weight(op.beta), y: value(output) },
        ),
      ];
    case "attention": {
      const [k, v] = [second, third] as [Value, Value];
      const stride = (tokens: Value): number => paddedChannels(channelsOf(tokens));
      return [
        step(
          attention,
          {
            dtype,
            batch: x.shape[0] ?? 1,
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
          { q: value(x), k: value(k), v: value(v), y: value(output) },
        ),
      ];
    }
    case "elementwise":
      return [
        step(
          elementwise,
          {
            dtype,
            quads: rowsOf(x) * quadCount(channelsOf(x)),
            hasB: second !== undefined,
            scaleA: op.scaleA,
            scaleB: op.scaleB,
            activation: op.activation,
          },
          { a: value(x), ...(second && { b: value(second) }), y: value(output) },
        ),
      ];
    case "channelAdd":
      return [
        step(
          channelAdd,
          {
            dtype,
            batch: x.shape[0] ?? 1,
            pixels: rowsOf(x) / (x.shape[0] ?? 1),
            channels: channelsOf(x),
          },
          { x: value(x), channel_add: value(inputs.channelAdd as Value), y: value(output) },
        ),
      ];
    case "geglu":
      return [
        step(
          geglu,
          { dtype, rows: rowsOf(x), channels: channelsOf(output) },
          { x: value(x), y: value(output) },
        ),
      ];
    case "upsampleNearest": {
      const [batch = 1, inHeight = 1, inWidth = 1, channels = 1] = x.shape;
      const [, outHeight = 1, outWidth = 1] = output.shape;
      return [
        step(
          upsampleNearest,
          { dtype, batch, inHeight, inWidth, outHeight, outWidth, channels },
          { x: value(x), y: value(output) },
        ),
      ];
    }
    case "concat":
      return [
        step(
          concatChannels,
          { dtype, rows: rowsOf(x), channels: [channelsOf(x), channelsOf(second as Value)] },
          { a: value(x), b: value(second as Value), y: value(output) },
        ),
      ];
    case "sliceChannels":
      return [
        step(
          sliceChannels,
          {
            dtype,
            rows: rowsOf(x),
            channels: channelsOf(x),
            offset: op.offset,
            scale: op.scale,
            count: channelsOf(output),
            clamp: op.clamp,
          },
          { x: value(x), y: value(output) },
        ),
      ];
    case "tokenEmbeddings":
      return [
        step(
          tokenEmbeddings,
          { dtype, batch: x.shape[0] ?? 1, patches: x.shape[1] ?? 1, channels: channelsOf(x) },
          {
            patches: value(x),
            class_embedding: weight(op.classEmbedding),
            position: weight(op.position),
            y: value(output),
          },
        ),
      ];
    case "kernel":
      return [lowerForeign(node, op, context)];
    default:
      return op satisfies never;
  }
}
