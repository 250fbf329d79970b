/** The problem of `conv2d.ts`: its fields, the sizes that follow from them, its operands, and its check. */
import type { DType } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import type { WeightShape } from "../quantized/integer-loads.ts";
import { integerByteLength } from "../quantized/integer-loads.ts";
import type { WeightStorage } from "../quantized/storage.ts";
import type { Epilogue } from "./epilogue.ts";
import { checkEpilogue, contractionOperands } from "./epilogue.ts";
import type { InputNorm } from "./loads.ts";
import { checkLoads } from "./loads.ts";
import type { MergedNorm } from "./merged-norm.ts";
import { packedWeightByteLength } from "./pack-weight.ts";
import type { TiledRows } from "./tile-statistics.ts";

/** Operands `x0` (and `x1`), `weight`, `bias`, `y`, and those of epilogue, shortcut and norm. */
export interface Conv2dProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Rows of the input map. */
  readonly inHeight: number;
  /** Columns of the input map. */
  readonly inWidth: number;
  /** One entry a source; with two, the first must be a multiple of 4. */
  readonly inChannels: readonly number[];
  /** Channels of the output. */
  readonly outChannels: number;
  /** Size of the window in pixels. */
  readonly kernelSize: readonly [height: number, width: number];
  /** Pixels between the windows of neighbouring outputs. */
  readonly stride: number;
  /** Zero rows and columns added: `[top, bottom, left, right]`. */
  readonly padding: readonly [number, number, number, number];
  /** Doubles the map by nearest neighbour first. Takes 3×3, stride 1, padding 1 and a weight packed for it. */
  readonly upsample: boolean;
  /** Channels of the shortcut's one or two sources, operands `shortcut0`, `shortcut1`; empty without one. */
  readonly shortcutChannels: readonly number[];
  /** What is done to x, but not to the shortcut, while it is loaded. */
  readonly inputNorm: InputNorm;
  /** Where that is a GroupNorm whose statistics are merged on load, in variants `tiled`, `matrix` and `patch…`. */
  readonly mergedNorm: MergedNorm | null;
  /** How the weight is stored. Integers exclude `upsample`. */
  readonly weightStorage: WeightStorage;
  /** What happens to each sum before it is stored. */
  readonly epilogue: Epilogue;
}

/** `[height, width]` of the output. */
export function conv2dOutputSize(
  p: Pick<Conv2dProblem, "inHeight" | "inWidth" | "kernelSize" | "stride" | "padding" | "upsample">,
): readonly [number, number] {
  const [top, bottom, left, right] = p.padding;
  const scale = p.upsample ? 2 : 1;
  return [
    Math.floor((scale * p.inHeight + top + bottom - p.kernelSize[0]) / p.stride) + 1,
    Math.floor((scale * p.inWidth + left + right - p.kernelSize[1]) / p.stride) + 1,
  ];
}

/** `[height, width]` of the output of one phase. */
export function gridSize(p: Conv2dProblem): readonly [number, number] {
  const [height, width] = conv2dOutputSize(p);
  return p.upsample ? [height / 2, width / 2] : [height, width];
}

/** The window that is slid over the stored map. */
export function effectiveKernel(p: Conv2dProblem): Conv2dProblem["kernelSize"] {
  return p.upsample ? [2, 2] : p.kernelSize;
}

