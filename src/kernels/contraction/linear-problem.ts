/** What linear is asked for: its problem, its operands, and what is refused. See `linear.ts`. */
import type { DType } from "../../gpu/dtype.ts";
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { reads, writes } from "../kernel.ts";
import type { Epilogue } from "./epilogue.ts";
import { checkBindings, checkEpilogue, withEpilogue } from "./epilogue.ts";
import type { InputNorm } from "./input-norm.ts";
import { checkInputNorm, inputNormOperands } from "./input-norm.ts";
import type { LayerNormOnLoad } from "./layer-norm-on-load.ts";
import { checkLayerNormOnLoad, layerNormOperands } from "./layer-norm-on-load.ts";
import type { MergedNorm } from "./merged-norm.ts";
import { checkMergedNorm } from "./merged-norm.ts";
import type { TiledRows } from "./tile-statistics.ts";
import { statisticsOperands } from "./tile-statistics.ts";

/** Operands `x0` (and `x1`), `weight`, `bias`, `y`, and those of epilogue and norm. */
export interface LinearProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Pixels or tokens. */
  readonly rows: number;
  /** One entry a source; with two, the first must be a multiple of 4. */
  readonly inChannels: readonly number[];
  /** Rows of the weight; with GEGLU twice the stored columns. */
  readonly outChannels: number;
  /** Rows that share one `channel_add` row (pixels of an image). */
  readonly rowsPerImage: number;
  /** What is done to x while it is loaded. */
  readonly inputNorm: InputNorm;
  /** Where that is a GroupNorm whose statistics are merged on load, in variants `tiled` and `matrix`. */
  readonly mergedNorm: MergedNorm | null;
  /** LayerNorm of x while it is loaded, variants `tiled` and `matrix` only; excludes `inputNorm`. */
  readonly layerNorm: LayerNormOnLoad | null;
  /** What happens to each sum before it is stored. */
  readonly epilogue: Epilogue;
}

/** Stored columns. */
export function linearOutChannels(p: Pick<LinearProblem, "outChannels" | "epilogue">): number {
  return p.epilogue.geglu ? p.outChannels / 2 : p.outChannels;
}

/** Throws `ShapeError` for what cannot be computed. */
export function checkLinear(p: LinearProblem): void {
  if (!isShape([p.rows, p.outChannels, p.rowsPerImage, ...p.inChannels])) {
    throw new ShapeError(
      `linear: sizes must be integers ≥ 1, got rows ${p.rows}, in [${p.inChannels.join(" + ")}], ` +
        `out ${p.outChannels}, rowsPerImage ${p.rowsPerImage}`,
    );
  }
  if (p.inChannels.length < 1 || p.inChannels.length > 2) {
    throw new ShapeError(`linear: takes one or two sources, got ${p.inChannels.length}`);
  }
  if (p.inChannels.length === 2 && (p.inChannels[0] as number) % 4 !== 0) {
    throw new ShapeError(
      `linear: the first of two sources must have a multiple of 4 channels, got ${p.inChannels[0]}. Concatenate by copy`,
    );
  }
  if (p.layerNorm) {
    checkLayerNormOnLoad(p.layerNorm, p.inChannels);
    if (p.inputNorm !== "none") throw new ShapeError("linear: layerNorm excludes inputNorm");
  }
  checkEpilogue("linear", p.epilogue, p.outChannels);
  checkBindings("linear", linearInterface(p).operands);
  checkInputNorm("linear", p.inputNorm, Math.ceil(p.rows / p.rowsPerImage));
  checkMergedNorm("linear", p.mergedNorm, p.inputNorm, p.inChannels);
  if (p.epilogue.geglu) {
    const { channelAdd, residual, activation, statistics } = p.epilogue;
    if (channelAdd || residual || activation !== "none" || statistics !== "none") {
      throw new ShapeError(
        "linear: GEGLU excludes channelAdd, residual, activation and statistics",
      );
    }
    if (p.outChannels % 2 !== 0) {
      throw new ShapeError(`linear: GEGLU needs an even number of columns, got ${p.outChannels}`);
    }
  }
}

/** The rows of the output as the tiles cut them. */
export function linearTiledRows({ rows, rowsPerImage }: LinearProblem): TiledRows {
  return { rows, images: Math.ceil(rows / rowsPerImage), phases: 1, width: null };
}

/** Operands in binding order, and what of them the epilogue declares. */
export function linearInterface(p: LinearProblem): ReturnType<typeof withEpilogue> {
  return withEpilogue(
    p.epilogue,
    false,
    [
      ...p.inChannels.map((_, source) => reads(`x${source}`)),
      reads("weight"),
      reads("bias", "vec4<f32>"),
    ],
    [
      ...inputNormOperands(p.inputNorm),
      ...layerNormOperands(p.layerNorm),
      writes("y"),
      ...statisticsOperands(p.epilogue.statistics, p.mergedNorm !== null),
    ],
  );
}
