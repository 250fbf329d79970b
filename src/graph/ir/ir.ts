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
import type { IntegerStorage } from "../../kernels/quantized/storage.ts";

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
  /** The rows of `members`, linear [O, I] of whole quads each, one after another. */
  | "stacked-matrix"
  /** Two `members`: conv [O, I, kh, kw], and as one more tap behind its taps conv or linear [O, J]. */
  | "shortcut-matrix"
  /** [C] as f32, padded to quads. */
  | "vector"
  /** `members` [C] one after another, each padded to quads. */
  | "stacked-vector"
  /** The sum of `members` [C]. */
  | "summed-vector"
  /** [2D] as f32, interleaved like `geglu-matrix`. */
  | "geglu-vector"
  /** [rows, C] as f32, rows padded to quads. */
  | "table";

/**
 * A parameter that the graph reads: one tensor of the checkpoint, or several in one buffer. Passes make the latter
 * from their `members`; its name is in no checkpoint, but no other weight has it.
 */
export interface Weight {
  /** Verbatim as in the checkpoint, if there are no `members`. */
  readonly name: string;
  /** The shape that the graph needs. */
  readonly shape: readonly number[];
  /** How it lies on the device. */
  readonly layout: WeightLayout;
  /** A matrix of integers, in the checkpoint and on the device; its members are too. Absent: floats. */
  readonly storage?: IntegerStorage;
  /** The checkpoint's tensors of which it is made, in plain layouts. Absent: it is one itself. */
  readonly members?: readonly Weight[];
}

/** Parameters of a LayerNorm. */
export interface LayerNormWeights {
  readonly gamma: Weight;
  readonly beta: Weight;
  readonly eps: number;
}

/** What conv2d and linear have in common. */
export interface Contraction {
  readonly weight: Weight;
  readonly bias: Weight | null;
  /** Applied to x after `inputs.norm`. */
  readonly inputActivation: "none" | "silu";
  /** First channel of `inputs.channelAdd` that is added. */
  readonly channelAddOffset: number;
  readonly activation: Activation;
}

/** What an operation is, apart from its operands. */
export type Op =
  | (Contraction & {
      readonly kind: "conv2d";
      readonly kernelSize: readonly [number, number];
      readonly stride: number;
      readonly padding: readonly [number, number, number, number];
      /** Doubles the map by nearest neighbour first; the weight's layout is `upsample-matrix`. */
      readonly upsample: boolean;
    })
  | (Contraction & {
      readonly kind: "linear";
      /** LayerNorm of x while it is loaded, with `inputs.rowStatistics`. */
      readonly layerNorm: LayerNormWeights | null;
      readonly geglu: boolean;
    })
  | { readonly kind: "channelStats" }
  | { readonly kind: "channelMean" }
  | {
      readonly kind: "groupNormAffine";
      readonly gamma: Weight;
      readonly beta: Weight;
      /** Gamma and beta in one buffer; then the kernel binds it in the place of both. */
      readonly stacked: Weight | null;
      readonly numGroups: number;
      readonly eps: number;
    }
  | { readonly kind: "affine"; readonly activation: Activation }
  | (LayerNormWeights & { readonly kind: "layerNorm" })
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
  /** Scale and shift of a GroupNorm (output of `groupNormAffine`) that conv2d or linear applies to x while loading it. */
  readonly norm?: Value;
  /** Statistics of the rows of x, for `layerNorm` of a linear layer. The node that makes x has them as `Node.rowStatistics`. */
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
  /** Of a linear layer: statistics of the output's rows. Lowering does without where the variant cannot take them. */
  readonly rowStatistics?: Value;
  /** Module path, for messages, profiles and captures. */
  readonly path: string;
}

/** A node whose operation is of one of the given kinds. */
export type NodeOf<K extends Op["kind"]> = Node & { readonly op: Extract<Op, { kind: K }> };

/** Whether a node's operation is of one of these kinds. */
export function isNodeOf<K extends Op["kind"]>(
  node: Node,
  ...kinds: readonly K[]
): node is NodeOf<K> {
  return (kinds as readonly string[]).includes(node.op.kind);
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

/** Every value that a node reads, once for each time. */
export function nodeInputs({ inputs }: Node): Value[] {
  const { x, residual, channelAdd, shortcut = [], norm, rowStatistics } = inputs;
  return [...x, residual, channelAdd, ...shortcut, norm, rowStatistics].filter(
    (value) => value !== undefined,
  );
}

/** The weights of a node, in no particular order. */
function nodeWeights({ op }: Node): (Weight | null)[] {
  switch (op.kind) {
    case "conv2d":
      return [op.weight, op.bias];
    case "linear":
      return [op.weight, op.bias, op.layerNorm?.gamma ?? null, op.layerNorm?.beta ?? null];
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
export function weightMembers(weight: Weight): readonly Weight[] {
  return weight.members ?? [weight];
}

/** What `graph` reads, each once, in order of first use. */
export function graphWeights(graph: Pick<Graph, "nodes">): Weight[] {
  const byKey = new Map<string, Weight>();
  const shapes = new Map<string, readonly number[]>();
  for (const weight of graph.nodes.flatMap(nodeWeights)) {
    if (weight === null) continue;
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
  const written = nodes.flatMap(({ output, statistics, rowStatistics }) => [
    output.id,
    statistics?.id ?? -1,
    rowStatistics?.id ?? -1,
  ]);
  const read = [...inputs.values()].map(({ id }) => id);
  let next = 1 + [...read, ...written].reduce((largest, id) => Math.max(largest, id), -1);
  return () => next++;
}

/** Ids of the values in maps such as `graph.outputs` and `graph.named`. */
export function idsOf(...maps: readonly ReadonlyMap<string, Value>[]): ReadonlySet<number> {
  return new Set(maps.flatMap((values) => [...values.values()].map(({ id }) => id)));
}

/** Size of the channel axis. */
export function channelsOf(value: Value): number {
  return value.shape[value.shape.length - 1] as number;
}

/** Number of channel rows: pixels or tokens over the whole batch. */
export function rowsOf(value: Value): number {
  return value.shape.slice(0, -1).reduce((product, size) => product * size, 1);
}
