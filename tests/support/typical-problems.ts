/** One typical problem for each kernel and variant: what `docs/wgsl` shows, and `dispatch-hashes` hashes. */
import type { Caps } from "../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import * as kernels from "../../src/kernels/index.ts";
import type { Kernel, KernelPlan } from "../../src/kernels/index.ts";
import { packIntegers } from "../../src/kernels/quantized/pack-integers.ts";
import { matrixCaps } from "./matrix-caps.ts";
import { PLAIN_EPILOGUE } from "./plain-epilogue.ts";

/** A kernel in a variant on a problem. */
export interface TypicalProblem {
  /** `conv2d-patch`: kernel and variant; the variant is left out where there is one only. `-int8`: with such a weight. */
  readonly name: string;
  /** One sentence: what the problem is. */
  readonly about: string;
  plan(dtype: DType, caps: Caps): KernelPlan;
}

/** A GPU with native halves and subgroups of 32, at WebGPU's least limits. */
export const GPU_CAPS: Caps = {
  ...BASELINE_CAPS,
  description: "a GPU with f16 and subgroups",
  hasShaderF16: true,
  hasSubgroups: true,
  subgroupSizes: [32, 32],
};

/** With matrix units as Mesa's CPU driver has them, 8 × 8 × 8. */
export const MATRIX_8_CAPS: Caps = matrixCaps({
  M: 8,
  N: 8,
  K: 8,
  subgroupSize: 8,
  pinsSubgroupSize: true,
  spelling: "quads",
});

const CONVOLUTION: kernels.Conv2dProblem = {
  dtype: "f16",
  batch: 1,
  inHeight: 64,
  inWidth: 64,
  inChannels: [320],
  outChannels: 320,
  kernelSize: [3, 3],
  stride: 1,
  padding: [1, 1, 1, 1],
  upsample: false,
  shortcutChannels: [],
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  epilogue: PLAIN_EPILOGUE,
};

const LAYER: kernels.LinearProblem = {
  dtype: "f16",
  rows: 4096,
  inChannels: [320],
  outChannels: 320,
  rowsPerImage: 4096,
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  layerNorm: null,
  epilogue: PLAIN_EPILOGUE,
};

const ATTENTION: kernels.AttentionProblem = {
  dtype: "f16",
  batch: 1,
  queryTokens: 4096,
  keyTokens: 4096,
  numHeads: 5,
  headDim: 64,
  scale: 0.125,
  queryStride: 960,
  keyStride: 960,
  valueStride: 960,
  outputStride: 320,
  queryOffset: 0,
  keyOffset: 320,
  valueOffset: 640,
};

const MAP = { batch: 1, pixels: 4096, channels: 320 } as const;
const GRID = { width: 64, height: 64, channels: 4 } as const;
const WITH_STATISTICS = { ...PLAIN_EPILOGUE, statistics: "channels" } as const;
const STATISTICS = {
  partials: 64,
  pixels: 4096,
  tiles: null,
  channelsPerEntry: 1,
  first: 0,
} as const;

function typical<P, V extends string>(
  kernel: Kernel<P, V>,
  about: string,
  problem: P,
  variants: readonly V[] = kernel.variants,
  suffix = "",
): TypicalProblem[] {
  const withDType = (dtype: DType): P =>
    typeof problem === "object" && problem !== null && "dtype" in problem
      ? { ...problem, dtype }
      : problem;
  const file = kernel.name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return variants.map((variant) => ({
    name: `${file}${kernel.variants.length > 1 ? `-${variant}` : ""}${suffix}`,
    about,
    plan: (dtype, caps) => kernel.plan(withDType(dtype), caps, variant),
  }));
}

