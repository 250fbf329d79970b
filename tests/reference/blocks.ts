/** Blocks of diffusers' networks in double precision, on maps [pixels, channels] of one image. */
import { activation } from "./activation.ts";
import { attention } from "./attention.ts";
import { conv2d as convolve } from "./conv2d.ts";
import { geglu } from "./geglu.ts";
import { groupNorm } from "./group-norm.ts";
import { layerNorm } from "./layer-norm.ts";
import { matmul } from "./linear.ts";

/** Parameters by their names in a checkpoint; undefined for a bias that a layer lacks. */
export type Parameters = (name: string) => Float64Array | undefined;

interface Size {
  readonly height: number;
  readonly width: number;
}

const sum = (a: Float64Array, b: Float64Array): Float64Array =>
  a.map((value, i) => value + (b[i] as number));

function withBias(y: Float64Array, bias: Float64Array | undefined): Float64Array {
  return bias ? y.map((value, i) => value + (bias[i % bias.length] as number)) : y;
}

function needed(p: Parameters, name: string): Float64Array {
  const values = p(name);
  if (values === undefined) throw new Error(`no parameter ${name}`);
  return values;
}

const linear = (p: Parameters, name: string, x: Float64Array, channels: number): Float64Array =>
  withBias(matmul(x, needed(p, `${name}.weight`), channels).y, p(`${name}.bias`));

const norm = (p: Parameters, name: string, x: Float64Array, eps: number): Float64Array =>
  layerNorm(x, eps, needed(p, `${name}.weight`), needed(p, `${name}.bias`));

function groups(
  p: Parameters,
  name: string,
  x: Float64Array,
  numGroups: number,
  eps: number,
): Float64Array {
  const [gamma, beta] = [needed(p, `${name}.weight`), needed(p, `${name}.bias`)];
  return groupNorm(x, 1, x.length / gamma.length, numGroups, eps, gamma, beta);
}

/** `to_out(softmax(q·kᵀ / √d)·v)`. */
function attend(
  p: Parameters,
  name: string,
  x: Float64Array,
  channels: number,
  context: Float64Array,
  contextChannels: number,
  numHeads: number,
): Float64Array {
  const q = linear(p, `${name}.to_q`, x, channels);
  const k = linear(p, `${name}.to_k`, context, contextChannels);
  const v = linear(p, `${name}.to_v`, context, contextChannels);
  const headDim = channels / numHeads;
  const [queryTokens, keyTokens] = [q.length / channels, k.length / channels];
  const sizes = { batch: 1, queryTokens, keyTokens, numHeads, headDim };
  return linear(p, `${name}.to_out.0`, attention(sizes, q, k, v, 1 / Math.sqrt(headDim)), channels);
}

/** Transformer2DModel with one BasicTransformerBlock. */
export function transformer2d(
  p: Parameters,
  x: Float64Array,
  channels: number,
  context: Float64Array,
  contextChannels: number,
  numHeads: number,
  numGroups: number,
): Float64Array {
  const block = "transformer_blocks.0";
  let h = linear(p, "proj_in", groups(p, "norm", x, numGroups, 1e-6), channels);
  const self = norm(p, `${block}.norm1`, h, 1e-5);
  h = sum(h, attend(p, `${block}.attn1`, self, channels, self, channels, numHeads));
  const cross = norm(p, `${block}.norm2`, h, 1e-5);
  h = sum(h, attend(p, `${block}.attn2`, cross, channels, context, contextChannels, numHeads));
  const pairs = linear(p, `${block}.ff.net.0.proj`, norm(p, `${block}.norm3`, h, 1e-5), channels);
  const gated = geglu(pairs, pairs.length / (8 * channels), 4 * channels);
  h = sum(h, linear(p, `${block}.ff.net.2`, gated, 4 * channels));
  return sum(x, linear(p, "proj_out", h, channels));
}

function conv3(
  p: Parameters,
  name: string,
  x: Float64Array,
  { height, width }: Size,
  inChannels: number,
): Float64Array {
  const shape = { batch: 1, inHeight: height, inWidth: width, inChannels, stride: 1 } as const;
  const same = { kernelSize: [3, 3], padding: [1, 1, 1, 1] } as const;
  const { y } = convolve(x, needed(p, `${name}.weight`), { ...shape, ...same });
  return withBias(y, p(`${name}.bias`));
}

/** ResnetBlock2D of one width, without time embedding. */
export function resnet(
  p: Parameters,
  name: string,
  x: Float64Array,
  size: Size,
  channels: number,
  numGroups: number,
  eps: number,
): Float64Array {
  const layer = (h: Float64Array, number: number): Float64Array => {
    const normed = groups(p, `${name}.norm${number}`, h, numGroups, eps);
    const active = normed.map((value) => activation("silu", value));
    return conv3(p, `${name}.conv${number}`, active, size, channels);
  };
  return sum(x, layer(layer(x, 1), 2));
}

/** The VAE's UNetMidBlock2D: resnet, attention of one head, resnet; eps 1e-6 throughout. */
export function vaeMidBlock(
  p: Parameters,
  x: Float64Array,
  size: Size,
  channels: number,
  numGroups: number,
): Float64Array {
  const h = resnet(p, "resnets.0", x, size, channels, numGroups, 1e-6);
  const normed = groups(p, "attentions.0.group_norm", h, numGroups, 1e-6);
  const attended = sum(h, attend(p, "attentions.0", normed, channels, normed, channels, 1));
  return resnet(p, "resnets.1", attended, size, channels, numGroups, 1e-6);
}
