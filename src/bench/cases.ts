/**
 * The shapes of RCOD_O on SD 2.1 with CLIP ViT-L/14 for a 512² image (see `bench/configs/sd21-clip-l`), each
 * with how often one image runs it. A test holds the counts against the planned graphs.
 */
import type { CaseShape } from "./workloads/case-shape.ts";

/** A kernel at one of the model's shapes. */
export interface BenchCase {
  /** Kernel, sizes and epilogue, e.g. `conv3x3 320→320 @64²`. */
  readonly name: string;
  /** Runs per image of RCOD_O. 0: only where fusion is switched off, or of RCOD_S. */
  readonly count: number;
  /** What is computed. */
  readonly shape: CaseShape;
}

type Of<K extends CaseShape["kind"]> = Extract<CaseShape, { kind: K }>;

/** 3×3; `size` is that of the input. */
function conv(
  size: number,
  from: number,
  to: number,
  count: number,
  options: Partial<Of<"conv2d">> = {},
): BenchCase {
  const shape = {
    kind: "conv2d",
    size,
    from,
    to,
    stride: 1,
    padding: [1, 1, 1, 1],
    ...options,
  } as const;
  const { stride, upsample, shortcut } = shape;
  let what = `${from}→${to}`;
  if (stride === 2) what = `s2 ${to}`;
  if (upsample) what = `up ${to}`;
  if (shortcut) {
    const sources = shortcut.join("+");
    what = `${from} + 1x1 ${shortcut.length > 1 ? `(${sources})` : sources}→${to}`;
  }
  return { name: `conv3x3 ${what} @${size}²`, count, shape };
}

/** With a 1×1 convolution of one or two other maps added. */
function shortcutConv(size: number, channels: number, shortcut: readonly number[], count: number) {
  return conv(size, channels, channels, count, { shortcut });
}

function upsamplingConv(size: number, channels: number): BenchCase {
  return conv(size, channels, channels, 1, { upsample: true });
}

function downsample(size: number, channels: number, padding: Of<"conv2d">["padding"]): BenchCase {
  return conv(size, channels, channels, 1, { stride: 2, padding });
}

function linear(
  rows: number,
  from: number,
  to: number,
  count: number,
  epilogue: Of<"linear">["epilogue"] = "bias",
): BenchCase {
  const suffix = epilogue === "bias" || epilogue === "residual" ? "" : ` ${epilogue}`;
  const shape = { kind: "linear", rows, from: [from], to, epilogue } as const;
  return { name: `linear ${rows}×${from}→${to}${suffix}`, count, shape };
}

function attention(
  queryTokens: number,
  keyTokens: number,
  numHeads: number,
  headDim: number,
  count: number,
  stacked: NonNullable<Of<"attention">["stacked"]>,
): BenchCase {
  return {
    name: `attention ${queryTokens}×${keyTokens} h${numHeads} d${headDim}`,
    count,
    shape: { kind: "attention", queryTokens, keyTokens, numHeads, headDim, stacked },
  };
}

/** Channels of the keys and values of all cross-attention layers. */
const KV_CHANNELS = 24_960;

function crossAttention(queryTokens: number, numHeads: number, count: number): BenchCase {
  return attention(queryTokens, 257, numHeads, 64, count, { kvChannels: KV_CHANNELS });
}

function groupNorm(size: number, channels: number, count: number): BenchCase {
  const shape = { kind: "group-norm-silu", size, channels, numGroups: 32, eps: 1e-5 } as const;
  return { name: `groupnorm+silu ${channels} @${size}²`, count, shape };
}

function layerNorm(rows: number, channels: number, count: number): BenchCase {
  const shape = { kind: "layer-norm", rows, channels } as const;
  return { name: `layernorm ${rows}×${channels}`, count, shape };
}

function add(size: number, channels: number): BenchCase {
  const shape = { kind: "add", rows: size * size, channels } as const;
  return { name: `add ${channels} @${size}²`, count: 0, shape };
}

/** One layer of RCOD_S for one image, and the branch beside it that would do the same: `linear` to the rank and back. */
function modulatedLayer(rows: number, channels: number, rank: number): readonly BenchCase[] {
  return [
    {
      name: `lora merge ${channels}→${channels} r${rank}`,
      count: 0,
      shape: { kind: "lora-merge", channels, rank },
    },
    linear(rows, channels, rank, 0),
    linear(rows, rank, channels, 0, "residual"),
  ];
}

