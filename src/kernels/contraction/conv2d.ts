/**
 * 2-D convolution (cross-correlation, zero padding) with a packed weight:
 *
 *   y[n, oy, ox, o] = epilogue(Σ_{ky,kx,i} x[n, oy·s + ky − top, ox·s + kx − left, i] · W[o, i, ky, kx])
 *
 * x: NHWC, or two sources with concatenated channels. W: `packWeight` layout, taps = (ky, kx) row-major.
 * y: NHWC. f32 accumulators over all taps and channels.
 *
 * Variants: `naive`, `tiled`, `matrix`, `tiled-split`, `matrix-split` as in `linear.ts`, tiles as an implicit GEMM. And
 *
 * - `register-PxQ`: P neighbouring pixels of a row and Q column quads per invocation. A row segment that is loaded once
 *   serves all kx.
 * - `patch`: an implicit GEMM over a patch of the input that is staged once for all taps (`conv2d-patch.ts`). Stride 1 only;
 *   for 3×3 of large maps on GPUs. `matrix-patch-L`: the same by matrix units, in tiles of L lines (`conv2d-matrix-patch.ts`).
 * - `patch-winograd`: half the products, for 3×3 at stride 1 (`conv2d-patch-winograd.ts`).
 * - `winograd`: a quarter of the products, for 3×3 at stride 1 (`conv2d-winograd.ts`). On software adapters.
 *
 * The graph lowers a 1×1 convolution with stride 1 and no padding to a `linear` over pixels.
 *
 * `upsample`: a 3×3 convolution of the map doubled by nearest neighbour, without the doubled map. Output row 2i sees input
 * rows i − 1, i, i and row 2i + 1 sees i, i, i + 1; columns alike. So the outputs of each of the four phases (row parity,
 * column parity) are a 2×2 convolution of the small map, with taps that are sums of the 3×3 ones (`packWeight`). Phases are
 * the grid's z axis. Borders agree, as a pixel outside is zero in both.
 *
 * `shortcutChannels`: adds a 1×1 convolution of another map, of the output's size, to the sum before it is finished. Its
 * rows of the weight follow those of the last tap. It is the shortcut of a resnet, without a store.
 *
 * `inputNorm`: GroupNorm's scale, shift and SiLU while x is loaded (`loads.ts`). The epilogue takes the statistics of the
 * next norm (`tile-statistics.ts`). Shaders: `conv2d-wgsl.ts`.
 */
import type { Caps } from "../../gpu/caps.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, quadCount } from "../../gpu/shape.ts";
import type { MatrixUnits } from "../../gpu/subgroup-matrix.ts";
import { matrixDirectives } from "../../gpu/subgroup-matrix.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Cost, Dispatch, Kernel, KernelPlan } from "../kernel.ts";
import { dispatch, i32, matrixUnitsRefusal, sizeClass, u32 } from "../kernel.ts";
import { integerLoadsWgsl, integerParams, storageLabel } from "../quantized/integer-loads.ts";
import { matrixPatchStorageBytes, matrixPatchWgsl } from "./conv2d-matrix-patch.ts";
import { PATCH_WINOGRAD_BYTES, patchWinogradConv2dWgsl } from "./conv2d-patch-winograd.ts";
import { PATCH_TILE, patchConv2dWgsl, patchGroups, patchStorageBytes } from "./conv2d-patch.ts";
import type { Conv2dProblem } from "./conv2d-problem.ts";
import {
  checkConv2d,
  conv2dInterface,
  conv2dOutputSize,
  conv2dTiledRows,
  conv2dWeight,
  conv2dWeightByteLength,
  effectiveKernel,
  gridSize,
} from "./conv2d-problem.ts";
import {
  conv2dLoadsWgsl,
  gatherWgsl,
  naiveConv2dWgsl,
  registerConv2dWgsl,
  tapCount,
} from "./conv2d-wgsl.ts";
import { suitsWinograd, winogradPlan, winogradRefusal } from "./conv2d-winograd.ts";
import { epilogueParams, epilogueWgsl } from "./epilogue.ts";
import { gemmBody, isMatrixVariant, matrixRefusal } from "./gemm-matrix.ts";
import {
  LEAST_FLOPS_OF_OWN_BLOCK,
  REGISTER_WORKGROUP,
  canShare,
  registerDirectives,
  registerGroups,
  suitsWideBlock,
} from "./gemm-register.ts";
import type { GemmBody } from "./gemm-tiled.ts";
import { tileSteps } from "./gemm-tiled.ts";
import { normLabel } from "./loads.ts";
import { MERGED_NORM_BYTES, mergedNormParams } from "./merged-norm.ts";
import { epilogueStatisticsByteLength, patchTile, statisticsRefusal } from "./tile-statistics.ts";
import type { TiledGemm } from "./tiled-plan.ts";
import { splitRefusal, tiledPlan } from "./tiled-plan.ts";

