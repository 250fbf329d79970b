/**
 * 2-D convolution (cross-correlation, zero padding) with a packed weight:
 *
 *   y[n, oy, ox, o] = epilogue(Σ_{ky,kx,i} x[n, oy·s + ky − top, ox·s + kx − left, i] · W[o, i, ky, kx])
 *
 * x: NHWC, or two sources with concatenated channels. W: `packWeight` layout, taps = (ky, kx) row-major.
 * y: NHWC. f32 accumulators over all taps and channels.
 *
 * Variants as in `linear.ts`: `naive`; `register-PxQ` with P neighbouring pixels of a row and Q column
 * quads per invocation, reusing a loaded row segment for all kx; `tiled` implicit GEMM in workgroup memory;
 * `matrix` the same by matrix units; `tiled-split`, `matrix-split` with K in slices, where the tiles are too few; `patch`
 * implicit GEMM over a patch of the input that is staged once for all taps (`conv2d-patch.ts`), for stride 1: for 3×3 of
 * large maps on GPUs.
 * A 1×1 convolution with stride 1 and no padding is a `linear` over pixels; the graph lowers it so.
 *
 * `upsample`: a 3×3 convolution of the map doubled by nearest neighbour, without the doubled map. Output row
 * 2i sees input rows i − 1, i, i and row 2i + 1 sees i, i, i + 1, columns alike; so the outputs of each of the
 * four phases (row parity, column parity) are a 2×2 convolution of the small map, with taps that are sums of
 * the 3×3 ones (`packWeight`). Phases are the grid's z axis; borders agree, as a pixel outside is zero in both.
 *
 * `shortcutChannels`: adds a 1×1 convolution of another map, of the output's size, to the sum before it is
 * finished; its rows of the weight follow those of the last tap. The shortcut of a resnet, without a store.
 *
 * `inputNorm`: GroupNorm's scale, shift and SiLU while x is loaded (`input-norm.ts`); the statistics of the next norm
 * are the epilogue's (`tile-statistics.ts`).
 */
import type { Caps } from "../gpu/caps.ts";
import type { DType } from "../gpu/dtype.ts";
import { dtypeByteLength } from "../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../gpu/shape.ts";
import type { TileBody } from "../gpu/tile-body.ts";
import type { Param } from "../gpu/wgsl.ts";
import { foldWorkgroups } from "../gpu/wgsl.ts";
import type { Epilogue } from "./epilogue.ts";
import {
  MAX_BINDINGS,
  checkBindings,
  checkEpilogue,
  epilogueParams,
  epilogueWgsl,
  withEpilogue,
} from "./epilogue.ts";
import { PATCH_TILE, patchConv2dWgsl, patchGroups, patchStorageBytes } from "./conv2d-patch.ts";
import { conv2dLoadsWgsl, gatheringConv2dWgsl, registerConv2dWgsl } from "./conv2d-wgsl.ts";
import { REGISTER_WORKGROUP } from "./gemm-register.ts";
import type { SplitShape } from "./gemm-split.ts";
import { splitPlan, splitRefusal } from "./gemm-split.ts";
import { matrixTileRefusal, tileBody } from "./gemm-matrix.ts";
import { TILE_COLUMNS, TILE_ROWS, tileSteps } from "./gemm-tiled.ts";
import type { InputNorm } from "./input-norm.ts";
import { checkInputNorm, inputNormOperands } from "./input-norm.ts";
import type { Cost, Dispatch, Kernel, KernelPlan } from "./kernel.ts";
import { dispatch, i32, reads, sizeClass, u32, writes } from "./kernel.ts";
import { packedWeightByteLength } from "./pack-weight.ts";
import type { TiledRows } from "./tile-statistics.ts";
import {
  NO_BINDING_FOR_STATISTICS,
  statisticsOperands,
  statisticsRefusal,
  tileStatisticsByteLength,
} from "./tile-statistics.ts";

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
  /** What happens to each sum before it is stored. */
  readonly epilogue: Epilogue;
}

