/**
 * Operations as both engines get them: a graph of ours and an ONNX graph over the same numbers, and the result
 * in double precision. The ONNX graphs are what an exporter writes: GroupNorm as InstanceNormalization over
 * groups, attention as MatMul, Softmax, MatMul.
 */
import { elementReader } from "../../src/bench/workloads/test-data.ts";
import type { GraphBuilder } from "../../src/graph/ir/builder.ts";
import { WeightScope } from "../../src/graph/ir/builder.ts";
import type { Value } from "../../src/graph/ir/ir.ts";
import { resnetBlock } from "../../src/rcod/networks/resnet.ts";
import { activation } from "../../tests/reference/activation.ts";
import { attention } from "../../tests/reference/attention.ts";
import { conv2d } from "../../tests/reference/conv2d.ts";
import { groupNorm } from "../../tests/reference/group-norm.ts";
import { matmul } from "../../tests/reference/linear.ts";
import type { OnnxGraph, OnnxNode, OnnxTensor } from "../onnx/model.ts";
import { swapAxes } from "./layout.ts";

/** Numbers [.., channels], channels last, as our graphs take them. */
export interface HostArray {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface CompareCase {
  readonly flops: number;
  /** Inputs, parameters and result, each once, in f32. */
  readonly bytes: number;
  readonly inputs: Readonly<Record<string, HostArray>>;
  /** By the names of a checkpoint. */
  readonly weights: Readonly<Record<string, HostArray>>;
  /** Output `y`. */
  readonly build: (g: GraphBuilder) => void;
  readonly onnx: OnnxGraph;
  readonly onnxInputs: Readonly<Record<string, OnnxTensor>>;
  /** ONNX's output `y` as ours: channels last. */
  readonly fromOnnx: (y: Float32Array) => Float32Array;
  /** The result in double precision, channels last. */
  readonly expected: () => Float64Array;
}

/** Cases are made when their turn comes: the largest hold 100 MB. */
export interface NamedCase {
  readonly name: string;
  readonly make: () => CompareCase;
}

const GROUPS = 32;
const EPS = 1e-5;
const ROOT = new WeightScope();

/** Pseudo-random values within −scale … scale, around `base`. */
function random(shape: readonly number[], seed: number, scale = 1, base = 0): HostArray {
  const count = shape.reduce((product, size) => product * size, 1);
  const read = elementReader({ scale, seed });
  return { shape, values: Float32Array.from({ length: count }, (_, i) => base + read(i)) };
}

/** Keeps sums of `fanIn` products near the size of their inputs. */
function matrix(shape: readonly number[], seed: number): HostArray {
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  return random(shape, seed, 2 ** -Math.round(Math.log2(Math.sqrt(fanIn / 3))));
}

const doubles = ({ values }: HostArray): Float64Array => Float64Array.from(values);
const onnxTensor = ({ shape: dims, values }: HostArray): OnnxTensor => ({ dims, values });
const sizes = (...values: readonly number[]): OnnxTensor => ({
  dims: [values.length],
  values: BigInt64Array.from(values, BigInt),
});

function bytesOf(...arrays: readonly { readonly length: number }[]): number {
  return 4 * arrays.reduce((sum, { length }) => sum + length, 0);
}

/** An NHWC map of one image as ONNX's NCHW. */
function channelsFirst({ shape, values }: HostArray): OnnxTensor {
  const [n = 1, h = 1, w = 1, c = 1] = shape;
  return { dims: [n, c, h, w], values: swapAxes(values, h * w, c) };
}

const conv3x3 = (x: string, at: string, output: string): OnnxNode => ({
  op: "Conv",
  inputs: [x, `${at}.weight`, `${at}.bias`],
  output,
  attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] },
});

function conv3x3Doubles(x: Float64Array, weight: HostArray, bias: HostArray, size: number) {
  const [to = 1, from = 1] = weight.shape;
  const { y } = conv2d(x, doubles(weight), {
    batch: 1,
    inHeight: size,
    inWidth: size,
    inChannels: from,
    kernelSize: [3, 3],
    stride: 1,
    padding: [1, 1, 1, 1],
  });
  return y.map((sum, i) => sum + (bias.values[i % to] as number));
}

/** A case of one map to one map of the same size. */
interface MapCase {
  readonly size: number;
  readonly outChannels: number;
  readonly flops: number;
  readonly x: HostArray;
  readonly weights: Readonly<Record<string, HostArray>>;
  readonly build: (g: GraphBuilder, x: Value) => Value;
  readonly nodes: readonly OnnxNode[];
  /** Beside the weights. */
  readonly initializers?: Readonly<Record<string, OnnxTensor>>;
  readonly expected: (x: Float64Array) => Float64Array;
}