export type { Conv2dProblem } from "./conv2d-problem.ts";
export { conv2dOutputSize, conv2dTiledRows } from "./conv2d-problem.ts";

const VARIANTS = [
  "naive",
  "register-8x1",
  "register-8x2",
  "register-8x4",
  "tiled",
  "tiled-split",
  "matrix",
  "matrix-split",
  "patch",
  "matrix-patch-8",
  "matrix-patch-4",
  "patch-winograd",
  "winograd",
] as const;

export type Conv2dVariant = (typeof VARIANTS)[number];

/** Neighbouring pixels of an invocation of `register-PxQ`. */
const PIXELS = 8;

/**
 * With at least so many patches, `patch` is expected to be faster than `tiled`: half the cores of a large GPU. With fewer,
 * `tiled` occupies more cores, as it has twice as many tiles. A prediction (bench/NOTES.md) that `rcod tune` can correct.
 */
const LEAST_PATCHES = 66;

function select(p: Conv2dProblem, caps: Caps): Conv2dVariant {
  if (!caps.isSoftware) {
    if (matrixRefusal("matrix", p.dtype, caps) === null) return selectMatrix(p, caps);
    if (!suitsPatch(p)) return "tiled";
    return suitsPatchWinograd(p, caps) ? "patch-winograd" : "patch";
  }
  if (suitsWinograd(p, caps)) return "winograd";
  if (cost(p).flops < LEAST_FLOPS_OF_OWN_BLOCK) return "register-8x2";
  const columns = quadCount(p.outChannels);
  if (columns === 1) return "register-8x1";
  return suitsWideBlock(columns) ? "register-8x4" : "register-8x2";
}

/** From so many output pixels on, tiles of 8 lines are enough for all cores of a large GPU; below, there are twice as many of 4. */
const LEAST_PIXELS = 1024;

function selectMatrix(p: Conv2dProblem, caps: Caps): Conv2dVariant {
  const [height, width] = conv2dOutputSize(p);
  const variant = height * width < LEAST_PIXELS ? "matrix-patch-4" : "matrix-patch-8";
  const suits = sharesTaps(p) && shareWithin(p, variant) >= 0.5;
  return suits && patchRefusal(p, caps, variant) === null ? variant : "matrix";
}

/** Share of the patches' pixels that must lie in the map: `patch` has 1.5 times the rate, but patches hang over the border. */
const LEAST_WITHIN = 0.75;

const isThreeByThree = (kernelSize: Conv2dProblem["kernelSize"]): boolean =>
  kernelSize.every((size) => size === 3);

/** Whether the taps of a patch are many, and neighbours. */
const sharesTaps = (p: Conv2dProblem): boolean => p.stride === 1 && isThreeByThree(p.kernelSize);

/** Share of the patches' pixels that lie in the map. */
function shareWithin(p: Conv2dProblem, variant: Conv2dVariant): number {
  const tile = patchTile(variant) ?? PATCH_TILE;
  const [height, width] = gridSize(p);
  return (height * width) / (patchGroups(height, width, 1, tile) * tile[0] * tile[1]);
}

/** Whether 3×3 taps share a patch, and patches are many and mostly within the map. */
function suitsPatch(p: Conv2dProblem): boolean {
  const [height, width] = gridSize(p);
  const phases = p.batch * (p.upsample ? 4 : 1);
  const patches = phases * patchGroups(height, width, quadCount(p.outChannels));
  return sharesTaps(p) && shareWithin(p, "patch") >= LEAST_WITHIN && patches >= LEAST_PATCHES;
}

/** Why a variant on patches cannot run a problem, its statistics aside. */
function patchRefusal(p: Conv2dProblem, caps: Caps, variant: Conv2dVariant): string | null {
  if (p.stride !== 1) return `${variant} is for stride 1, got ${p.stride}`;
  const kernelSize = effectiveKernel(p);
  const merged = p.mergedNorm ? MERGED_NORM_BYTES : 0;
  if (isMatrixVariant(variant)) {
    const tile = patchTile(variant) ?? PATCH_TILE;
    return matrixUnitsRefusal(p.dtype, caps, matrixPatchStorageBytes(kernelSize, tile) + merged);
  }
  const isWinograd = variant === "patch-winograd";
  if (isWinograd && !isThreeByThree(kernelSize))
    return `${variant} is for 3×3, got ${kernelSize.join("×")}${p.upsample ? ", upsampled" : ""}`;
  const bytes = (isWinograd ? PATCH_WINOGRAD_BYTES : patchStorageBytes(kernelSize)) + merged;
  const most = caps.limits.maxComputeWorkgroupStorageSize;
  return bytes <= most ? null : `${variant} needs ${bytes} bytes of workgroup storage, got ${most}`;
}