/** The kernels of one image of RCOD_O at 512², at the model's shapes. */
export const CASES: readonly BenchCase[] = [
  // 3×3 convolutions of the VAE: 80 % of all arithmetic.
  conv(512, 128, 128, 8),
  conv(512, 256, 128, 1),
  conv(256, 256, 256, 6),
  conv(256, 512, 256, 1),
  conv(256, 128, 256, 1),
  conv(128, 512, 512, 8),
  conv(128, 256, 512, 1),
  conv(64, 512, 512, 18),
  shortcutConv(512, 128, [256], 1),
  shortcutConv(256, 256, [512], 1),
  shortcutConv(256, 256, [128], 1),
  shortcutConv(128, 512, [256], 1),
  upsamplingConv(256, 256),
  upsamplingConv(128, 512),
  upsamplingConv(64, 512),
  // of the UNet
  conv(64, 320, 320, 4),
  conv(64, 640, 320, 2),
  conv(64, 960, 320, 1),
  conv(32, 640, 640, 2),
  conv(32, 1920, 640, 1),
  conv(16, 1280, 1280, 2),
  conv(16, 2560, 1280, 2),
  conv(8, 1280, 1280, 8),
  conv(8, 2560, 1280, 3),
  shortcutConv(64, 320, [320, 320], 2),
  shortcutConv(64, 320, [640, 320], 1),
  shortcutConv(32, 640, [1280, 640], 1),
  shortcutConv(16, 1280, [1280, 1280], 2),
  shortcutConv(8, 1280, [1280, 1280], 3),
  upsamplingConv(32, 640),
  upsamplingConv(16, 1280),
  upsamplingConv(8, 1280),
  // few channels on one side
  conv(512, 3, 128, 1),
  conv(512, 128, 3, 1),
  downsample(512, 128, [0, 1, 0, 1]), // the VAE pads on one side only
  downsample(64, 320, [1, 1, 1, 1]),
  downsample(16, 1280, [1, 1, 1, 1]),
  // Matrix products; ×3 are Q, K and V of a self-attention in one
  linear(4096, 320, 320, 25, "residual"),
  linear(4096, 320, 960, 5),
  linear(4096, 320, 1280, 5, "geglu"),
  linear(4096, 1280, 320, 5, "residual"),
  linear(4096, 512, 512, 2, "residual"),
  linear(4096, 512, 1536, 2),
  linear(1024, 640, 640, 25, "residual"),
  linear(1024, 640, 1920, 5),
  linear(1024, 640, 2560, 5, "geglu"),
  linear(256, 1280, 1280, 25, "residual"),
  linear(256, 1280, 3840, 5),
  linear(256, 1280, 5120, 5, "geglu"),
  linear(64, 1280, 1280, 5, "residual"),
  linear(257, 1024, KV_CHANNELS, 1),
  linear(257, 1024, 3072, 24),
  linear(257, 1024, 1024, 25),
  linear(257, 1024, 4096, 24, "quick_gelu"),
  linear(257, 4096, 1024, 24, "residual"),
  linear(1, 1280, 1280, 13),
  // Attention
  attention(4096, 4096, 5, 64, 5, "qkv"),
  attention(1024, 1024, 10, 64, 5, "qkv"),
  attention(256, 256, 20, 64, 5, "qkv"),
  crossAttention(4096, 5, 5),
  crossAttention(1024, 10, 5),
  crossAttention(256, 20, 5),
  attention(257, 257, 16, 64, 24, "qkv"),
  attention(4096, 4096, 1, 512, 2, "qkv"),
  // Bound by memory
  groupNorm(512, 128, 10),
  groupNorm(512, 256, 1),
  groupNorm(256, 256, 8),
  groupNorm(128, 512, 9),
  groupNorm(64, 512, 19),
  groupNorm(64, 320, 8),
  groupNorm(32, 640, 6),
  groupNorm(16, 1280, 6),
  layerNorm(4096, 320, 15),
  layerNorm(1024, 640, 15),
  layerNorm(256, 1280, 15),
  layerNorm(257, 1024, 49),
  add(512, 128),
  add(64, 320),
  {
    name: "upsample 256 @256²",
    count: 0,
    shape: { kind: "upsample", size: 256, channels: 256 },
  },
  // RCOD_S
  ...modulatedLayer(1024, 640, 32),
  ...modulatedLayer(256, 1280, 32),
];

/** Names of cases that stand for their kernel. */
const QUICK: ReadonlySet<string> = new Set([
  "conv3x3 512→512 @64²",
  "conv3x3 320→320 @64²",
  "conv3x3 128→3 @512²",
  "linear 4096×512→512",
  "linear 257×1024→4096 quick_gelu",
  "attention 1024×1024 h10 d64",
  "attention 257×257 h16 d64",
  "groupnorm+silu 512 @64²",
  "layernorm 4096×320",
]);

/** A few of `CASES` that show each kernel once or twice, for a look of seconds. */
export const QUICK_CASES: readonly BenchCase[] = CASES.filter(({ name }) => QUICK.has(name));