/** All of them, in the order of `kernels/index.ts`. */
export const TYPICAL_PROBLEMS: readonly TypicalProblem[] = [
  ...typical(kernels.affineActivation, "GroupNorm's scale and shift with SiLU, 320 channels", {
    dtype: "f16",
    ...MAP,
    channelOffset: 0,
    totalChannels: 320,
    activation: "silu",
  }),
  ...typical(kernels.attention, "self-attention of 4096 tokens, 5 heads of 64", ATTENTION),
  ...typical(kernels.channelAdd, "a row added to all pixels", { dtype: "f16", ...MAP }),
  ...typical(kernels.channelMean, "mean of each channel from statistics", {
    dtype: "f16",
    batch: 1,
    channels: 320,
    partials: 64,
    pixels: 4096,
    tiles: null,
    first: 0,
  }),
  ...typical(kernels.channelStats, "statistics of 320 channels", {
    dtype: "f16",
    batch: 1,
    height: 64,
    width: 64,
    channels: 320,
    region: { y0: 0, y1: 64, x0: 0, x1: 64 },
    partials: 64,
  }),
  ...typical(kernels.colorMoments, "partial moments of 512 × 512 pixels", {
    pixels: 262_144,
  }),
  ...typical(kernels.colorMerge, "moments from 64 partials", { blocks: 64 }),
  ...typical(kernels.adainColorFix, "AdaIN against the enlarged source", {
    pixels: 262_144,
    rounding: "nearest",
  }),
  ...typical(kernels.waveletColorFix, "wavelet colour fix of 512 × 512 pixels", {
    width: 512,
    height: 512,
    rounding: "nearest",
  }),
  ...typical(
    kernels.concatChannels,
    "two maps of 320 channels side by side",
    { dtype: "f16", rows: 4096, channels: [320, 320] },
    ["quads"],
  ),
  ...typical(
    kernels.concatChannels,
    "323 channels and 320 behind them",
    { dtype: "f16", rows: 4096, channels: [323, 320] },
    ["shifted"],
  ),
  ...typical(
    kernels.conv2d,
    "a 3×3 convolution of 320 channels with bias, which also writes the statistics of its result",
    { ...CONVOLUTION, epilogue: WITH_STATISTICS },
    ["tiled", "matrix"],
  ),
  ...typical(
    kernels.conv2d,
    "a 3×3 convolution of 320 channels with bias, a GroupNorm with SiLU in its loads, statistics in its epilogue",
    { ...CONVOLUTION, inputNorm: "affine-silu", epilogue: WITH_STATISTICS },
    ["patch", "patch-winograd", "matrix-patch-8", "matrix-patch-4"],
  ),
  ...typical(kernels.conv2d, "a 3×3 convolution of 320 channels with bias", CONVOLUTION, [
    "naive",
    "register-8x1",
    "register-8x2",
    "register-8x4",
    "winograd",
  ]),
  ...typical(
    kernels.conv2d,
    "a 3×3 convolution of 1280 channels with bias on an 8 × 8 map",
    { ...CONVOLUTION, inHeight: 8, inWidth: 8, inChannels: [1280], outChannels: 1280 },
    ["tiled-split", "matrix-split"],
  ),
  ...typical(
    kernels.conv2d,
    "a 3×3 convolution of 320 channels with bias, whose weight is int8",
    { ...CONVOLUTION, weightStorage: "int8" },
    ["patch"],
    "-int8",
  ),
  ...typical(kernels.crop, "a rectangle of a map", {
    dtype: "f16",
    channels: 4,
    srcWidth: 64,
    srcHeight: 64,
    srcX: 8,
    srcY: 8,
    width: 32,
    height: 32,
    dstWidth: 32,
    dstHeight: 32,
    dstX: 0,
    dstY: 0,
  }),
  ...typical(kernels.elementwise, "a sum of two maps", {
    dtype: "f16",
    quads: 327_680,
    hasB: true,
    scaleA: 1,
    scaleB: 1,
    activation: "none",
  }),
  ...typical(kernels.geglu, "GEGLU of 1280 channels", { dtype: "f16", rows: 4096, channels: 1280 }),
  ...typical(kernels.groupNormAffine, "scale and shift of 32 groups of 320 channels", {
    batch: 1,
    sources: [{ ...STATISTICS, channels: 320 }],
    numGroups: 32,
    eps: 1e-5,
    isStacked: false,
  }),
  ...typical(kernels.mergeStats, "statistics of a tile from 256 strips", {
    channels: 128,
    partials: 256,
    pixels: 262_144,
    tiles: null,
    first: 0,
  }),
  ...typical(kernels.imageToTensor, "an RGBA8 image as a map", {
    dtype: "f16",
    imageWidth: 512,
    imageHeight: 512,
    x0: 0,
    y0: 0,
    width: 512,
    height: 512,
    scale: 2,
    offset: -1,
  }),
  ...typical(kernels.layerNorm, "LayerNorm of 320 channels", {
    dtype: "f16",
    rows: 4096,
    channels: 320,
    eps: 1e-5,
  }),
  ...typical(
    kernels.linear,
    "a layer of 320 channels with bias, for 4096 tokens",
    LAYER,
    kernels.linear.variants.filter((name) => !name.endsWith("-split")),
  ),
  ...typical(
    kernels.linear,
    "a layer of 1280 channels with bias, for 64 tokens",
    { ...LAYER, rows: 64, inChannels: [1280], outChannels: 1280, rowsPerImage: 64 },
    ["tiled-split", "matrix-split"],
  ),
  ...typical(
    kernels.linear,
    "a layer of 320 channels with bias, for 4096 tokens, whose weight is int4",
    { ...LAYER, weightStorage: "int4" },
    ["register-8x2", "tiled"],
    "-int4",
  ),
  ...typical(kernels.modulateLora, "B·Mᵀ of rank 16", {
    outChannels: 320,
    rank: 16,
    bDType: "F32",
    block: 0,
  }),
  ...typical(packIntegers, "the weight of a 3×3 convolution in int8", {
    storage: "int8",
    outChannels: 320,
    inChannels: 320,
    taps: 9,
    geglu: false,
    place: { columnQuads: 80, firstBlock: 0, firstScale: 0, scalesAt: 9 * 80 * 80 * 4 },
  }),
  ...typical(kernels.packWeight, "the weight of a 3×3 convolution with its LoRA of rank 16", {
    dtype: "f16",
    sourceDType: "F16",
    outChannels: 320,
    inChannels: 320,
    taps: 9,
    geglu: false,
    upsample: false,
    lora: { rank: 16, scaling: 1, aDType: "F32", bDType: "F32" },
    place: null,
    roundToHalf: false,
  }),
  ...typical(kernels.hiddenColors, "the colours of a cut-out's invisible pixels", {
    width: 128,
    height: 128,
  }),
  ...typical(kernels.keepFlat, "a chart's areas of one colour, ×4", {
    width: 128,
    height: 128,
    scale: 4,
  }),
  ...typical(kernels.padEdges, "a narrow picture in one of the least size", {
    srcWidth: 1,
    srcHeight: 600,
    left: 63,
    top: 0,
    width: 128,
    height: 600,
  }),
  ...typical(kernels.replaceAlpha, "another image's alpha", { pixels: 262_144 }),
  ...typical(kernels.resizeF32, "columns of an RGBA8 image to 224, antialiased", {
    srcType: "rgba8",
    dstDType: "f32",
    axis: "horizontal",
    width: 512,
    height: 512,
    channels: 3,
    outSize: 224,
    taps: 12,
  }),
  ...typical(kernels.resizeU8, "columns of an RGBA8 image ×4, Pillow's bicubic", {
    axis: "horizontal",
    width: 128,
    height: 128,
    outSize: 512,
    taps: 5,
  }),
  ...typical(kernels.sliceChannels, "the posterior's mean out of the moments", {
    dtype: "f16",
    rows: 4096,
    channels: 8,
    offset: 0,
    count: 4,
    scale: 1,
    clamp: null,
  }),
  ...typical(kernels.tensorToImage, "a map as an RGBA8 image", {
    dtype: "f16",
    srcWidth: 512,
    srcHeight: 512,
    srcX: 0,
    srcY: 0,
    width: 512,
    height: 512,
    dstWidth: 512,
    dstHeight: 512,
    dstX: 0,
    dstY: 0,
    rounding: "nearest",
  }),
  ...typical(kernels.tileClear, "accumulators of 64 × 64 latents", GRID),
  ...typical(kernels.tileAccumulate, "a tile of latents, weighted", {
    ...GRID,
    dtype: "f16",
    tileWidth: 32,
    tileHeight: 32,
    x0: 16,
    y0: 16,
  }),
  ...typical(kernels.tileNormalise, "latents out of the accumulators", { ...GRID, dtype: "f16" }),
  ...typical(kernels.tokenEmbeddings, "CLIP's class token and positions", {
    dtype: "f16",
    batch: 1,
    patches: 256,
    channels: 1024,
  }),
  ...typical(kernels.upsampleNearest, "a map doubled", {
    dtype: "f16",
    batch: 1,
    inHeight: 32,
    inWidth: 32,
    outHeight: 64,
    outWidth: 64,
    channels: 640,
  }),
];
