/**
 * The definition of a graph in double precision, element by element: what a kernel's result is checked against.
 * Knows the plain operations of `case-graph.ts`, of one image.
 */
import type { Graph, Node, Op, Value, Weight } from "../../graph/ir/ir.ts";
import { channelsOf, rowsOf } from "../../graph/ir/ir.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";

/** Reads one element of a tensor, by `row · channels + channel`; of a weight in the checkpoint's order. */
export type Reader = (index: number) => number;

/** Output `y`; `read` gives inputs and weights by name. */
export function referenceOf(graph: Graph, read: (name: string) => Reader): Reader {
  const values = new Map<number, Reader>();
  const at = ({ id }: Value): Reader => values.get(id) as Reader;
  for (const [name, { id }] of graph.inputs) values.set(id, read(name));
  for (const node of graph.nodes) {
    const reader = elementsOf(node, graph, at, (weight) => (weight ? read(weight.name) : () => 0));
    if (reader !== null) values.set(node.output.id, reader);
  }
  return at(graph.outputs.get("y") as Value);
}

/** Null for the tables of a GroupNorm, which the node that applies them computes. */
function elementsOf(
  { op, inputs, output }: Node,
  graph: Graph,
  at: (value: Value) => Reader,
  read: (weight: Weight | null) => Reader,
): Reader | null {
  const [a, b = a, c = b] = inputs.x as readonly [Value, Value?, Value?];
  const channels = channelsOf(output);
  switch (op.kind) {
    case "conv2d":
      return convolution(op, a, output, at(a), read(op.weight), read(op.bias));
    case "linear": {
      const [x, weight, bias] = [at(a), read(op.weight), read(op.bias)];
      const from = channelsOf(a);
      return (index) => {
        const [row, o] = [Math.floor(index / channels), index % channels];
        let sum = bias(o);
        for (let i = 0; i < from; i++) sum += x(row * from + i) * weight(o * from + i);
        return sum;
      };
    }
    case "attention":
      return attention(op, [a, b, c], [at(a), at(b), at(c)]);
    case "channelStats":
    case "groupNormAffine":
      return null;
    case "affine": {
      const norm = graph.nodes.find((node) => node.output.id === b.id)?.op;
      if (norm?.kind !== "groupNormAffine") throw new Error("internal: no GroupNorm");
      return normalized(a, at(a), norm, rowsOf(a), channels / norm.numGroups, read);
    }
    case "layerNorm":
      return normalized(a, at(a), op, 1, channels, read);
    case "elementwise": {
      const { scaleA, scaleB, activation } = op;
      const [x, y] = [at(a), at(b)];
      return (index) => activated(activation, scaleA * x(index) + scaleB * y(index));
    }
    case "geglu": {
      const x = at(a);
      return (index) => {
        const first = 2 * index - (index % channels);
        return x(first) * activated("gelu", x(first + channels));
      };
    }
    case "concat": {
      const [x, y] = [at(a), at(b)];
      const [left, right] = [channelsOf(a), channelsOf(b)];
      return (index) => {
        const [row, channel] = [Math.floor(index / channels), index % channels];
        return channel < left ? x(row * left + channel) : y(row * right + channel - left);
      };
    }
    case "upsampleNearest": {
      const x = at(a);
      const [, height = 1, width = 1] = a.shape;
      const [, outHeight = 1, outWidth = 1] = output.shape;
      return (index) => {
        const pixel = Math.floor(index / channels);
        const row = Math.floor((Math.floor(pixel / outWidth) * height) / outHeight);
        const column = Math.floor(((pixel % outWidth) * width) / outWidth);
        return x((row * width + column) * channels + (index % channels));
      };
    }
    default:
      throw new Error(`internal: the reference knows no ${op.kind}`);
  }
}

