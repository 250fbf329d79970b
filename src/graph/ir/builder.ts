/**
 * Builds a graph: one method per operation, shapes inferred and checked with the module path in every
 * message. Methods emit plain unfused nodes; `passes.ts` fuses them.
 */
import type { DType } from "../../gpu/dtype.ts";
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { conv2dOutputSize } from "../../kernels/contraction/conv2d.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";
import type { Graph, Node, NodeInputs, Op, Value, Weight, WeightLayout } from "./ir.ts";
import { channelsOf, rowsOf } from "./ir.ts";

/** A module path in a checkpoint. `at("norm1")` narrows it; names stay verbatim. */
export class WeightScope {
  /** The path, parts separated by dots; empty at the top. */
  readonly path: string;

  constructor(path = "") {
    this.path = path;
  }

  /** The module `<path>.<name>`. */
  at(name: string): WeightScope {
    return new WeightScope(this.path === "" ? name : `${this.path}.${name}`);
  }

  /** The parameter `<path>.<name>`. */
  weight(name: string, shape: readonly number[], layout: WeightLayout): Weight {
    return { name: this.path === "" ? name : `${this.path}.${name}`, shape, layout };
  }
}

/** Options of a convolution. */
export interface Conv2dOptions {
  /** Channels of the output. */
  readonly outChannels: number;
  /** Side of the square window in pixels. */
  readonly kernelSize: number;
  /** Pixels between the windows of neighbouring outputs. */
  readonly stride: number;
  /** One number for all sides, or `[top, bottom, left, right]`. */
  readonly padding: number | readonly [number, number, number, number];
  /** Whether there is a parameter `bias`. */
  readonly bias: boolean;
}

