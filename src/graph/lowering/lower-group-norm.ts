/**
 * Lowering of `groupNormAffine`, the second node of a GroupNorm: scale and shift of every channel from the statistics.
 * It has a step of its own, except where conv2d and linear are all that read it, and their variants can merge the
 * statistics themselves while they load (`kernels/contraction/merged-norm.ts`).
 */
import type { MergedNorm } from "../../kernels/contraction/merged-norm.ts";
import { mergedNormRefusal } from "../../kernels/contraction/merged-norm.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import {
  groupNormAffine,
  groupNormAffineByteLength,
} from "../../kernels/norm/group-norm-affine.ts";
import type { GroupNormSources } from "../../kernels/norm/group-sums.ts";
import type { Graph, Node, NodeOf, Value } from "../ir/ir.ts";
import { channelsOf, idsOf, isNodeOf, nodeInputs } from "../ir/ir.ts";
import { knownStatistics } from "./lower-statistics.ts";
import type { Draft, LowerContext, Step } from "./step.ts";
import { makeStep, value, variantAlsoSupporting, weight } from "./step.ts";

/** GroupNorms that conv2d and linear apply on load, and nothing else reads, by the id of their scale and shift. */
export function mergeableNorms({ nodes, outputs, named }: Graph): LowerContext["pendingNorms"] {
  const norms: LowerContext["pendingNorms"] = new Map();
  for (const node of nodes) if (isNodeOf(node, "groupNormAffine")) norms.set(node.output.id, node);
  for (const node of nodes)
    for (const { id } of nodeInputs(node)) if (id !== node.inputs.norm?.id) norms.delete(id);
  for (const id of idsOf(outputs, named)) norms.delete(id);
  return norms;
}

/** The step that makes scale and shift. */
export function groupNormStep(
  node: Node,
  op: NodeOf<"groupNormAffine">["op"],
  context: LowerContext,
): Step {
  const { inputs, output } = node;
  const batch = output.shape[0] ?? 1;
  context.byteLengths.set(output.id, groupNormAffineByteLength(batch, channelsOf(output)));
  const places = inputs.x.map((stats) => knownStatistics(stats, context, node));
  const sources = places.map(({ place }, i) => ({
    channels: channelsOf(inputs.x[i] as Value),
    ...place,
  })) as unknown as GroupNormSources;
  return makeStep(
    node,
    context,
    groupNormAffine,
    { batch, sources, numGroups: op.numGroups, eps: op.eps, isStacked: op.stacked !== null },
    {
      ...Object.fromEntries(places.map(({ buffer }, i) => [`stats${i}`, value({ id: buffer })])),
      gamma: weight(op.stacked ?? op.gamma),
      beta: weight(op.stacked ?? op.beta),
      affine: value(output),
    },
  );
}

/** A draft whose kernel merges the norm of its input on load. Or as it is, behind the step that makes scale and shift. */
export function withMergedNorm<
  P extends { readonly mergedNorm: MergedNorm | null; readonly inChannels: readonly number[] },
  V extends string,
>(node: Node, context: LowerContext, kernel: Kernel<P, V>, draft: Draft<P>): Draft<P> {
  const { problem, operands, steps } = draft;
  const { pendingNorms, epilogueStatistics } = context;
  const norm = pendingNorms.get(node.inputs.norm?.id ?? -1);
  if (norm === undefined) return draft;
  const { stacked, numGroups, eps } = norm.op;
  const places = norm.inputs.x.map((stats) => knownStatistics(stats, context, norm));
  const mergedNorm = { statistics: places.map(({ place }) => place), numGroups, eps };
  const merged: P = { ...problem, mergedNorm };
  if (
    stacked !== null &&
    places.every(({ buffer }) => buffer === epilogueStatistics.id) &&
    mergedNormRefusal(mergedNorm, problem.inChannels) === null &&
    variantAlsoSupporting(kernel, problem, merged, context) !== null
  ) {
    const both = { norm: weight(stacked), stats: value(epilogueStatistics) };
    return { problem: merged, operands: { ...operands, ...both }, steps };
  }
  pendingNorms.delete(norm.output.id);
  return { problem, operands, steps: [...steps, groupNormStep(norm, norm.op, context)] };
}
