/**
 * Pass `norm-on-load`, where GroupNorm is fused into a convolution: the convolutions and linear layers that read a
 * normalised map apply scale and shift, and the SiLU behind them, while they load it. It saves a dispatch and a map that
 * is written and read. It has a price: a convolution loads an element once for each tap and column tile, and repeats the
 * SiLU each time. Variants on patches do not pay it, as they load an element once for all taps.
 *
 * Scale and shift still come from the node `groupNormAffine`; `lowering/lower-group-norm.ts` lowers it.
 */
import type { Caps } from "../../gpu/caps.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { conv2d } from "../../kernels/contraction/conv2d.ts";
import { patchTile } from "../../kernels/contraction/tile-statistics.ts";
import { chooseVariant } from "../../kernels/variant-choice.ts";
import type { Graph, Node, NodeOf, Value } from "../ir/ir.ts";
import { channelsOf, idsOf, isNodeOf, nodeInputs, rowsOf } from "../ir/ir.ts";
import { conv2dProblem } from "./contraction-problem.ts";
import { acceptingReaders, useCounts } from "./fuse-pairs.ts";

type AffineNode = NodeOf<"affine">;
type Reader = NodeOf<"conv2d" | "linear">;

/**
 * Below this many pixels a convolution of the UNet is a few dozen workgroups that wait for weights: a dispatch
 * and its barrier cost more than repeated SiLUs.
 */
const SMALL_MAP_PIXELS = 32 * 32;
/** From here on memory decides: the map, the normalised map and the convolution's result are the peak together. */
const LARGE_MAP_BYTES = 96 * 1024 * 1024;

export function normOnLoad(graph: Graph, caps: Caps): Graph {
  const counts = useCounts(graph);
  const named = idsOf(graph.named);
  const absorbed = new Map<number, AffineNode>();
  for (const node of graph.nodes) {
    if (!isNodeOf(node, "affine") || named.has(node.output.id) || node.output.shape[0] !== 1)
      continue;
    const { id } = node.output;
    const readers = acceptingReaders(graph, counts, id, (reader) => canNormalise(reader, id));
    if (
      readers?.every(
        (reader) =>
          isNodeOf(reader, "conv2d", "linear") && isFasterOnLoad(node, reader, graph, caps),
      )
    )
      absorbed.set(id, node);
  }
  if (absorbed.size === 0) return graph;
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (absorbed.has(node.output.id)) return [];
    const norm = absorbed.get(node.inputs.x[0]?.id ?? -1);
    return [norm && isNodeOf(node, "conv2d", "linear") ? normalising(node, norm) : node];
  });
  return { ...graph, nodes };
}

function normalising(reader: Reader, { op, inputs }: AffineNode): Node {
  const [read] = reader.inputs.x as readonly [Value];
  const sources = inputs.x.slice(0, -1);
  // The reader may see pixels as tokens.
  const x = sources.map((source): Value => ({
    id: source.id,
    shape: [...read.shape.slice(0, -1), channelsOf(source)],
  }));
  return {
    ...reader,
    op: { ...reader.op, inputActivation: op.activation === "silu" ? "silu" : "none" },
    inputs: { ...reader.inputs, x, norm: inputs.x[inputs.x.length - 1] as Value },
  };
}

/** Whether `reader` reads the value once, as its only main input, with nothing applied to it yet. */
function canNormalise(reader: Node, id: number): boolean {
  if (!isNodeOf(reader, "conv2d", "linear") || reader.inputs.norm) return false;
  return reader.inputs.x.length === 1 && nodeInputs(reader).filter((x) => x.id === id).length === 1;
}

function isFasterOnLoad(norm: AffineNode, reader: Reader, graph: Graph, caps: Caps): boolean {
  // On a software adapter arithmetic is dear and a dispatch costs nearly nothing.
  if (caps.isSoftware) return false;
  if (reader.op.kind === "linear") return norm.op.activation === "none";
  const { output } = norm;
  const bytes = rowsOf(output) * channelsOf(output) * dtypeByteLength(graph.dtype);
  if (rowsOf(output) <= SMALL_MAP_PIXELS || bytes >= LARGE_MAP_BYTES) return true;
  return runsAsPatch(normalising(reader, norm), graph, caps);
}

function runsAsPatch(node: Node, { dtype }: Graph, caps: Caps): boolean {
  const { op } = node;
  if (op.kind !== "conv2d") return false;
  return patchTile(chooseVariant(conv2d, conv2dProblem(node, op, dtype), caps).variant) !== null;
}