function convolution(
  { kernelSize: [kernelHeight, kernelWidth], stride, padding }: Extract<Op, { kind: "conv2d" }>,
  { shape: [, height = 1, width = 1, from = 1] }: Value,
  { shape: [, , outWidth = 1, to = 1] }: Value,
  x: Reader,
  weight: Reader,
  bias: Reader,
): Reader {
  return (index) => {
    const [pixel, o] = [Math.floor(index / to), index % to];
    const top = Math.floor(pixel / outWidth) * stride - padding[0];
    const left = (pixel % outWidth) * stride - padding[2];
    const taps = kernelHeight * kernelWidth;
    let sum = bias(o);
    for (let tap = 0; tap < taps; tap++) {
      const [row, column] = [top + Math.floor(tap / kernelWidth), left + (tap % kernelWidth)];
      if (row < 0 || column < 0 || row >= height || column >= width) continue;
      const first = (row * width + column) * from;
      for (let i = 0; i < from; i++) sum += x(first + i) * weight((o * from + i) * taps + tap);
    }
    return sum;
  };
}

/** Keeps the softmax of the last query and head, which the channels of a head share. */
function attention(
  { numHeads, headDim, scale, offsets }: Extract<Op, { kind: "attention" }>,
  tensors: readonly [q: Value, k: Value, v: Value],
  readers: readonly [q: Reader, k: Reader, v: Reader],
): Reader {
  const element = (operand: 0 | 1 | 2): ((token: number, channel: number) => number) => {
    const [width, offset] = [channelsOf(tensors[operand]), offsets[operand]];
    return (token, channel) => readers[operand](token * width + offset + channel);
  };
  const [q, k, v] = [element(0), element(1), element(2)];
  const keyTokens = rowsOf(tensors[1]);
  const channels = numHeads * headDim;
  let known = -1;
  let shares = new Float64Array();
  return (index) => {
    const [query, channel] = [Math.floor(index / channels), index % channels];
    const queryAndHead = Math.floor(index / headDim);
    if (known !== queryAndHead) {
      const first = channel - (channel % headDim);
      const row = Array.from({ length: headDim }, (_, d) => scale * q(query, first + d));
      const scores = Float64Array.from({ length: keyTokens }, (_, token) =>
        row.reduce((sum, value, d) => sum + value * k(token, first + d), 0),
      );
      const highest = scores.reduce((x, y) => Math.max(x, y));
      const weights = scores.map((score) => Math.exp(score - highest));
      const total = weights.reduce((x, y) => x + y);
      [known, shares] = [queryAndHead, weights.map((weight) => weight / total)];
    }
    return shares.reduce((sum, share, token) => sum + share * v(token, channel), 0);
  };
}

/** Blocks of `rows` × `width` elements with mean 0 and variance 1, then scaled and shifted by channel. */
function normalized(
  tensor: Value,
  x: Reader,
  { gamma, beta, eps }: Pick<Extract<Op, { kind: "layerNorm" }>, "gamma" | "beta" | "eps">,
  rows: number,
  width: number,
  read: (weight: Weight) => Reader,
): Reader {
  const channels = channelsOf(tensor);
  const [scale, shift] = [read(gamma), read(beta)];
  const known = new Map<number, readonly [mean: number, rstd: number]>();
  const momentsOf = (first: number): readonly [mean: number, rstd: number] => {
    let [sum, squares] = [0, 0];
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < width; i++) {
        const value = x(first + row * channels + i);
        sum += value;
        squares += value * value; // in doubles, and the mean is near 0: nothing cancels
      }
    }
    const mean = sum / (rows * width);
    return [mean, 1 / Math.sqrt(squares / (rows * width) - mean * mean + eps)];
  };
  return (index) => {
    const channel = index % channels;
    const row = Math.floor(index / channels);
    const first = (row - (row % rows)) * channels + channel - (channel % width);
    const [mean, rstd] = known.get(first) ?? momentsOf(first);
    known.set(first, [mean, rstd]);
    return (x(index) - mean) * rstd * scale(channel) + shift(channel);
  };
}

function activated(activation: Activation, x: number): number {
  switch (activation) {
    case "none":
      return x;
    case "relu":
      return Math.max(0, x);
    case "silu":
      return x / (1 + Math.exp(-x));
    case "quick_gelu":
      return x / (1 + Math.exp(-1.702 * x));
    case "gelu":
      return 0.5 * x * (1 + erf(x / Math.SQRT2));
    default:
      return activation satisfies never;
  }
}

/** Maclaurin series. Its terms reach 5e5 at 4, which leaves 1e-10; 1 − erf(4) is 2e-8. */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
