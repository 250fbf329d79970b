/**
 * Builds a graph: one method per operation. Shapes are inferred and checked; every message has the module path. Methods
 * emit plain nodes; `passes/passes.ts` fuses them.
 */
import type { DType } from "../../gpu/dtype.ts";
import { isShape } from "../../gpu/shape.ts";
import { conv2dOutputSize } from "../../kernels/contraction/conv2d.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";
import type { Conv2dOptions, KernelOperands } from "./builder-options.ts";
import type { Contraction, Graph, Node, NodeInputs, Op, Value, Weight } from "./ir.ts";
import { channelsOf, rowsOf } from "./ir.ts";
import { check, mapShape } from "./shape-checks.ts";
import type { WeightScope } from "./weight-scope.ts";

export { WeightScope } from "./weight-scope.ts";

/** Builds a graph, operation by operation; shapes are checked as they come. Throws `ShapeError` with the module path. */
export class GraphBuilder {
  /** Storage of activations. */
  readonly dtype: DType;
  readonly #nodes: Node[] = [];
  readonly #inputs = new Map<string, Value>();
  readonly #outputs = new Map<string, Value>();
  readonly #named = new Map<string, Value>();
  #nextId = 0;

  constructor(dtype: DType) {
    this.dtype = dtype;
  }