/** What a kernel's operands are in a graph, by the kernel's names for them. */
export interface KernelOperands {
  /** Values that it reads. */
  readonly inputs: Readonly<Record<string, Value>>;
  /** Parameters that it reads, in a layout that it understands. */
  readonly weights?: Readonly<Record<string, Weight>>;
  /** The one that it writes. */
  readonly output: string;
}

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
    if (!isShape(shape)) {
      throw new ShapeError(`graph: input "${name}" needs sizes ≥ 1, got [${shape.join(", ")}]`);
    }
    if (this.#inputs.has(name)) throw new ShapeError(`graph: input "${name}" is declared already`);
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
    if (this.#outputs.size === 0)
      throw new ShapeError("graph: has no output. Call output(name, value)");
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
    if (channelsOf(x) !== channelsOf(view) || rowsOf(x) !== rowsOf(view)) {
      throw new ShapeError(
        `reshape: rows and channels must stay, got [${x.shape.join(", ")}] → [${shape.join(", ")}]`,
      );
    }
    return view;
  }

  /** [N, H, W, C] → [N, OH, OW, outChannels]. Parameters `weight` [O, C, k, k] and `bias` [O]. */
  conv2d(x: Value, w: WeightScope, options: Conv2dOptions): Value {
    const [batch, inHeight, inWidth, inChannels] = this.#map(x, "conv2d", w.path);
    const { outChannels, kernelSize: k, stride, bias } = options;
    checkOutChannels("conv2d", outChannels, w);
    const padding =
      typeof options.padding === "number"
        ? ([options.padding, options.padding, options.padding, options.padding] as const)
        : options.padding;
    const [outHeight, outWidth] = conv2dOutputSize({
      inHeight,
      inWidth,
      kernelSize: [k, k],
      stride,
      padding,
      upsample: false,
    });
    if (outHeight < 1 || outWidth < 1) {
      throw new ShapeError(
        `conv2d: kernel ${k} does not fit the input [${x.shape.join(", ")}] with padding [${padding.join(", ")}] (${w.path})`,
      );
    }
    return this.#emit(
      {
        kind: "conv2d",
        weight: w.weight("weight", [outChannels, inChannels, k, k], "matrix"),
        bias: bias ? w.weight("bias", [outChannels], "vector") : null,
        kernelSize: [k, k],
        stride,
        padding,
        upsample: false,
        inputActivation: "none",
        channelAddOffset: 0,
        activation: "none",
      },
      { x: [x] },
      [batch, outHeight, outWidth, outChannels],
      w.path,
    );
  }

  /** [.., C] → [.., outChannels]. Parameters `weight` [O, C] and `bias` [O]. */
  linear(x: Value, w: WeightScope, outChannels: number, bias: boolean): Value {
    checkOutChannels("linear", outChannels, w);
    return this.#emit(
      {
        kind: "linear",
        weight: w.weight("weight", [outChannels, channelsOf(x)], "matrix"),
        bias: bias ? w.weight("bias", [outChannels], "vector") : null,
        inputActivation: "none",
        channelAddOffset: 0,
        layerNorm: null,
        activation: "none",
        geglu: false,
      },
      { x: [x] },
      [...x.shape.slice(0, -1), outChannels],
      w.path,
    );
  }

  /** Group normalisation over [N, H, W, C] with parameters `weight`, `bias` [C]. */
  groupNorm(x: Value, w: WeightScope, options: { numGroups: number; eps: number }): Value {
    const [batch, , , channels] = this.#map(x, "groupNorm", w.path);
    const { numGroups, eps } = options;
    if (channels % numGroups !== 0) {
      throw new ShapeError(
        `groupNorm: channels must be divisible by numGroups, got ${channels} and ${numGroups} (${w.path})`,
      );
    }
    const stats = this.#emit({ kind: "channelStats" }, { x: [x] }, [batch, channels], w.path);
    const affine = this.#emit(
      {
        kind: "groupNormAffine",
        gamma: w.weight("weight", [channels], "vector"),
        beta: w.weight("bias", [channels], "vector"),
        stacked: null,
        numGroups,
        eps,
      },
      { x: [stats] },
      [batch, 2, channels],
      w.path,
    );
    return this.#emit({ kind: "affine", activation: "none" }, { x: [x, affine] }, x.shape, w.path);
  }

  /** Mean over the pixels of [N, H, W, C] → [N, C]. */
  globalAveragePool(x: Value, path: string): Value {
    const [batch, , , channels] = this.#map(x, "globalAveragePool", path);
    const stats = this.#emit({ kind: "channelStats" }, { x: [x] }, [batch, channels], path);
    return this.#emit({ kind: "channelMean" }, { x: [stats] }, [batch, channels], path);
  }

  /** Layer normalisation over the channel axis with parameters `weight`, `bias` [C]. */
  layerNorm(x: Value, w: WeightScope, eps: number): Value {
    const channels = channelsOf(x);
    return this.#emit(
      {
        kind: "layerNorm",
        gamma: w.weight("weight", [channels], "vector"),
        beta: w.weight("bias", [channels], "vector"),
        eps,
      },
      { x: [x] },
      x.shape,
      w.path,
    );
  }

  /**
   * softmax(scale·q kᵀ) v per head. q [B, Tq, H·d], k and v [B, Tk, H·d] → [B, Tq, H·d]; head h owns channels
   * h·d … h·d + d − 1.
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
    if (channels % numHeads !== 0) {
      throw new ShapeError(
        `attention: channels must be divisible by numHeads, got ${channels} and ${numHeads} (${path})`,
      );
    }
    if (
      q.shape.length !== 3 ||
      `${k.shape}` !== `${v.shape}` ||
      channelsOf(k) !== channels ||
      k.shape[0] !== q.shape[0]
    ) {
      throw new ShapeError(
        `attention: needs q [B, Tq, C] and k, v [B, Tk, C], got [${q.shape}], [${k.shape}], [${v.shape}] (${path})`,
      );
    }
    return this.#emit(
      { kind: "attention", numHeads, headDim: channels / numHeads, scale, offsets: [0, 0, 0] },
      { x: [q, k, v] },
      q.shape,
      path,
    );
  }

  /** activate(x), elementwise. */
  activation(x: Value, activation: Activation, path: string): Value {
    return this.#emit(
      { kind: "elementwise", scaleA: 1, scaleB: 0, activation },
      { x: [x] },
      x.shape,
      path,
    );
  }

  /** a + b, equal shapes. */
  add(a: Value, b: Value, path: string): Value {
    return this.combine(a, 1, b, 1, path);
  }

  /** scaleA·a + scaleB·b, equal shapes. */
  combine(a: Value, scaleA: number, b: Value, scaleB: number, path: string): Value {
    if (`${a.shape}` !== `${b.shape}`) {
      throw new ShapeError(
        `add: shapes must be equal, got [${a.shape}] and [${b.shape}] (${path})`,
      );
    }
    return this.#emit(
      { kind: "elementwise", scaleA, scaleB, activation: "none" },
      { x: [a, b] },
      a.shape,
      path,
    );
  }

  /** scale·x. */
  scale(x: Value, scale: number, path: string): Value {
    return this.#emit(
      { kind: "elementwise", scaleA: scale, scaleB: 0, activation: "none" },
      { x: [x] },
      x.shape,
      path,
    );
  }

  /** x [N, H, W, C] plus v [N, C] at every pixel. */
  channelAdd(x: Value, v: Value, path: string): Value {
    const [batch, , , channels] = this.#map(x, "channelAdd", path);
    if (v.shape.length !== 2 || v.shape[0] !== batch || v.shape[1] !== channels) {
      throw new ShapeError(
        `channelAdd: needs [${batch}, ${channels}] for x [${x.shape}], got [${v.shape}] (${path})`,
      );
    }
    return this.#emit({ kind: "channelAdd" }, { x: [x], channelAdd: v }, x.shape, path);
  }

  /** value · gelu(gate) with [value | gate] = x [.., 2D] → [.., D]. */
  geglu(x: Value, path: string): Value {
    const channels = channelsOf(x);
    if (channels % 2 !== 0)
      throw new ShapeError(`geglu: needs an even channel count, got ${channels} (${path})`);
    return this.#emit({ kind: "geglu" }, { x: [x] }, [...x.shape.slice(0, -1), channels / 2], path);
  }

  /** Nearest resize to [height, width], source index floor(i · in / out). */
  upsampleNearest(x: Value, height: number, width: number, path: string): Value {
    const [batch, , , channels] = this.#map(x, "upsampleNearest", path);
    if (!isShape([height, width])) {
      throw new ShapeError(`upsampleNearest: needs a size ≥ 1, got ${height}×${width} (${path})`);
    }
    return this.#emit(
      { kind: "upsampleNearest" },
      { x: [x] },
      [batch, height, width, channels],
      path,
    );
  }

  /** Channel concatenation of a and b. */
  concat(a: Value, b: Value, path: string): Value {
    const rowShape = a.shape.slice(0, -1);
    if (`${rowShape}` !== `${b.shape.slice(0, -1)}`) {
      throw new ShapeError(
        `concat: all but the channel axis must agree, got [${a.shape}] and [${b.shape}] (${path})`,
      );
    }
    return this.#emit(
      { kind: "concat" },
      { x: [a, b] },
      [...rowShape, channelsOf(a) + channelsOf(b)],
      path,
    );
  }

  /** Channels offset … offset + count − 1 of x, optionally clamped. */
  sliceChannels(
    x: Value,
    offset: number,
    count: number,
    clamp: readonly [number, number] | null,
    path: string,
  ): Value {
    if (offset < 0 || count < 1 || offset + count > channelsOf(x)) {
      throw new ShapeError(
        `sliceChannels: ${offset} … ${offset + count} is outside [${x.shape}] (${path})`,
      );
    }
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
    if (patches.shape.length !== 3) {
      throw new ShapeError(
        `tokenEmbeddings: needs [B, P, C], got [${patches.shape.join(", ")}] (${w.path})`,
      );
    }
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
    if (!isShape(shape)) {
      throw new ShapeError(
        `${kernel.name}: output needs sizes ≥ 1, got [${shape.join(", ")}] (${path})`,
      );
    }
    return this.#emit(
      {
        kind: "kernel",
        kernel,
        problem,
        inputNames: Object.keys(inputs),
        weights,
        outputName: output,
      },
      { x: Object.values(inputs) },
      shape,
      path,
    );
  }

  #map(x: Value, op: string, path: string): readonly [number, number, number, number] {
    const [n, h, w, c, ...rest] = x.shape;
    if (
      n === undefined ||
      h === undefined ||
      w === undefined ||
      c === undefined ||
      rest.length > 0
    ) {
      throw new ShapeError(`${op}: needs [N, H, W, C], got [${x.shape.join(", ")}] (${path})`);
    }
    return [n, h, w, c];
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

function checkOutChannels(op: string, outChannels: number, w: WeightScope): void {
  if (!isShape([outChannels])) {
    throw new ShapeError(
      `${op}: outChannels must be an integer ≥ 1, got ${outChannels} (${w.path})`,
    );
  }
}
