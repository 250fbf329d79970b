import type { MergedNorm } from "../../kernels/contraction/merged-norm.ts";
import { mergedNormRefusal } from "../../kernels/contraction/merged-norm.ts";
import type { Kernel } from "../../kernels/kernel.ts";
/**
 * Lowering of GroupNorm's second step: scale and shift of every channel. No step at all where all that read them are tiles of
 * conv2d or linear that merge the statistics themselves (`kernels/contraction/merged-norm.ts`).
 */
import {
  groupNormAffine,
  groupNormAffineByteLength,
} from "../../kernels/norm/group-norm-affine.ts";
import type { GroupNormSources } from "../../kernels/norm/group-sums.ts";
import type { Graph, Node, Value } from "../ir/ir.ts";
import { channelsOf, nodeInputs } from "../ir/ir.ts";
import { knownStatistics } from "./lower-statistics.ts";
import type { LowerContext, Step } from "./step.ts";
import { variantAlsoSupporting, makeStep, value, weight } from "./step.ts";

/** GroupNorms that conv2d and linear apply on load, and nothing else reads. */
export function mergeableNorms({ nodes, outputs, named }: Graph): Map<number, Node> {
  const norms = new Map<number, Node>();
  for (const node of nodes) if (node.op.kind === "groupNormAffine") norms.set(node.output.id, node);
  for (const node of nodes)
    for (const { id } of nodeInputs(node)) if (id !== node.inputs.norm?.id) norms.delete(id);
  for (const { id } of [...outputs.values(), ...named.values()]) norms.delete(id);
  return norms;
}

/** The step that makes scale and shift. */
export function groupNormStep(node: Node, context: LowerContext): Step {
  const { op, inputs, output } = node;
  if (op.kind !== "groupNormAffine") throw new Error(`internal: no GroupNorm at ${node.path}`);
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

/** A problem whose norm is merged on load; or as it is, behind the step that makes scale and shift if there is none yet. */
export function withMergedNorm<
  P extends { readonly mergedNorm: MergedNorm | null; readonly inChannels: readonly number[] },
  V extends string,
>(
  node: Node,
  context: LowerContext,
  kernel: Kernel<P, V>,
  problem: P,
  operands: Step["operands"],
): { readonly problem: P; readonly operands: Step["operands"]; readonly steps: readonly Step[] } {
  const { pendingNorms, epilogueStatistics } = context;
  const norm = pendingNorms.get(node.inputs.norm?.id ?? -1);
  if (norm?.op.kind !== "groupNormAffine") return { problem, operands, steps: [] };
  const { stacked, numGroups, eps } = norm.op;
  const places = norm.inputs.x.map((stats) => knownStatistics(stats, context, norm));
  const statistics = places.map(({ place }) => place);
  const mergedNorm = { statistics, numGroups, eps };
  const merged: P = { ...problem, mergedNorm };
  if (
    stacked !== null &&
    places.every(({ buffer }) => buffer === epilogueStatistics.id) &&
    mergedNormRefusal(mergedNorm, problem.inChannels) === null &&
    variantAlsoSupporting(kernel, problem, merged, context) !== null
  ) {
    const both = { norm: weight(stacked), stats: value(epilogueStatistics) };
    return { problem: merged, operands: { ...operands, ...both }, steps: [] };
  }
  pendingNorms.delete(norm.output.id);
  return { problem, operands, steps: [groupNormStep(norm, context)] };
}