export type Conv2dVariant =
  | "naive"
  | "register-8x1"
  | "register-8x2"
  | "tiled"
  | "tiled-split"
  | "matrix"
  | "matrix-split"
  | "patch";

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
function gridSize(p: Conv2dProblem): readonly [number, number] {
  const [height, width] = conv2dOutputSize(p);
  return p.upsample ? [height / 2, width / 2] : [height, width];
}

/** The window that is slid over the stored map. */
function effectiveKernel(p: Conv2dProblem): Conv2dProblem["kernelSize"] {
  return p.upsample ? [2, 2] : p.kernelSize;
}

function check(p: Conv2dProblem): void {
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
  if (p.inChannels.length < 1 || p.inChannels.length > 2) {
    throw new ShapeError(`conv2d: takes one or two sources, got ${p.inChannels.length}`);
  }
  if (p.inChannels.length === 2 && (p.inChannels[0] as number) % 4 !== 0) {
    throw new ShapeError(
      `conv2d: the first of two sources must have a multiple of 4 channels, got ${p.inChannels[0]}. Concatenate by copy`,
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
  checkInputNorm("conv2d", p.inputNorm, p.batch);
  checkEpilogue("conv2d", p.epilogue, p.outChannels);
  checkBindings("conv2d", interfaceOf(p).operands);
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

/** Operands in binding order, and what of them the epilogue declares. */
function interfaceOf(p: Conv2dProblem): ReturnType<typeof withEpilogue> {
  return withEpilogue(
    p.epilogue,
    p.shortcutChannels.length > 0,
    [
      ...p.inChannels.map((_, source) => reads(`x${source}`)),
      reads("weight"),
      reads("bias", "vec4<f32>"),
    ],
    [
      ...p.shortcutChannels.map((_, source) => reads(`shortcut${source}`)),
      ...inputNormOperands(p.inputNorm),
      writes("y"),
      ...statisticsOperands(p.epilogue.statistics),
    ],
  );
}

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

/**
 * From so many patches on `patch` is expected to be faster: half the cores of a large GPU. With fewer, the tiles of
 * `tiled`, twice as many, occupy more of them. A prediction (bench/NOTES.md), for `rcod tune` to correct.
 */
const LEAST_PATCHES = 66;

function select(p: Conv2dProblem, caps: Caps): Conv2dVariant {
  if (!caps.isSoftware) {
    if (matrixTileRefusal(p.dtype, caps) === null) return "matrix";
    return suitsPatch(p) ? "patch" : "tiled";
  }
  return quadCount(p.outChannels) === 1 ? "register-8x1" : "register-8x2";
}

/** Patches hang over the border; at least this much of them must lie in the map, of 1.5 times the rate. */
const LEAST_WITHIN = 0.75;

/** Whether 3×3 taps share a patch, and patches are many and mostly within the map. */
function suitsPatch(p: Conv2dProblem): boolean {
  if (p.stride !== 1 || p.kernelSize.some((size) => size !== 3)) return false;
  const columns = quadCount(p.outChannels);
  const [height, width] = gridSize(p);
  const phases = p.batch * (p.upsample ? 4 : 1);
  const within = (height * width) / (patchGroups(height, width, 1) * PATCH_TILE[0] * PATCH_TILE[1]);
  return within >= LEAST_WITHIN && phases * patchGroups(height, width, columns) >= LEAST_PATCHES;
}

function refusal(p: Conv2dProblem, caps: Caps, variant: Conv2dVariant): string | null {
  const isMatrix = variant === "matrix" || variant === "matrix-split";
  const missing = isMatrix ? matrixTileRefusal(p.dtype, caps) : null;
  if (missing !== null) return missing;
  if (p.epilogue.statistics !== "none") {
    const reason = statisticsRefusal(variant, conv2dTiledRows(p));
    if (reason !== null) return reason;
    if (interfaceOf(p).operands.length > MAX_BINDINGS) return NO_BINDING_FOR_STATISTICS;
  }
  if (variant === "tiled-split" || variant === "matrix-split") {
    return splitRefusal(variant, splitShape(p, tileBody(variant, caps, false)));
  }
  if (variant !== "patch") return null;
  if (p.stride !== 1) return `patch is for stride 1, got ${p.stride}`;
  const [bytes, most] = [
    patchStorageBytes(effectiveKernel(p)),
    caps.limits.maxComputeWorkgroupStorageSize,
  ];
  return bytes <= most ? null : `patch needs ${bytes} bytes of workgroup storage, got ${most}`;
}

function splitShape(p: Conv2dProblem, body: TileBody): SplitShape {
  const [outHeight, outWidth] = conv2dOutputSize(p);
  const phases = p.upsample ? 4 : 1;
  const [kernelHeight, kernelWidth] = effectiveKernel(p);
  // Two sources are one K axis, each padded to quads.
  const stepsOf = (sources: readonly number[]): number =>
    tileSteps(
      sources.reduce((sum, channels) => sum + 4 * quadCount(channels), 0),
      body,
    );
  return {
    rows: (p.batch * outHeight * outWidth) / phases,
    columnQuads: quadCount(p.outChannels),
    phases,
    steps: kernelHeight * kernelWidth * stepsOf(p.inChannels) + stepsOf(p.shortcutChannels),
    stepChannels: 4 * body.kQuads,
  };
}

function plan(p: Conv2dProblem, caps: Caps, variant: Conv2dVariant = select(p, caps)): KernelPlan {
  check(p);
  const reason = refusal(p, caps, variant);
  if (reason !== null) throw new ShapeError(`conv2d: ${reason}`);
  const [outHeight, outWidth] = conv2dOutputSize(p);
  const [first = 1, second = 0] = p.inChannels;
  const [shortcut0 = 0, shortcut1 = 0] = p.shortcutChannels;
  const shortcut = p.shortcutChannels.length > 0;
  const step = p.upsample ? 2 : 1;
  const [gridHeight, gridWidth] = gridSize(p);
  const kernelSize = effectiveKernel(p);
  const rows = p.batch * gridHeight * gridWidth;
  const columns = quadCount(p.outChannels);
  const params: Param[] = [
    u32("rows", rows),
    u32("in_quads0", quadCount(first)),
    u32("in_quads1", quadCount(second)),
    u32("shortcut_quads0", quadCount(shortcut0)),
    u32("shortcut_quads1", quadCount(shortcut1)),
    u32("column_quads", columns),
    u32("out_quads", columns),
    u32("rows_per_image", outHeight * outWidth),
    u32("batch", p.batch),
    u32("taps", kernelSize[0] * kernelSize[1]),
    u32("kernel_width", kernelSize[1]),
    i32("in_height", p.inHeight),
    i32("in_width", p.inWidth),
    u32("grid_height", gridHeight),
    u32("grid_width", gridWidth),
    u32("step", step),
    i32("stride", p.stride),
    i32("pad_top", p.padding[0]),
    i32("pad_left", p.padding[2]),
    ...epilogueParams(p.epilogue, p.outChannels),
  ];
  const { operands, shape } = interfaceOf(p);
  const header = { caps, dtype: p.dtype, operands, params };
  const loads = conv2dLoadsWgsl(p.inChannels.length, p.shortcutChannels.length, p.inputNorm);
  const finish = epilogueWgsl(p.epilogue, shape);
  const label = `conv2d/${variant} ${p.kernelSize.join("x")}${p.stride > 1 ? ` s${p.stride}` : ""}${p.upsample ? " up" : ""}${shortcut ? " + 1x1" : ""}${p.inputNorm === "none" ? "" : " norm"}${p.epilogue.statistics === "none" ? "" : " stats"}`;
  const one = (
    main: string,
    [x, y]: Dispatch["workgroups"],
    directives: readonly string[] = [],
  ): KernelPlan => ({
    variant,
    scratch: [],
    dispatches: [
      dispatch(label, { ...header, directives }, loads + finish + main, [x, y, step * step]),
    ],
  });
  const body = tileBody(variant, caps, p.inputNorm !== "none");
  switch (variant) {
    case "naive":
      return one(
        gatheringConv2dWgsl(null, shortcut, p.epilogue.statistics),
        foldWorkgroups(Math.ceil((rows * columns) / REGISTER_WORKGROUP)),
      );
    case "register-8x1":
    case "register-8x2": {
      const [pixels, quads] = ({ "register-8x1": [8, 1], "register-8x2": [8, 2] } as const)[
        variant
      ];
      const blocks = Math.ceil(gridWidth / pixels) * gridHeight * p.batch;
      return one(
        registerConv2dWgsl(kernelSize, p.stride, pixels, quads, shortcut),
        foldWorkgroups(Math.ceil((blocks * Math.ceil(columns / quads)) / REGISTER_WORKGROUP)),
      );
    }
    case "tiled":
    case "matrix": {
      const groups = Math.ceil(rows / TILE_ROWS) * Math.ceil((columns * 4) / TILE_COLUMNS);
      return one(
        gatheringConv2dWgsl(body, shortcut, p.epilogue.statistics),
        foldWorkgroups(groups),
        body.directives,
      );
    }
    case "tiled-split":
    case "matrix-split":
      return splitPlan(variant, {
        ...splitShape(p, body),
        ...header,
        directives: body.directives,
        label,
        products: loads + gatheringConv2dWgsl(body, shortcut, "none", true),
        epilogue: finish,
        geglu: false,
      });
    case "patch":
      return one(
        patchConv2dWgsl(kernelSize, shortcut, p.epilogue.statistics === "channels"),
        foldWorkgroups(patchGroups(gridHeight, gridWidth, columns) * p.batch),
      );
    default:
      return variant satisfies never;
  }
}

function cost(p: Conv2dProblem): Cost {
  const [outHeight, outWidth] = conv2dOutputSize(p);
  const total = (channels: readonly number[]): number => channels.reduce((sum, c) => sum + c, 0);
  const inChannels = total(p.inChannels);
  const shortcutChannels = total(p.shortcutChannels);
  const [kernelHeight, kernelWidth] = effectiveKernel(p);
  const products = inChannels * kernelHeight * kernelWidth + shortcutChannels;
  const element = dtypeByteLength(p.dtype);
  const outPixels = p.batch * outHeight * outWidth;
  const outBytes = outPixels * p.outChannels * element;
  const weightBytes = (channels: number, taps: number): number =>
    packedWeightByteLength({
      dtype: p.dtype,
      inChannels: channels,
      outChannels: p.outChannels,
      taps,
      geglu: false,
      upsample: p.upsample,
    });
  const statisticsBytes =
    p.epilogue.statistics === "channels"
      ? tileStatisticsByteLength(conv2dTiledRows(p), p.outChannels)
      : 0;
  return {
    flops: 2 * outPixels * p.outChannels * products,
    bytesRead:
      p.batch * p.inHeight * p.inWidth * inChannels * element +
      outPixels * shortcutChannels * element +
      weightBytes(inChannels, p.kernelSize[0] * p.kernelSize[1]) +
      (shortcutChannels > 0 ? weightBytes(shortcutChannels, 1) : 0) +
      (p.epilogue.residual ? outBytes : 0),
    bytesWritten: outBytes + statisticsBytes,
  };
}

function classOf(p: Conv2dProblem): string {
  const [height, width] = conv2dOutputSize(p);
  const shape = p.upsample
    ? "up"
    : `${p.kernelSize.join("x")}${p.stride > 1 ? ` s${p.stride}` : ""}`;
  const shortcut = p.shortcutChannels.length > 0 ? ` + ${p.shortcutChannels.join("+")}` : "";
  const pixels = sizeClass(p.batch * height * width);
  return `${shape} ${p.inChannels.join("+")}${shortcut}→${p.outChannels} @${pixels}`;
}

/** 2-D convolution with zero padding, a packed weight and an epilogue. */
export const conv2d: Kernel<Conv2dProblem, Conv2dVariant> = {
  name: "conv2d",
  variants: [
    "naive",
    "register-8x1",
    "register-8x2",
    "tiled",
    "tiled-split",
    "matrix",
    "matrix-split",
    "patch",
  ],
  check,
  select,
  plan,
  cost,
  refusal,
  classOf,
  // A norm in the loads costs some variants nine times what it costs others; the graph puts it where it pays.
  comparable: (p) => ({
    ...p,
    inputNorm: "none",
    epilogue: { ...p.epilogue, statistics: "none" },
  }),
};
