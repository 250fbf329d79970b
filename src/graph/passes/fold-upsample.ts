/**
 * Pass `fold-upsample`: a 3×3 convolution also does the nearest-neighbour doubling before it. It runs as four phases of
 * 2×2 taps on the small map (see `conv2d.ts`): 4/9 of the multiplications, and no doubled map. Only at exactly twice the
 * size: the up blocks of odd maps resize to 2n − 1, where the last row and column see other taps. Not with a weight of integers:
 * sums of its taps, whose scales differ, are no integers.
 */
import type { Graph } from "../ir/ir.ts";
import { fusePairs } from "./fuse-pairs.ts";

export function foldUpsample(graph: Graph): Graph {
  return fusePairs(graph, (producer, consumer) => {
    const { op } = consumer;
    if (producer.op.kind !== "upsampleNearest" || op.kind !== "conv2d" || op.upsample) return null;
    if (op.weight.storage !== undefined) return null;
    const [x] = producer.inputs.x;
    if (x === undefined || consumer.inputs.x.length !== 1) return null;
    const [, height = 0, width = 0] = x.shape;
    const [, outHeight, outWidth] = producer.output.shape;
    if (outHeight !== 2 * height || outWidth !== 2 * width) return null;
    if (op.stride !== 1 || op.kernelSize.some((size) => size !== 3)) return null;
    if (op.padding.some((side) => side !== 1)) return null;
    return {
      ...consumer,
      op: { ...op, upsample: true, weight: { ...op.weight, layout: "upsample-matrix" } },
      inputs: { ...consumer.inputs, x: [x] },
    };
  });
}