function mapCase(given: MapCase): CompareCase {
  const { size, outChannels, flops, x, weights, build, nodes, expected } = given;
  const parameters = Object.entries(weights);
  return {
    flops,
    bytes:
      bytesOf(x.values, ...parameters.map(([, { values }]) => values)) +
      4 * size * size * outChannels,
    inputs: { x },
    weights,
    build: (g) => g.output("y", build(g, g.input("x", x.shape))),
    onnx: {
      nodes,
      initializers: {
        ...given.initializers,
        ...Object.fromEntries(
          parameters.map(([key, array]) => [
            key,
            key.startsWith("norm") ? overMap(array) : onnxTensor(array),
          ]),
        ),
      },
      inputs: { x: [1, x.shape[3] ?? 1, size, size] },
      outputs: { y: [1, outChannels, size, size] },
    },
    onnxInputs: { x: channelsFirst(x) },
    fromOnnx: (y) => swapAxes(y, outChannels, size * size),
    expected: () => expected(doubles(x)),
  };
}

export function convCase(size: number, from: number, to: number): NamedCase {
  return {
    name: `conv3x3 ${from}→${to} @${size}²`,
    make() {
      const weight = matrix([to, from, 3, 3], 2);
      const bias = random([to], 3);
      const options = { outChannels: to, kernelSize: 3, stride: 1, padding: 1, bias: true };
      return mapCase({
        size,
        outChannels: to,
        flops: 2 * 9 * size * size * from * to,
        x: random([1, size, size, from], 1),
        weights: { "conv.weight": weight, "conv.bias": bias },
        build: (g, x) => g.conv2d(x, ROOT.at("conv"), options),
        nodes: [conv3x3("x", "conv", "y")],
        expected: (x) => conv3x3Doubles(x, weight, bias, size),
      });
    },
  };
}

/** GroupNorm and SiLU of [1, C, S, S] in ONNX, as exporters write it before version 18. */
function normNodes(x: string, at: string, output: string): readonly OnnxNode[] {
  const eps = { epsilon: Float32Array.of(EPS) };
  const node = (op: string, inputs: readonly string[], out: string): OnnxNode => ({
    op,
    inputs,
    output: `${at}.${out}`,
  });
  return [
    node("Reshape", [x, "grouped"], "in"),
    {
      ...node("InstanceNormalization", [`${at}.in`, "ones", "zeros"], "normal"),
      attributes: eps,
    },
    node("Reshape", [`${at}.normal`, "map"], "flat"),
    node("Mul", [`${at}.flat`, `${at}.weight`], "scaled"),
    node("Add", [`${at}.scaled`, `${at}.bias`], "affine"),
    node("Sigmoid", [`${at}.affine`], "gate"),
    { op: "Mul", inputs: [`${at}.affine`, `${at}.gate`], output },
  ];
}

function normInitializers(size: number, channels: number): Record<string, OnnxTensor> {
  return {
    grouped: sizes(1, GROUPS, -1),
    map: sizes(1, channels, size, size),
    ones: { dims: [GROUPS], values: new Float32Array(GROUPS).fill(1) },
    zeros: { dims: [GROUPS], values: new Float32Array(GROUPS) },
  };
}

/** Parameters per channel that broadcast over a map. */
const overMap = ({ shape, values }: HostArray): OnnxTensor => ({
  dims: [shape[0] ?? 1, 1, 1],
  values,
});

function normDoubles(x: Float64Array, gamma: HostArray, beta: HostArray): Float64Array {
  const pixels = x.length / gamma.values.length;
  return groupNorm(x, 1, pixels, GROUPS, EPS, gamma.values, beta.values).map((value) =>
    activation("silu", value),
  );
}

const gammaOf = (channels: number, seed: number): HostArray => random([channels], seed, 0.125, 1);

export function groupNormCase(size: number, channels: number): NamedCase {
  return {
    name: `groupnorm+silu ${channels} @${size}²`,
    make() {
      const [gamma, beta] = [gammaOf(channels, 12), random([channels], 13)];
      return mapCase({
        size,
        outChannels: channels,
        flops: 10 * size * size * channels,
        x: random([1, size, size, channels], 11, 4),
        weights: { "norm.weight": gamma, "norm.bias": beta },
        build: (g, x) =>
          g.activation(
            g.groupNorm(x, ROOT.at("norm"), { numGroups: GROUPS, eps: EPS }),
            "silu",
            "silu",
          ),
        nodes: normNodes("x", "norm", "y"),
        initializers: normInitializers(size, channels),
        expected: (x) => normDoubles(x, gamma, beta),
      });
    },
  };
}

