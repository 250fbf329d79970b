/** A benchmark case as a graph of the engine, in plain nodes: what the engine fuses in a model, it fuses here. */
import type { DType } from "../../gpu/dtype.ts";
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Graph, Value } from "../../graph/ir/ir.ts";
import type { CaseShape } from "./case-shape.ts";

const ROOT = new WeightScope();

/** Cases that are graphs: all but RCOD_S's merge, which is not run in one. */
export type GraphShape = Exclude<CaseShape, { kind: "lora-merge" }>;

/** One output, `y`; batch 1. */
export function caseGraph(shape: GraphShape, dtype: DType): Graph {
  if (shape.kind === "attention") return attentionGraph(shape, dtype);
  const g = new GraphBuilder(dtype);
  g.output("y", build(g, shape));
  return g.build();
}

function build(g: GraphBuilder, shape: Exclude<GraphShape, { kind: "attention" }>): Value {
  const map = (name: string, size: number, channels: number): Value =>
    g.input(name, [1, size, size, channels]);
  const rows = (name: string, count: number, channels: number): Value =>
    g.input(name, [1, count, channels]);
  switch (shape.kind) {
    case "conv2d": {
      const { size, from, to, stride, padding, upsample = false, shortcut = [] } = shape;
      const x = map("x", size, from);
      const doubled = upsample ? g.upsampleNearest(x, 2 * size, 2 * size, "upsample") : x;
      const options = { outChannels: to, kernelSize: 3, stride, padding, bias: true };
      const y = g.conv2d(doubled, ROOT.at("conv"), options);
      if (shortcut.length > 0) {
        const source = joined(
          g,
          shortcut.map((channels, i) => map(`shortcut${i}`, size, channels)),
        );
        const pointwise = { ...options, kernelSize: 1, padding: 0 };
        return g.add(g.conv2d(source, ROOT.at("shortcut"), pointwise), y, "add");
      }
      return stride === 1 && !upsample ? g.add(map("residual", size, to), y, "add") : y;
    }
    case "linear": {
      const { rows: count, from, to, epilogue } = shape;
      const x = joined(
        g,
        from.map((channels, i) => rows(`x${i}`, count, channels)),
      );
      const y = g.linear(x, ROOT.at("linear"), epilogue === "geglu" ? 2 * to : to, true);
      switch (epilogue) {
        case "bias":
          return y;
        case "residual":
          return g.add(rows("residual", count, to), y, "add");
        case "quick_gelu":
          return g.activation(y, epilogue, "activation");
        case "geglu":
          return g.geglu(y, "geglu");
        default:
          return epilogue satisfies never;
      }
    }
    case "group-norm-silu": {
      const { size, channels, numGroups, eps } = shape;
      const norm = g.groupNorm(map("x", size, channels), ROOT.at("norm"), { numGroups, eps });
      return g.activation(norm, "silu", "silu");
    }
    case "layer-norm":
      return g.layerNorm(rows("x", shape.rows, shape.channels), ROOT.at("norm"), 1e-5);
    case "add":
      return g.add(
        rows("a", shape.rows, shape.channels),
        rows("b", shape.rows, shape.channels),
        "add",
      );
    case "upsample": {
      const { size, channels } = shape;
      return g.upsampleNearest(map("x", size, channels), 2 * size, 2 * size, "upsample");
    }
    default:
      return shape satisfies never;
  }
}

function joined(g: GraphBuilder, sources: readonly Value[]): Value {
  return sources.reduce((a, b) => g.concat(a, b, "concat"));
}

/** Of windows of stacked rows, which a builder has no method for: the engine stacks projections itself. */
function attentionGraph(
  { queryTokens, keyTokens, numHeads, headDim, stacked }: Extract<CaseShape, { kind: "attention" }>,
  dtype: DType,
): Graph {
  const channels = numHeads * headDim;
  const tokens = (id: number, count: number, width: number): Value => ({
    id,
    shape: [1, count, width],
  });
  const windows = (): {
    readonly inputs: Readonly<Record<string, Value>>;
    readonly offsets: readonly [q: number, k: number, v: number];
  } => {
    if (stacked === "qkv") {
      const qkv = tokens(0, keyTokens, 3 * channels);
      return { inputs: { qkv }, offsets: [0, channels, 2 * channels] };
    }
    const q = tokens(0, queryTokens, channels);
    if (stacked === undefined) {
      const [k, v] = [tokens(1, keyTokens, channels), tokens(2, keyTokens, channels)];
      return { inputs: { q, k, v }, offsets: [0, 0, 0] };
    }
    const { kvChannels } = stacked;
    const offsets = [0, kvChannels - 2 * channels, kvChannels - channels] as const;
    return { inputs: { q, kv: tokens(1, keyTokens, kvChannels) }, offsets };
  };
  const { inputs, offsets } = windows();
  const values = Object.values(inputs);
  const [first, last] = [values[0] as Value, values.at(-1) as Value];
  const output = tokens(3, queryTokens, channels);
  const op = { kind: "attention", numHeads, headDim, scale: headDim ** -0.5, offsets } as const;
  return {
    dtype,
    nodes: [{ op, inputs: { x: [first, values[1] ?? first, last] }, output, path: "attention" }],
    inputs: new Map(Object.entries(inputs)),
    outputs: new Map([["y", output]]),
    named: new Map(),
  };
}
