/**
 * The intermediate representation: a list of nodes in execution order over single-assignment values.
 *
 * A value is a tensor with channels innermost: [N, H, W, C], [B, T, C] or [B, C]. Reshaping that keeps the
 * channel axis costs nothing (NHWC [H, W, C] *is* the token matrix [H·W, C]), so a view is another `Value`
 * with the same `id`.
 */
import type { DType } from "../../gpu/dtype.ts";
import type { Kernel } from "../../kernels/kernel.ts";
import type { Activation } from "../../kernels/pointwise/activation.ts";

/** A handle on a tensor. Equal `id` means equal storage. */
export interface Value {
  /** Names the storage. */
  readonly id: number;
  /** Channels last. */
  readonly shape: readonly number[];
}

/** How a checkpoint tensor is laid out on the device. */
export type WeightLayout =
  /** Conv [O, I, kh, kw] or linear [O, I], `packWeight` order. */
  | "matrix"
  /** Linear [2D, I] whose halves are interleaved for GEGLU. */
  | "geglu-matrix"
  /** Conv [O, I, 3, 3] folded with a doubling of the map before it: 16 taps. */
  | "upsample-matrix"
  /** The rows of `parts`, linear [O, I] of whole quads each, one after another. */
  | "stacked-matrix"
  /** `parts`: conv [O, I, kh, kw], and behind its taps conv or linear [O, J] as one more. */
  | "shortcut-matrix"
  /** [C] as f32, padded to quads. */
  | "vector"
  /** `parts` [C] one after another, each padded to quads. */
  | "stacked-vector"
  /** The sum of `parts` [C]. */
  | "summed-vector"
  /** [2D] as f32, interleaved like `geglu-matrix`. */
  | "geglu-vector"
  /** [rows, C] as f32, rows padded to quads. */
  | "table";

/**
 * A parameter the graph reads: a verbatim checkpoint name and the shape the graph needs. Or several in one
 * buffer (`parts`, in plain layouts); then the name is no checkpoint's, but still this weight's own.
 */
export interface Weight {
  /** Verbatim as in the checkpoint. */
  readonly name: string;
  /** As in the checkpoint. */
  readonly shape: readonly number[];
  /** How it lies on the device. */
  readonly layout: WeightLayout;
  /** The tensors of which it is made. */
  readonly parts?: readonly Weight[];
}

/** Parameters of a LayerNorm. */
export interface LayerNormWeights {
  readonly gamma: Weight;
  readonly beta: Weight;
  readonly eps: number;
}

/** What an operation is, apart from its operands. */
export type Op =
  | {
      readonly kind: "conv2d";
      readonly weight: Weight;
      readonly bias: Weight | null;
      readonly kernelSize: readonly [number, number];
      readonly stride: number;
      readonly padding: readonly [number, number, number, number];
      /** Doubles the map by nearest neighbour first; the weight's layout is `upsample-matrix`. */
      readonly upsample: boolean;
      /** Applied to x after `inputs.norm`. */
      readonly inputActivation: "none" | "silu";
      /** First channel of `inputs.channelAdd` that is added. */
      readonly channelAddOffset: number;
      readonly activation: Activation;
    }
  | {
      readonly kind: "linear";
      readonly weight: Weight;
      readonly bias: Weight | null;
      /** Applied to x after `inputs.norm`. */
      readonly inputActivation: "none" | "silu";
      /** First channel of `inputs.channelAdd` that is added. */
      readonly channelAddOffset: number;
      /** LayerNorm of x while it is loaded, with `inputs.rowStatistics`. */
      readonly layerNorm: LayerNormWeights | null;
      readonly activation: Activation;
      readonly geglu: boolean;
    }
  | { readonly kind: "channelStats" }
  | { readonly kind: "channelMean" }
  | {
      readonly kind: "groupNormAffine";
      readonly gamma: Weight;
      readonly beta: Weight;
      /** Both in one buffer, which then takes the place of the two. */
      readonly stacked: Weight | null;
      readonly numGroups: number;
      readonly eps: number;
    }
  | { readonly kind: "affine"; readonly activation: Activation }
  | {
      readonly kind: "layerNorm";
      readonly gamma: Weight;
      readonly beta: Weight;
      readonly eps: number;
    }
  | {
      readonly kind: "attention";
      readonly numHeads: number;
      readonly headDim: number;
      readonly scale: number;
      /** First channel of q, k and v in their values, which may be one. */
      readonly offsets: readonly [q: number, k: number, v: number];
    }
  | {
      readonly kind: "elementwise";
      readonly scaleA: number;
      readonly scaleB: number;
      readonly activation: Activation;
    }
  | { readonly kind: "channelAdd" }
  | { readonly kind: "geglu" }
  | { readonly kind: "upsampleNearest" }
  | { readonly kind: "concat" }
  | {
      readonly kind: "sliceChannels";
      readonly offset: number;
      readonly scale: number;
      readonly clamp: readonly [number, number] | null;
    }
  | {
      readonly kind: "tokenEmbeddings";
      readonly classEmbedding: Weight;
      readonly position: Weight;
    }
  | ForeignOp;

