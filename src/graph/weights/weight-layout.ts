/** How weights lie on the device: their bytes, and the place of each member in one that has several. */
import type { DType } from "../../gpu/dtype.ts";
import { paddedChannels, quadCount } from "../../gpu/shape.ts";
import {
  packedColumnQuads,
  packedWeightByteLength,
} from "../../kernels/contraction/pack-weight.ts";
import type { PackWeightProblem } from "../../kernels/contraction/pack-weight.ts";
import { packedIntegerByteLength } from "../../kernels/quantized/storage.ts";
import type { Weight } from "../ir/ir.ts";
import { weightMembers } from "../ir/ir.ts";

/** The fields of a packing problem that follow from the weight alone. */
export type MatrixLayout = Pick<
  PackWeightProblem,
  "outChannels" | "inChannels" | "taps" | "geglu" | "upsample" | "place"
>;

/** Whether a weight is packed for conv2d and linear, in the graph's dtype. All others are rows of f32. */
export function isMatrix({ layout }: Weight): boolean {
  return layout.endsWith("matrix");
}

/** A tensor of a matrix and how it is packed. */
export interface PackedMember {
  readonly tensor: Weight;
  readonly layout: MatrixLayout;
}

/** The tensors of a matrix, each with its place in the buffer. */
export function packedMembers(weight: Weight): readonly PackedMember[] {
  const columnQuads = quadCount(weight.shape[0] ?? 1);
  let firstQuad = 0;
  return weightMembers(weight).map((tensor) => {
    const [outChannels = 1, inChannels = 1, kernelHeight = 1, kernelWidth = 1] = tensor.shape;
    const taps = kernelHeight * kernelWidth;
    const place = weight.members ? { firstQuad, columnQuads } : null;
    // A block is four quads, one for each input channel. A stack goes on with the next columns of the same rows; a
    // shortcut begins behind all blocks of the rows before it.
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

function matrixByteLength(of: MatrixLayout, dtype: DType, storage: Weight["storage"]): number {
  const { outChannels, inChannels, taps, geglu } = of;
  if (storage === undefined) return packedWeightByteLength({ dtype, ...of });
  return packedIntegerByteLength(storage, packedColumnQuads(outChannels, geglu), inChannels, taps);
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
      return packedMembers(weight).reduce(
        (sum, { layout: of }) => sum + matrixByteLength(of, dtype, weight.storage),
        0,
      );
    case "geglu-vector":
      return packedColumnQuads(shape[0] ?? 1, true) * 16;
    case "stacked-vector":
      return weightMembers(weight).reduce(
        (sum, member) => sum + paddedChannels(member.shape[0] ?? 1) * 4,
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