  /** A graph input: activations in the graph's dtype, channels padded to quads. */
  input(name: string, shape: readonly number[]): Value {
    check(isShape(shape), `graph: input "${name}" needs sizes ≥ 1, got [${shape.join(", ")}]`);
    check(!this.#inputs.has(name), `graph: input "${name}" is declared already`);
    const value = this.#value(shape);
    this.#inputs.set(name, value);
    return value;
  }

  /** Declares a result; it stays readable until the next run. */
  output(name: string, value: Value): void {
    this.#outputs.set(name, value);
  }

  /** Names a value for `captures`. Returns it. */
  name(path: string, value: Value): Value {
    this.#named.set(path, value);
    return value;
  }

  /** The graph so far. Throws `ShapeError` without an output. */
  build(): Graph {
    check(this.#outputs.size > 0, "graph: has no output. Call output(name, value)");
    return {
      dtype: this.dtype,
      nodes: [...this.#nodes],
      inputs: new Map(this.#inputs),
      outputs: new Map(this.#outputs),
      named: new Map(this.#named),
    };
  }

  /** The same storage seen with another shape; the channel axis and the number of rows must agree. */
  reshape(x: Value, shape: readonly number[]): Value {
    const view: Value = { id: x.id, shape };
    check(
      channelsOf(x) === channelsOf(view) && rowsOf(x) === rowsOf(view),
      `reshape: rows and channels must stay, got [${x.shape.join(", ")}] → [${shape.join(", ")}]`,
    );
    return view;
  }

  /** [N, H, W, C] → [N, OH, OW, outChannels]. Parameters `weight` [O, C, k, k] and `bias` [O]. */
  conv2d(x: Value, w: WeightScope, options: Conv2dOptions): Value {
    const [batch, inHeight, inWidth, inChannels] = mapShape(x, "conv2d", w.path);
    const { outChannels, kernelSize: k, stride, bias } = options;
    const contraction = contractionOf("conv2d", w, [outChannels, inChannels, k, k], bias);
    const side = options.padding;
    const padding = typeof side === "number" ? ([side, side, side, side] as const) : side;
    const [outHeight, outWidth] = conv2dOutputSize({
      inHeight,
      inWidth,
      kernelSize: [k, k],
      stride,
      padding,
      upsample: false,
    });
    check(
      outHeight >= 1 && outWidth >= 1,
      `conv2d: kernel ${k} does not fit the input [${x.shape.join(", ")}] with padding [${padding.join(", ")}]`,
      w.path,
    );
    return this.#emit(
      { kind: "conv2d", ...contraction, kernelSize: [k, k], stride, padding, upsample: false },
      { x: [x] },
      [batch, outHeight, outWidth, outChannels],
      w.path,
    );
  }

  /** [.., C] → [.., outChannels]. Parameters `weight` [O, C] and `bias` [O]. */
  linear(x: Value, w: WeightScope, outChannels: number, bias: boolean): Value {
    const contraction = contractionOf("linear", w, [outChannels, channelsOf(x)], bias);
    return this.#emit(
      { kind: "linear", ...contraction, layerNorm: null, geglu: false },
      { x: [x] },
      [...x.shape.slice(0, -1), outChannels],
      w.path,
    );
  }

  /** Group normalisation over [N, H, W, C] with parameters `weight`, `bias` [C]. */
  groupNorm(x: Value, w: WeightScope, options: { numGroups: number; eps: number }): Value {
    const [batch, , , channels] = mapShape(x, "groupNorm", w.path);
    const { numGroups, eps } = options;
    check(
      channels % numGroups === 0,
      `groupNorm: channels must be divisible by numGroups, got ${channels} and ${numGroups}`,
      w.path,
    );
    const stats = this.#emit({ kind: "channelStats" }, { x: [x] }, [batch, channels], w.path);
    const affine = this.#emit(
      { kind: "groupNormAffine", ...normWeights(w, channels), stacked: null, numGroups, eps },
      { x: [stats] },
      [batch, 2, channels],
      w.path,
    );
    return this.#emit({ kind: "affine", activation: "none" }, { x: [x, affine] }, x.shape, w.path);
  }

  /** Mean over the pixels of [N, H, W, C] → [N, C]. */
  globalAveragePool(x: Value, path: string): Value {
    const [batch, , , channels] = mapShape(x, "globalAveragePool", path);
    const stats = this.#emit({ kind: "channelStats" }, { x: [x] }, [batch, channels], path);
    return this.#emit({ kind: "channelMean" }, { x: [stats] }, [batch, channels], path);
  }

  /** Layer normalisation over the channel axis with parameters `weight`, `bias` [C]. */
  layerNorm(x: Value, w: WeightScope, eps: number): Value {
    const channels = channelsOf(x);
    return this.#emit(
      { kind: "layerNorm", ...normWeights(w, channels), eps },
      { x: [x] },
      x.shape,
      w.path,
    );
  }

  /**
   * softmax(scale·q kᵀ) v per head. q [B, Tq, H·d], k and v [B, Tk, H·d] → [B, Tq, H·d]; head h owns channels
   * h·d … h·d + d − 1. k and v of one image, [1, Tk, H·d], are those of every image.
   */
  attention(
    q: Value,
    k: Value,
    v: Value,
    options: { numHeads: number; scale: number },
    path: string,
  ): Value {
    const channels = channelsOf(q);
    const { numHeads, scale } = options;
    check(
      channels % numHeads === 0,
      `attention: channels must be divisible by numHeads, got ${channels} and ${numHeads}`,
      path,
    );
    const isShared = k.shape[0] === 1;
    check(
      q.shape.length === 3 &&
        `${k.shape}` === `${v.shape}` &&
        channelsOf(k) === channels &&
        (isShared || k.shape[0] === q.shape[0]),
      `attention: needs q [B, Tq, C] and k, v [B or 1, Tk, C], got [${q.shape}], [${k.shape}], [${v.shape}]`,
      path,
    );
    // Queries that see the same keys are those of one image.
    const queries = isShared ? this.reshape(q, [1, rowsOf(q), channels]) : q;
    const y = this.#emit(
      { kind: "attention", numHeads, headDim: channels / numHeads, scale, offsets: [0, 0, 0] },
      { x: [queries, k, v] },
      queries.shape,
      path,
    );
    return this.reshape(y, q.shape);
  }

  /** activate(x), elementwise. */
  activation(x: Value, activation: Activation, path: string): Value {
    return this.#elementwise([x], 1, 0, activation, path);
  }

  /** a + b, equal shapes. */
  add(a: Value, b: Value, path: string): Value {
    return this.combine(a, 1, b, 1, path);
  }

  /** scaleA·a + scaleB·b, equal shapes. */
  combine(a: Value, scaleA: number, b: Value, scaleB: number, path: string): Value {
    check(
      `${a.shape}` === `${b.shape}`,
      `add: shapes must be equal, got [${a.shape}] and [${b.shape}]`,
      path,
    );
    return this.#elementwise([a, b], scaleA, scaleB, "none", path);
  }

  /** scale·x. */
  scale(x: Value, scale: number, path: string): Value {
    return this.#elementwise([x], scale, 0, "none", path);
  }

  /** x [N, H, W, C] plus v [N, C], or [1, C] for all images, at every pixel. */
  channelAdd(x: Value, v: Value, path: string): Value {
    const [batch, , , channels] = mapShape(x, "channelAdd", path);
    check(
      v.shape.length === 2 && (v.shape[0] === batch || v.shape[0] === 1) && v.shape[1] === channels,
      `channelAdd: needs [${batch} or 1, ${channels}] for x [${x.shape}], got [${v.shape}]`,
      path,
    );
    return this.#emit({ kind: "channelAdd" }, { x: [x], channelAdd: v }, x.shape, path);
  }

  /** value · gelu(gate) with [value | gate] = x [.., 2D] → [.., D]. */
  geglu(x: Value, path: string): Value {
    const channels = channelsOf(x);
    check(channels % 2 === 0, `geglu: needs an even channel count, got ${channels}`, path);
    return this.#emit({ kind: "geglu" }, { x: [x] }, [...x.shape.slice(0, -1), channels / 2], path);
  }

  /** Nearest resize to [height, width], source index floor(i · in / out). */
  upsampleNearest(x: Value, height: number, width: number, path: string): Value {
    const [batch, , , channels] = mapShape(x, "upsampleNearest", path);
    const size = [height, width];
    check(isShape(size), `upsampleNearest: needs a size ≥ 1, got ${height}×${width}`, path);
    return this.#emit({ kind: "upsampleNearest" }, { x: [x] }, [batch, ...size, channels], path);
  }

  /** Channel concatenation of a and b. */
  concat(a: Value, b: Value, path: string): Value {
    const rowShape = a.shape.slice(0, -1);
    check(
      `${rowShape}` === `${b.shape.slice(0, -1)}`,
      `concat: all but the channel axis must agree, got [${a.shape}] and [${b.shape}]`,
      path,
    );
    const channels = channelsOf(a) + channelsOf(b);
    return this.#emit({ kind: "concat" }, { x: [a, b] }, [...rowShape, channels], path);
  }

  /** Channels offset … offset + count − 1 of x, optionally clamped. */
  sliceChannels(
    x: Value,
    offset: number,
    count: number,
    clamp: readonly [number, number] | null,
    path: string,
  ): Value {
    check(
      offset >= 0 && count >= 1 && offset + count <= channelsOf(x),
      `sliceChannels: ${offset} … ${offset + count} is outside [${x.shape}]`,
      path,
    );
    return this.#emit(
      { kind: "sliceChannels", offset, scale: 1, clamp },
      { x: [x] },
      [...x.shape.slice(0, -1), count],
      path,
    );
  }