/** With fewer quads of input channels the transform of the sums costs what the products save. */
const LEAST_WINOGRAD_QUADS = 4;

/**
 * Whether Winograd saves enough. On a shortcut `patch-winograd` does 1.5 times the products, which twice as many channels as x has
 * leave worth it. A prediction by the code of six cards' compilers (bench/NOTES.md).
 */
function suitsPatchWinograd(p: Conv2dProblem, caps: Caps): boolean {
  const quads = p.inChannels.reduce((sum, count) => sum + quadCount(count), 0);
  return quads >= LEAST_WINOGRAD_QUADS && refusal(p, caps, "patch-winograd") === null;
}

function refusal(p: Conv2dProblem, caps: Caps, variant: Conv2dVariant): string | null {
  const missing = matrixRefusal(variant, p.dtype, caps);
  if (missing !== null) return missing;
  const reason = statisticsRefusal(variant, p, conv2dInterface(p).operands, conv2dTiledRows(p));
  if (reason !== null) return reason;
  if (variant === "winograd") return winogradRefusal(p, caps);
  if (patchTile(variant) !== null) return patchRefusal(p, caps, variant);
  const body = gemmBody(variant, caps, false, p.weightStorage);
  return splitRefusal(variant, tiledGemm(p, body), body);
}

function tiledGemm(p: Conv2dProblem, body: GemmBody): TiledGemm {
  const [gridHeight, gridWidth] = gridSize(p);
  const [kernelHeight, kernelWidth] = effectiveKernel(p);
  return {
    rows: p.batch * gridHeight * gridWidth,
    columnQuads: quadCount(p.outChannels),
    phases: p.upsample ? 4 : 1,
    steps:
      kernelHeight * kernelWidth * tileSteps(p.inChannels, body) +
      tileSteps(p.shortcutChannels, body),
  };
}

function paramsOf(p: Conv2dProblem): Param[] {
  const [outHeight, outWidth] = conv2dOutputSize(p);
  const [gridHeight, gridWidth] = gridSize(p);
  const [kernelHeight, kernelWidth] = effectiveKernel(p);
  const [first = 1, second = 0] = p.inChannels;
  const [shortcut0 = 0, shortcut1 = 0] = p.shortcutChannels;
  const columns = quadCount(p.outChannels);
  return [
    u32("rows", p.batch * gridHeight * gridWidth),
    u32("in_quads0", quadCount(first)),
    u32("in_quads1", quadCount(second)),
    u32("shortcut_quads0", quadCount(shortcut0)),
    u32("shortcut_quads1", quadCount(shortcut1)),
    u32("column_quads", columns),
    u32("out_quads", columns),
    u32("rows_per_image", outHeight * outWidth),
    u32("batch", p.batch),
    u32("taps", kernelHeight * kernelWidth),
    u32("kernel_width", kernelWidth),
    i32("in_height", p.inHeight),
    i32("in_width", p.inWidth),
    u32("grid_height", gridHeight),
    u32("grid_width", gridWidth),
    u32("step", p.upsample ? 2 : 1),
    i32("stride", p.stride),
    i32("pad_top", p.padding[0]),
    i32("pad_left", p.padding[2]),
    ...integerParams(conv2dWeight(p)),
    ...epilogueParams(p.epilogue, p.outChannels),
    ...mergedNormParams(p.mergedNorm, p.inChannels),
  ];
}