/** Throws `ShapeError` for what cannot be computed. */
export function checkConv2d(p: Conv2dProblem): void {
  const sizes = [
    p.batch,
    p.inHeight,
    p.inWidth,
    p.outChannels,
    p.stride,
    ...p.inChannels,
    ...p.shortcutChannels,
    ...p.kernelSize,
  ];
  if (!isShape(sizes)) {
    throw new ShapeError(
      `conv2d: sizes must be integers ≥ 1, got input [${p.batch}, ${p.inHeight}, ${p.inWidth}, ` +
        `${p.inChannels.join(" + ")}], weight [${p.outChannels}, …, ${p.kernelSize.join(", ")}], stride ${p.stride}`,
    );
  }
  if (!p.padding.every((pad) => Number.isInteger(pad) && pad >= 0)) {
    throw new ShapeError(`conv2d: padding must be integers ≥ 0, got [${p.padding.join(", ")}]`);
  }
  checkLoads("conv2d", p, p.batch);
  if (p.upsample && p.weightStorage !== "float") {
    throw new ShapeError(
      `conv2d: a weight that is folded with upsampling must be floats, got ${p.weightStorage}. Double the map before`,
    );
  }
  if (
    p.upsample &&
    (p.stride !== 1 || p.kernelSize.some((k) => k !== 3) || p.padding.some((k) => k !== 1))
  ) {
    throw new ShapeError(
      `conv2d: after upsampling the kernel must be 3×3 with stride 1 and padding 1, got ` +
        `[${p.kernelSize.join(", ")}], stride ${p.stride}, padding [${p.padding.join(", ")}]`,
    );
  }
  checkEpilogue("conv2d", p.epilogue, p.outChannels, conv2dInterface(p).operands);
  if (p.epilogue.geglu) throw new ShapeError("conv2d: GEGLU belongs to linear");
  if (p.epilogue.statistics === "rows") {
    throw new ShapeError("conv2d: statistics of rows belong to linear");
  }
  const [height, width] = conv2dOutputSize(p);
  if (p.shortcutChannels.length > 0) checkShortcut(p, height, width);
  if (height < 1 || width < 1) {
    throw new ShapeError(
      `conv2d: the kernel [${p.kernelSize.join(", ")}] must fit the padded input, got ` +
        `[${p.inHeight}, ${p.inWidth}] with padding [${p.padding.join(", ")}]`,
    );
  }
}

/** The weight of a problem without `upsample`. */
export const conv2dWeight = (p: Conv2dProblem): WeightShape => ({
  ...p,
  taps: p.kernelSize[0] * p.kernelSize[1],
  columnQuads: quadCount(p.outChannels),
});

/** Bytes of the packed weight. */
export function conv2dWeightByteLength(p: Conv2dProblem): number {
  const { dtype, outChannels, weightStorage, upsample } = p;
  const shape = conv2dWeight(p);
  if (weightStorage !== "float") return integerByteLength(weightStorage, shape);
  const bytes = (channels: readonly number[], taps: number, isFolded: boolean): number => {
    const inChannels = channels.reduce((sum, count) => sum + count, 0);
    const layout = { dtype, outChannels, inChannels, taps, geglu: false, upsample: isFolded };
    return packedWeightByteLength(layout);
  };
  const shortcut = p.shortcutChannels.length > 0 ? bytes(p.shortcutChannels, 1, false) : 0;
  return bytes(p.inChannels, shape.taps, upsample) + shortcut;
}

/** Operands in binding order, and which of them are the epilogue's. */
export const conv2dInterface = (p: Conv2dProblem): ReturnType<typeof contractionOperands> =>
  contractionOperands(p, p.shortcutChannels.length, []);

/** The rows of the output as the tiles cut them. */
export function conv2dTiledRows(p: Conv2dProblem): TiledRows {
  const [height, width] = gridSize(p);
  const phases = p.upsample ? 4 : 1;
  return { rows: phases * height * width, images: p.batch, phases, width };
}

/** The pixels of the shortcut are those of the output, and it takes the place of the residual. */
function checkShortcut(p: Conv2dProblem, outHeight: number, outWidth: number): void {
  const { shortcutChannels, epilogue } = p;
  if (
    shortcutChannels.length > 2 ||
    (shortcutChannels[1] && (shortcutChannels[0] ?? 0) % 4 !== 0)
  ) {
    throw new ShapeError(
      `conv2d: a shortcut takes one or two sources, the first of two a multiple of 4 channels, got ${shortcutChannels.join(" + ")}`,
    );
  }
  if (p.upsample || epilogue.residual || epilogue.activation !== "none") {
    throw new ShapeError("conv2d: a shortcut excludes upsampling, residual and activation");
  }
  if (outHeight !== p.inHeight || outWidth !== p.inWidth) {
    throw new ShapeError(
      `conv2d: a shortcut needs an output as large as the input, got [${outHeight}, ${outWidth}] and [${p.inHeight}, ${p.inWidth}]`,
    );
  }
}
