/** How weights lie on the device: bytes, and where the tensors of one that has several go. */
import type { DType } from "../../gpu/dtype.ts";
import { paddedChannels, quadCount } from "../../gpu/shape.ts";
import {
  packedColumnQuads,
  packedWeightByteLength,
} from "../../kernels/contraction/pack-weight.ts";
import type { PackWeightProblem } from "../../kernels/contraction/pack-weight.ts";
import type { Weight } from "../ir/ir.ts";
import { weightParts } from "../ir/ir.ts";

/** What of a packing problem follows from the weight alone. */
export type MatrixLayout = Pick<
  PackWeightProblem,
  "outChannels" | "inChannels" | "taps" | "geglu" | "upsample" | "place"
>;

/** A tensor of a matrix and how it is packed. */
export interface PackedPart {
  readonly tensor: Weight;
  readonly layout: MatrixLayout;
}

/** The tensors of a matrix, each with its place in the buffer. */
export function packedParts(weight: Weight): readonly PackedPart[] {
  const columnQuads = quadCount(weight.shape[0] ?? 1);
  let firstQuad = 0;
  return weightParts(weight).map((tensor) => {
    const [outChannels = 1, inChannels = 1, kernelHeight = 1, kernelWidth = 1] = tensor.shape;
    const taps = kernelHeight * kernelWidth;
    const place = weight.parts ? { firstQuad, columnQuads } : null;
    // Blocks are four quads, one for each input channel: the next columns, or all blocks of the next rows.
    if (weight.layout === "stacked-matrix") firstQuad += 4 * quadCount(outChannels);
    else firstQuad += 4 * taps * quadCount(inChannels) * columnQuads;
    return {
      tensor,
      layout: {
        outChannels,
        inChannels,
        taps,
        geglu: weight.layout === "geglu-matrix",
        upsample: weight.layout === "upsample-matrix",
        place,
      },
    };
  });
}

/** Bytes of a weight as `DeviceWeights` stores it, with matrices in `dtype`. */
export function weightByteLength(weight: Weight, dtype: DType): number {
  const { layout, shape } = weight;
  switch (layout) {
    case "matrix":
    case "geglu-matrix":
    case "upsample-matrix":
    case "stacked-matrix":
    case "shortcut-matrix":
      return packedParts(weight).reduce(
        (sum, part) => sum + packedWeightByteLength({ dtype, ...part.layout }),
        0,
      );
    case "geglu-vector":
      return packedColumnQuads(shape[0] ?? 1, true) * 16;
    case "stacked-vector":
      return weightParts(weight).reduce(
        (sum, part) => sum + paddedChannels(part.shape[0] ?? 1) * 4,
        0,
      );
    case "vector":
    case "summed-vector":
    case "table": {
      const channels = shape[shape.length - 1] ?? 1;
      const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
      return rows * paddedChannels(channels) * 4;
    }
    default:
      return layout satisfies never;
  }
}