function plan(p: Conv2dProblem, caps: Caps, variant: Conv2dVariant = select(p, caps)): KernelPlan {
  checkConv2d(p);
  const reason = refusal(p, caps, variant);
  if (reason !== null) throw new ShapeError(`conv2d: ${reason}`);
  const [gridHeight, gridWidth] = gridSize(p);
  const kernelSize = effectiveKernel(p);
  const columns = quadCount(p.outChannels);
  const shortcut = p.shortcutChannels.length > 0;
  const isMerging = p.mergedNorm !== null;
  const { weightStorage } = p;
  const { geglu, statistics } = p.epilogue;
  const { operands, shape } = conv2dInterface(p);
  const header = { caps, dtype: p.dtype, operands, params: paramsOf(p) };
  const loads = conv2dLoadsWgsl(p, p.shortcutChannels.length) + integerLoadsWgsl(weightStorage);
  const epilogue = epilogueWgsl(p.epilogue, shape);
  const label = `conv2d/${variant} ${p.kernelSize.join("x")}${p.stride > 1 ? ` s${p.stride}` : ""}${p.upsample ? " up" : ""}${shortcut ? " + 1x1" : ""}${normLabel(p)}${storageLabel(p)}${statistics === "none" ? "" : " stats"}`;
  const one = (
    main: string,
    [x, y]: Dispatch["workgroups"],
    directives: readonly string[] = [],
  ): KernelPlan => {
    const code = loads + epilogue + main;
    const grid = [x, y, p.upsample ? 4 : 1] as const;
    return {
      variant,
      scratch: [],
      dispatches: [dispatch(label, { ...header, directives }, code, grid)],
    };
  };
  switch (variant) {
    case "naive":
      return one(
        gatherWgsl(shortcut) + naiveConv2dWgsl(shortcut, weightStorage),
        foldWorkgroups(
          Math.ceil((p.batch * gridHeight * gridWidth * columns) / REGISTER_WORKGROUP),
        ),
      );
    case "register-8x1":
    case "register-8x2":
    case "register-8x4": {
      const quads = { "register-8x1": 1, "register-8x2": 2, "register-8x4": 4 }[variant];
      const blocks = Math.ceil(gridWidth / PIXELS) * gridHeight * p.batch;
      const block = { rows: PIXELS, quads, shares: canShare(caps), weightStorage };
      return one(
        registerConv2dWgsl(kernelSize, p.stride, block, shortcut),
        foldWorkgroups(registerGroups(block, blocks, columns)),
        registerDirectives(block),
      );
    }
    case "tiled":
    case "tiled-split":
    case "matrix":
    case "matrix-split": {
      const body = gemmBody(variant, caps, p.inputNorm !== "none", weightStorage);
      return tiledPlan(variant, tiledGemm(p, body), body, {
        label,
        header,
        loads,
        epilogue,
        gather: gatherWgsl(shortcut),
        taps: tapCount(shortcut),
        geglu,
        statistics,
        isMerging,
      });
    }
    case "patch":
      return one(
        patchConv2dWgsl(kernelSize, shortcut, statistics === "channels", isMerging, weightStorage),
        foldWorkgroups(patchGroups(gridHeight, gridWidth, columns) * p.batch),
      );
    case "matrix-patch-8":
    case "matrix-patch-4": {
      const units = caps.matrixUnits as MatrixUnits;
      const tile = patchTile(variant) ?? PATCH_TILE;
      const normalises = p.inputNorm !== "none";
      const has = { shortcut, statistics: statistics === "channels", isMerging, normalises };
      return one(
        matrixPatchWgsl(units, kernelSize, tile, has, weightStorage),
        foldWorkgroups(patchGroups(gridHeight, gridWidth, columns, tile) * p.batch),
        matrixDirectives(units),
      );
    }
    case "patch-winograd":
      return one(
        patchWinogradConv2dWgsl(shortcut, statistics === "channels", isMerging, weightStorage),
        foldWorkgroups(patchGroups(gridHeight, gridWidth, columns) * p.batch),
      );
    case "winograd":
      return winogradPlan(p, caps, label);
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
  return {
    flops: 2 * outPixels * p.outChannels * products,
    bytesRead:
      p.batch * p.inHeight * p.inWidth * inChannels * element +
      outPixels * shortcutChannels * element +
      conv2dWeightByteLength(p) +
      (p.epilogue.residual ? outBytes : 0),
    bytesWritten:
      outBytes + epilogueStatisticsByteLength(p.epilogue, conv2dTiledRows(p), p.outChannels),
  };
}

function classOf(p: Conv2dProblem): string {
  const [height, width] = conv2dOutputSize(p);
  const shape = p.upsample
    ? "up"
    : `${p.kernelSize.join("x")}${p.stride > 1 ? ` s${p.stride}` : ""}`;
  const shortcut = p.shortcutChannels.length > 0 ? ` + ${p.shortcutChannels.join("+")}` : "";
  const pixels = sizeClass(p.batch * height * width);
  return `${shape} ${p.inChannels.join("+")}${shortcut}→${p.outChannels}${storageLabel(p)} @${pixels}`;
}

/** 2-D convolution with zero padding, a packed weight and an epilogue. */
export const conv2d: Kernel<Conv2dProblem, Conv2dVariant> = {
  name: "conv2d",
  variants: VARIANTS,
  check: checkConv2d,
  select,
  plan,
  cost,
  refusal,
  classOf,
  // A norm in the loads costs some variants nine times what it costs others. The graph decides where it is faster.
  tuningProblem: (p) => ({
    ...p,
    inputNorm: "none",
    mergedNorm: null,
    epilogue: { ...p.epilogue, statistics: "none" },
  }),
};