/** The residual block of the VAE, and of the UNet without its time embedding. */
export function resnetCase(size: number, channels: number): NamedCase {
  return {
    name: `ResnetBlock ${channels} @${size}²`,
    make() {
      const conv = (seed: number): HostArray => matrix([channels, channels, 3, 3], seed);
      const [gamma1, beta1] = [gammaOf(channels, 22), random([channels], 23)];
      const [gamma2, beta2] = [gammaOf(channels, 24), random([channels], 25)];
      const [weight1, bias1] = [conv(26), random([channels], 27)];
      const [weight2, bias2] = [conv(28), random([channels], 29)];
      const options = { outChannels: channels, numGroups: GROUPS, eps: EPS, siluTemb: null };
      return mapCase({
        size,
        outChannels: channels,
        flops: 2 * (2 * 9 * channels + 10) * size * size * channels,
        x: random([1, size, size, channels], 21),
        weights: {
          "norm1.weight": gamma1,
          "norm1.bias": beta1,
          "conv1.weight": weight1,
          "conv1.bias": bias1,
          "norm2.weight": gamma2,
          "norm2.bias": beta2,
          "conv2.weight": weight2,
          "conv2.bias": bias2,
        },
        build: (g, x) => resnetBlock(g, ROOT, x, options),
        nodes: [
          ...normNodes("x", "norm1", "h1"),
          conv3x3("h1", "conv1", "h2"),
          ...normNodes("h2", "norm2", "h3"),
          conv3x3("h3", "conv2", "h4"),
          { op: "Add", inputs: ["x", "h4"], output: "y" },
        ],
        initializers: normInitializers(size, channels),
        expected(x) {
          const h = conv3x3Doubles(normDoubles(x, gamma1, beta1), weight1, bias1, size);
          const y = conv3x3Doubles(normDoubles(h, gamma2, beta2), weight2, bias2, size);
          return y.map((value, i) => value + (x[i] as number));
        },
      });
    },
  };
}

/** [rows, from] · [from, to]; the second operand is a parameter. */
export function matmulCase(rows: number, from: number, to: number): NamedCase {
  return {
    name: `matmul ${rows}×${from}×${to}`,
    make() {
      const x = random([1, rows, from], 31);
      const weight = matrix([to, from], 32);
      return {
        flops: 2 * rows * from * to,
        bytes: bytesOf(x.values, weight.values) + 4 * rows * to,
        inputs: { x },
        weights: { "proj.weight": weight },
        build: (g) => g.output("y", g.linear(g.input("x", x.shape), ROOT.at("proj"), to, false)),
        onnx: {
          nodes: [{ op: "MatMul", inputs: ["x", "w"], output: "y" }],
          initializers: { w: { dims: [from, to], values: swapAxes(weight.values, to, from) } },
          inputs: { x: [rows, from] },
          outputs: { y: [rows, to] },
        },
        onnxInputs: { x: { dims: [rows, from], values: x.values } },
        fromOnnx: (y) => y,
        expected: () => matmul(doubles(x), doubles(weight), from).y,
      };
    },
  };
}

/** Keys come transposed to ONNX, which spares it a copy. */
export function attentionCase(tokens: number, numHeads: number, headDim: number): NamedCase {
  return {
    name: `attention ${tokens}×${tokens} h${numHeads} d${headDim}`,
    make() {
      const shape = [1, tokens, numHeads * headDim];
      const [q, k, v] = [random(shape, 41, 4), random(shape, 42, 2), random(shape, 43)];
      const scale = headDim ** -0.5;
      const heads = ({ values }: HostArray) => swapAxes(values, tokens, numHeads, headDim);
      const perHead = [numHeads, tokens, headDim];
      const keys = [numHeads, headDim, tokens];
      return {
        flops: 4 * tokens * tokens * numHeads * headDim,
        bytes: bytesOf(q.values, k.values, v.values, q.values),
        inputs: { q, k, v },
        weights: {},
        build(g) {
          const [a, b, c] = [g.input("q", shape), g.input("k", shape), g.input("v", shape)];
          g.output("y", g.attention(a, b, c, { numHeads, scale }, "attention"));
        },
        onnx: {
          nodes: [
            { op: "MatMul", inputs: ["q", "k"], output: "dots" },
            { op: "Mul", inputs: ["dots", "scale"], output: "scores" },
            { op: "Softmax", inputs: ["scores"], output: "weights", attributes: { axis: -1 } },
            { op: "MatMul", inputs: ["weights", "v"], output: "y" },
          ],
          initializers: { scale: { dims: [], values: Float32Array.of(scale) } },
          inputs: { q: perHead, k: keys, v: perHead },
          outputs: { y: perHead },
        },
        onnxInputs: {
          q: { dims: perHead, values: heads(q) },
          k: { dims: keys, values: swapAxes(heads(k), tokens, headDim) },
          v: { dims: perHead, values: heads(v) },
        },
        fromOnnx: (y) => swapAxes(y, numHeads, tokens, headDim),
        expected: () =>
          attention(
            { batch: 1, queryTokens: tokens, keyTokens: tokens, numHeads, headDim },
            doubles(q),
            doubles(k),
            doubles(v),
            scale,
          ),
      };
    },
  };
}

export const COMPARE_CASES: readonly NamedCase[] = [
  convCase(32, 320, 320),
  convCase(128, 128, 128),
  resnetCase(32, 320),
  matmulCase(512, 512, 512),
  matmulCase(256, 1024, 1024),
  attentionCase(1024, 5, 64),
  groupNormCase(32, 320),
  groupNormCase(128, 256),
];

/** The same operations so small that they show only that everything runs. */
export const TINY_CASES: readonly NamedCase[] = [
  convCase(8, 32, 48),
  resnetCase(8, 32),
  matmulCase(12, 20, 28),
  attentionCase(24, 2, 8),
  groupNormCase(8, 64),
];