/** A kernel that the graph knows nothing of (`GraphBuilder.kernel`). Passes leave it and its operands alone. */
export interface ForeignOp {
  readonly kind: "kernel";
  readonly kernel: Kernel<unknown>;
  /** What the kernel computes, in its own terms. */
  readonly problem: unknown;
  /** The kernel's names of the values in `x`, in order. */
  readonly inputNames: readonly string[];
  /** Weights by the kernel's names. */
  readonly weights: Readonly<Record<string, Weight>>;
  /** The kernel's name of the output. */
  readonly outputName: string;
}

/** Operands of a node. `x` are the main inputs (two where channels are concatenated on the fly). */
export interface NodeInputs {
  readonly x: readonly Value[];
  readonly residual?: Value;
  readonly channelAdd?: Value;
  /** One or two sources of a 1×1 convolution that conv2d adds; the weight's layout is `shortcut-matrix`. */
  readonly shortcut?: readonly Value[];
  /** Scale and shift of a GroupNorm that conv2d or linear applies to x while loading it. */
  readonly norm?: Value;
  /** Statistics of the rows of x, for the LayerNorm of a linear layer: `Node.rowStatistics` of the node before. */
  readonly rowStatistics?: Value;
}

/** One operation: what it computes, on what. */
export interface Node {
  /** What it computes. */
  readonly op: Op;
  /** What it reads. */
  readonly inputs: NodeInputs;
  /** What it writes. */
  readonly output: Value;
  /** Of a conv2d or linear: statistics of the output's channels, as op `channelStats` makes them. */
  readonly statistics?: Value;
  /** Of a linear layer: statistics of the output's rows. Absent at run time where its variant gives none. */
  readonly rowStatistics?: Value;
  /** Module path, for messages, profiles and captures. */
  readonly path: string;
}

/** A list of operations with named inputs and outputs. */
export interface Graph {
  /** Storage of activations. */
  readonly dtype: DType;
  /** In execution order. */
  readonly nodes: readonly Node[];
  /** Values that the caller writes, by name. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** Results, by name. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** Values by module path, for captures. */
  readonly named: ReadonlyMap<string, Value>;
}

/** Every operand of a node. */
export function nodeInputs({ inputs }: Node): Value[] {
  const all = [...inputs.x];
  if (inputs.residual) all.push(inputs.residual);
  if (inputs.channelAdd) all.push(inputs.channelAdd);
  if (inputs.shortcut) all.push(...inputs.shortcut);
  if (inputs.norm) all.push(inputs.norm);
  if (inputs.rowStatistics) all.push(inputs.rowStatistics);
  return all;
}

/** The weights of a node, in no particular order. */
function nodeWeights({ op }: Node): Weight[] {
  switch (op.kind) {
    case "conv2d":
      return op.bias ? [op.weight, op.bias] : [op.weight];
    case "linear": {
      const norm = op.layerNorm ? [op.layerNorm.gamma, op.layerNorm.beta] : [];
      return [op.weight, ...(op.bias ? [op.bias] : []), ...norm];
    }
    case "groupNormAffine":
      return op.stacked ? [op.stacked] : [op.gamma, op.beta];
    case "layerNorm":
      return [op.gamma, op.beta];
    case "tokenEmbeddings":
      return [op.classEmbedding, op.position];
    case "kernel":
      return Object.values(op.weights);
    default:
      return [];
  }
}

/** Names a weight in its layout: a tensor may be needed in several. */
export function weightKey({ name, layout }: Weight): string {
  return `${layout} ${name}`;
}

/** The checkpoint's tensors in a weight. */
export function weightParts(weight: Weight): readonly Weight[] {
  return weight.parts ?? [weight];
}

/** What `graph` reads, each once, in order of first use. */
export function graphWeights(graph: Pick<Graph, "nodes">): Weight[] {
  const byKey = new Map<string, Weight>();
  const shapes = new Map<string, readonly number[]>();
  for (const weight of graph.nodes.flatMap(nodeWeights)) {
    const shape = shapes.get(weight.name) ?? weight.shape;
    if (`${shape}` !== `${weight.shape}`) {
      throw new Error(
        `internal: weight "${weight.name}" is used as [${shape}] and as [${weight.shape}]`,
      );
    }
    shapes.set(weight.name, shape);
    byKey.set(weightKey(weight), weight);
  }
  return [...byKey.values()];
}

/** Ids that no value of the graph has. */
export function freshIds({ nodes, inputs }: Graph): () => number {
  const values = [...inputs.values(), ...nodes.map(({ output }) => output)];
  for (const { statistics, rowStatistics } of nodes) {
    values.push(...[statistics ?? [], rowStatistics ?? []].flat());
  }
  let next = 1 + values.reduce((largest, { id }) => Math.max(largest, id), -1);
  return () => next++;
}

/** Size of the channel axis. */
export function channelsOf(value: Value): number {
  return value.shape[value.shape.length - 1] as number;
}

/** Number of channel rows: pixels or tokens over the whole batch. */
export function rowsOf(value: Value): number {
  return value.shape.slice(0, -1).reduce((product, size) => product * size, 1);
}
