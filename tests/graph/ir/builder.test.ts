import { describe, expect, it } from "vitest";
import { ShapeError } from "../../../src/gpu/shape.ts";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import { graphWeights } from "../../../src/graph/ir/ir.ts";

const w = new WeightScope("down_blocks.0").at("norm1");
const conv = { outChannels: 6, kernelSize: 3, stride: 1, padding: 1, bias: true };

function builder() {
  const g = new GraphBuilder("f32");
  return {
    g,
    map: g.input("x", [2, 7, 5, 6]),
    tokens: g.input("tokens", [2, 9, 8]),
    row: g.input("v", [2, 6]),
  };
}

describe("WeightScope", () => {
  it("joins names with dots and has none at the root", () => {
    expect(new WeightScope().at("a").at("0").path).toBe("a.0");
    expect(new WeightScope().weight("bias", [3], "vector").name).toBe("bias");
    expect(w.weight("weight", [3], "vector").name).toBe("down_blocks.0.norm1.weight");
  });
});

describe("shapes", () => {
  const { g, map, tokens, row } = builder();
  const cases: readonly [string, () => { readonly shape: readonly number[] }, readonly number[]][] =
    [
      ["conv2d keeps the size", () => g.conv2d(map, w, conv), [2, 7, 5, 6]],
      ["conv2d stride 2", () => g.conv2d(map, w, { ...conv, stride: 2 }), [2, 4, 3, 6]],
      [
        "conv2d of one side only",
        () => g.conv2d(map, w, { ...conv, stride: 2, padding: [0, 1, 0, 1] }),
        [2, 3, 2, 6],
      ],
      [
        "conv2d patches",
        () => g.conv2d(map, w, { ...conv, kernelSize: 5, stride: 5, padding: 0 }),
        [2, 1, 1, 6],
      ],
      ["linear of tokens", () => g.linear(tokens, w, 3, true), [2, 9, 3]],
      ["linear of a row", () => g.linear(row, w, 3, false), [2, 3]],
      ["groupNorm", () => g.groupNorm(map, w, { numGroups: 3, eps: 1e-5 }), [2, 7, 5, 6]],
      ["layerNorm", () => g.layerNorm(tokens, w, 1e-5), [2, 9, 8]],
      [
        "attention",
        () => g.attention(tokens, tokens, tokens, { numHeads: 2, scale: 1 }, "attn"),
        [2, 9, 8],
      ],
      ["activation", () => g.activation(row, "silu", "act"), [2, 6]],
      ["add", () => g.add(map, map, "add"), [2, 7, 5, 6]],
      ["scale", () => g.scale(map, 2, "scale"), [2, 7, 5, 6]],
      ["channelAdd", () => g.channelAdd(map, row, "temb"), [2, 7, 5, 6]],
      ["geglu", () => g.geglu(tokens, "ff"), [2, 9, 4]],
      ["upsampleNearest", () => g.upsampleNearest(map, 13, 10, "up"), [2, 13, 10, 6]],
      ["concat", () => g.concat(map, map, "cat"), [2, 7, 5, 12]],
      ["sliceChannels", () => g.sliceChannels(map, 2, 4, null, "slice"), [2, 7, 5, 4]],
      ["tokenEmbeddings", () => g.tokenEmbeddings(tokens, w), [2, 10, 8]],
      ["reshape", () => g.reshape(map, [2, 35, 6]), [2, 35, 6]],
    ];
  it.each(cases)("%s", (_name, build, shape) => expect(build().shape).toEqual(shape));

  it("a reshape is a view of the same storage", () => {
    expect(g.reshape(map, [2, 35, 6]).id).toBe(map.id);
  });

  it("parameters have verbatim names and the shapes of the checkpoint", () => {
    const { g: fresh, map: x, tokens: t } = builder();
    fresh.conv2d(x, new WeightScope("conv_in"), { ...conv, outChannels: 10 });
    fresh.linear(t, new WeightScope("to_q"), 4, false);
    fresh.tokenEmbeddings(t, new WeightScope("vision_model.embeddings"));
    fresh.groupNorm(x, new WeightScope("norm"), { numGroups: 2, eps: 1e-6 });
    fresh.output("y", x);
    expect(
      graphWeights(fresh.build()).map(({ name, shape, layout }) => `${name} [${shape}] ${layout}`),
    ).toEqual([
      "conv_in.weight [10,6,3,3] matrix",
      "conv_in.bias [10] vector",
      "to_q.weight [4,8] matrix",
      "vision_model.embeddings.class_embedding [8] vector",
      "vision_model.embeddings.position_embedding.weight [10,8] table",
      "norm.weight [6] vector",
      "norm.bias [6] vector",
    ]);
  });
});