  /**
   * CLIP's embeddings: class token prepended to patches [B, P, C], position table added → [B, P + 1, C].
   * Parameters `class_embedding` [C] and `position_embedding.weight` [P + 1, C].
   */
  tokenEmbeddings(patches: Value, w: WeightScope): Value {
    const [batch = 1, count = 1, channels = 1] = patches.shape;
    check(
      patches.shape.length === 3,
      `tokenEmbeddings: needs [B, P, C], got [${patches.shape.join(", ")}]`,
      w.path,
    );
    return this.#emit(
      {
        kind: "tokenEmbeddings",
        classEmbedding: w.weight("class_embedding", [channels], "vector"),
        position: w.at("position_embedding").weight("weight", [count + 1, channels], "table"),
      },
      { x: [patches] },
      [batch, count + 1, channels],
      w.path,
    );
  }

  /**
   * A kernel of your own, in the form of `rcod-webgpu/kernels`, on operands bound by its names for them. It reads
   * values in the graph's dtype, [rows, channels] in quads with zeros in the padding, and must write `output` so;
   * `shape` is the output's. The problem goes to the kernel as it is. Planning throws a `ShapeError` with `path` when
   * the kernel refuses the problem or its operands are not just these.
   */
  kernel<P>(
    kernel: Kernel<P>,
    problem: P,
    operands: KernelOperands,
    shape: readonly number[],
    path: string,
  ): Value {
    const { inputs, weights = {}, output } = operands;
    const sizes = shape.join(", ");
    check(isShape(shape), `${kernel.name}: output needs sizes ≥ 1, got [${sizes}]`, path);
    const inputNames = Object.keys(inputs);
    return this.#emit(
      { kind: "kernel", kernel, problem, inputNames, weights, outputName: output },
      { x: Object.values(inputs) },
      shape,
      path,
    );
  }

  #elementwise(
    x: readonly Value[],
    scaleA: number,
    scaleB: number,
    activation: Activation,
    path: string,
  ): Value {
    const { shape } = x[0] as Value;
    return this.#emit({ kind: "elementwise", scaleA, scaleB, activation }, { x }, shape, path);
  }

  #value(shape: readonly number[]): Value {
    return { id: this.#nextId++, shape };
  }

  #emit(op: Op, inputs: NodeInputs, shape: readonly number[], path: string): Value {
    const output = this.#value(shape);
    this.#nodes.push({ op, inputs, output, path });
    return output;
  }
}

/** What conv2d and linear have in common before any pass. */
function contractionOf(
  op: "conv2d" | "linear",
  w: WeightScope,
  shape: readonly [number, ...number[]],
  hasBias: boolean,
): Contraction {
  const [outChannels] = shape;
  check(
    isShape([outChannels]),
    `${op}: outChannels must be an integer ≥ 1, got ${outChannels}`,
    w.path,
  );
  return {
    weight: w.weight("weight", shape, "matrix"),
    bias: hasBias ? w.weight("bias", [outChannels], "vector") : null,
    inputActivation: "none",
    channelAddOffset: 0,
    activation: "none",
  };
}

function normWeights(w: WeightScope, channels: number): { gamma: Weight; beta: Weight } {
  return {
    gamma: w.weight("weight", [channels], "vector"),
    beta: w.weight("bias", [channels], "vector"),
  };
}