describe("errors name the rule, the values and the module", () => {
  const { g, map, tokens, row } = builder();
  const heads = { numHeads: 2, scale: 1 };
  const cases: readonly [string, () => unknown, string][] = [
    ["input", () => g.input("x", [1, 0, 3]), 'graph: input "x" needs sizes ≥ 1, got [1, 0, 3]'],
    [
      "fractional input",
      () => g.input("z", [1.5, 3]),
      'graph: input "z" needs sizes ≥ 1, got [1.5, 3]',
    ],
    [
      "no output",
      () => new GraphBuilder("f32").build(),
      "graph: has no output. Call output(name, value)",
    ],
    [
      "reshape",
      () => g.reshape(map, [2, 6, 35]),
      "reshape: rows and channels must stay, got [2, 7, 5, 6] → [2, 6, 35]",
    ],
    [
      "conv2d",
      () => g.conv2d(map, w, { ...conv, kernelSize: 14, stride: 14, padding: 0 }),
      "conv2d: kernel 14 does not fit the input [2, 7, 5, 6] with padding [0, 0, 0, 0] (down_blocks.0.norm1)",
    ],
    [
      "conv2d rank",
      () => g.conv2d(tokens, w, conv),
      "conv2d: needs [N, H, W, C], got [2, 9, 8] (down_blocks.0.norm1)",
    ],
    [
      "groupNorm",
      () => g.groupNorm(map, w, { numGroups: 4, eps: 1 }),
      "groupNorm: channels must be divisible by numGroups, got 6 and 4 (down_blocks.0.norm1)",
    ],
    [
      "groupNorm rank",
      () => g.groupNorm(row, w, { numGroups: 1, eps: 1 }),
      "groupNorm: needs [N, H, W, C], got [2, 6]",
    ],
    [
      "attention heads",
      () => g.attention(tokens, tokens, tokens, { numHeads: 3, scale: 1 }, "attn1"),
      "attention: channels must be divisible by numHeads, got 8 and 3 (attn1)",
    ],
    [
      "attention keys",
      () => g.attention(tokens, tokens, g.layerNorm(g.input("k", [2, 4, 8]), w, 1), heads, "attn1"),
      "attention: needs q [B, Tq, C] and k, v [B or 1, Tk, C], got [2,9,8], [2,9,8], [2,4,8] (attn1)",
    ],
    [
      "add",
      () => g.add(map, tokens, "mid"),
      "add: shapes must be equal, got [2,7,5,6] and [2,9,8] (mid)",
    ],
    [
      "channelAdd",
      () => g.channelAdd(map, g.input("t", [3, 6]), "temb"),
      "channelAdd: needs [2 or 1, 6] for x [2,7,5,6], got [3,6] (temb)",
    ],
    [
      "geglu",
      () => g.geglu(g.input("odd", [1, 2, 3]), "ff.net.0"),
      "geglu: needs an even channel count, got 3 (ff.net.0)",
    ],
    [
      "concat",
      () => g.concat(map, tokens, "up"),
      "concat: all but the channel axis must agree, got [2,7,5,6] and [2,9,8] (up)",
    ],
    [
      "slice",
      () => g.sliceChannels(map, 4, 3, null, "mean"),
      "sliceChannels: 4 … 7 is outside [2,7,5,6] (mean)",
    ],
    [
      "slice of nothing",
      () => g.sliceChannels(map, 4, 0, null, "mean"),
      "sliceChannels: 4 … 4 is outside [2,7,5,6] (mean)",
    ],
    [
      "upsample rank",
      () => g.upsampleNearest(row, 2, 2, "up"),
      "upsampleNearest: needs [N, H, W, C], got [2, 6] (up)",
    ],
    [
      "upsample to nothing",
      () => g.upsampleNearest(map, 0, 2, "up"),
      "upsampleNearest: needs a size ≥ 1, got 0×2 (up)",
    ],
    [
      "linear of nothing",
      () => g.linear(map, w, 0, true),
      "linear: outChannels must be an integer ≥ 1, got 0 (down_blocks.0.norm1)",
    ],
    [
      "conv2d to nothing",
      () => g.conv2d(map, w, { ...conv, outChannels: 0 }),
      "conv2d: outChannels must be an integer ≥ 1, got 0 (down_blocks.0.norm1)",
    ],
    [
      "heads of nothing",
      () => g.attention(tokens, tokens, tokens, { numHeads: 0, scale: 1 }, "attn1"),
      "got 8 and 0 (attn1)",
    ],
    [
      "embeddings rank",
      () => g.tokenEmbeddings(map, w),
      "tokenEmbeddings: needs [B, P, C], got [2, 7, 5, 6] (down_blocks.0.norm1)",
    ],
  ];
  it.each(cases)("%s", (_name, build, message) => {
    let thrown: unknown;
    try {
      build();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ShapeError);
    expect((thrown as Error).message).toContain(message);
  });

  it("one parameter cannot have two shapes", () => {
    const { g: fresh, tokens: t } = builder();
    fresh.output("a", fresh.linear(t, w, 3, false));
    fresh.output("b", fresh.linear(t, w, 4, false));
    expect(() => graphWeights(fresh.build())).toThrow(
      'weight "down_blocks.0.norm1.weight" is used as [3,8] and as [4,8]',
    );
  });

  it("an input name cannot be given twice", () => {
    const { g: fresh } = builder();
    expect(() => fresh.input("x", [1, 4])).toThrow('graph: input "x" is declared already');
  });
});
