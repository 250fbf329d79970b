/** Small graphs of the model's blocks, for passes and programs. */
import type { DType } from "../../src/gpu/dtype.ts";
import { GraphBuilder, WeightScope } from "../../src/graph/ir/builder.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { clipEncoderLayer } from "../../src/rcod/networks/clip-vision.ts";
import { resnetBlock } from "../../src/rcod/networks/resnet.ts";
import { basicTransformerBlock, transformer2d } from "../../src/rcod/networks/transformer.ts";

const root = new WeightScope();
const CONV = { outChannels: 8, kernelSize: 3, stride: 1, padding: 1, bias: true };

function transformerOf(dtype: DType, shape: readonly number[]): Graph {
  const g = new GraphBuilder(dtype);
  const context = g.input("context", [1, 7, 12]);
  const x = g.input("x", shape);
  g.output("y", transformer2d(g, root.at("attn"), x, context, { numHeads: 2, numGroups: 4 }));
  return g.build();
}

export const blocks = {
  /** With time embedding and a shortcut, 8 → 12 channels. */
  resnet(dtype: DType, height = 5, width = 7): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, height, width, 8]);
    const siluTemb = g.input("temb", [1, 20]);
    g.output(
      "y",
      resnetBlock(g, root.at("resnet"), x, { outChannels: 12, numGroups: 2, eps: 1e-5, siluTemb }),
    );
    return g.build();
  },

  /** Two resnets over maps, 8 → 12 → 12 channels. */
  deepResnets(dtype: DType, height: number, width: number): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, height, width, 8]);
    const options = { numGroups: 2, eps: 1e-5, outChannels: 12, siluTemb: null };
    const first = resnetBlock(g, root.at("first"), x, options);
    g.output("y", resnetBlock(g, root.at("second"), first, options));
    return g.build();
  },

  /** Two resnets of different widths over one time embedding. */
  resnets(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, 4, 5, 8]);
    const siluTemb = g.input("temb", [1, 20]);
    const options = { numGroups: 2, eps: 1e-5, siluTemb };
    const first = resnetBlock(g, root.at("first"), x, { ...options, outChannels: 12 });
    g.output("y", resnetBlock(g, root.at("second"), first, { ...options, outChannels: 16 }));
    return g.build();
  },

  /** Three images of their own over one time embedding and one context: resnets of different widths, then attention. */
  batch(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [3, 4, 5, 8]);
    const siluTemb = g.input("temb", [1, 20]);
    const options = { numGroups: 2, eps: 1e-5, siluTemb };
    const first = resnetBlock(g, root.at("first"), x, { ...options, outChannels: 12 });
    const second = resnetBlock(g, root.at("second"), first, { ...options, outChannels: 16 });
    const context = g.input("context", [1, 7, 12]);
    const heads = { numHeads: 2, numGroups: 4 };
    g.output("y", transformer2d(g, root.at("attn"), second, context, heads));
    return g.build();
  },

  /** The UNet's up-path resnet over [first | second] channels. */
  concatResnet(dtype: DType, first: number, second: number): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.concat(g.input("a", [1, 4, 5, first]), g.input("b", [1, 4, 5, second]), "cat");
    const siluTemb = g.input("temb", [1, 20]);
    g.output(
      "y",
      resnetBlock(g, root.at("resnet"), x, { outChannels: 12, numGroups: 2, eps: 1e-5, siluTemb }),
    );
    return g.build();
  },

  /** GroupNorm, self- and cross-attention, GEGLU. */
  transformer: (dtype: DType): Graph => transformerOf(dtype, [1, 3, 5, 16]),

  /** A map that a linear layer over its pixels has made, and then a norm: as between transformer and resnet. */
  linearThenNorm(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const tokens = g.linear(g.input("x", [1, 15, 6]), root.at("proj_out"), 8, true);
    const map = g.reshape(tokens, [1, 3, 5, 8]);
    const norm = g.groupNorm(map, root.at("norm1"), { numGroups: 2, eps: 1e-5 });
    g.output("y", g.conv2d(norm, root.at("conv"), CONV));
    return g.build();
  },

  /** The same of whole tiles: 64 channels, 64 tokens. */
  wideTransformer: (dtype: DType): Graph => transformerOf(dtype, [1, 8, 8, 64]),

  /** Two layers of self- and cross-attention over one context, of different widths. */
  crossAttentions(dtype: DType, numHeads = 2): Graph {
    const g = new GraphBuilder(dtype);
    const context = g.input("context", [1, 7, 12]);
    const x = g.input("x", [1, 9, 8]);
    const first = basicTransformerBlock(g, root.at("first"), x, context, numHeads);
    const wide = g.linear(first, root.at("widen"), 16, true);
    g.output("y", basicTransformerBlock(g, root.at("second"), wide, context, numHeads));
    return g.build();
  },

  /** GEGLU whose halves are no whole quads. */
  oddGeglu(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, 9, 6]);
    const h = g.geglu(g.linear(x, root.at("proj"), 2 * 7, true), "ff");
    g.output("y", g.linear(h, root.at("out"), 5, false));
    return g.build();
  },

  /** Few outputs with sums of 576 and 256. */
  longSums(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const wide = g.conv2d(g.input("x", [1, 3, 4, 64]), root.at("conv"), {
      ...CONV,
      outChannels: 256,
    });
    g.output("y", g.conv2d(wide, root.at("out"), { ...CONV, kernelSize: 1, padding: 0 }));
    return g.build();
  },

  /** Nearest resize and convolution, as in up blocks, with a residual at the end. */
  upsample(dtype: DType, outHeight: number, outWidth: number): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, 4, 5, 6]);
    const up = g.upsampleNearest(x, outHeight, outWidth, "up");
    const h = g.activation(g.conv2d(up, root.at("conv"), CONV), "silu", "act");
    g.output("y", g.add(h, g.input("r", [1, outHeight, outWidth, 8]), "add"));
    return g.build();
  },

  clipLayer(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, 5, 12]);
    g.output(
      "y",
      clipEncoderLayer(g, root.at("layer"), x, {
        numHeads: 3,
        intermediateSize: 20,
        layerNormEps: 1e-5,
      }),
    );
    return g.build();
  },

  /** Named values that fusion would lose: a convolution before SiLU, a norm before SiLU, a concatenation. */
  named(dtype: DType): Graph {
    const g = new GraphBuilder(dtype);
    const x = g.input("x", [1, 4, 6, 8]);
    const conv = g.name("conv", g.conv2d(x, root.at("conv"), CONV));
    const norm = g.name(
      "norm",
      g.groupNorm(g.activation(conv, "silu", "act"), root.at("norm"), { numGroups: 2, eps: 1e-5 }),
    );
    const cat = g.name("cat", g.concat(g.activation(norm, "silu", "act2"), x, "cat"));
    g.output("y", g.conv2d(cat, root.at("out"), CONV));
    return g.build();
  },

  /** A chain of cheap operations on a large map: many submits on a software adapter. */
  chain(dtype: DType, length = 16): Graph {
    const g = new GraphBuilder(dtype);
    let x = g.input("x", [1, 128, 512, 8]);
    for (let i = 0; i < length; i++) x = g.scale(x, i % 2 === 0 ? 2 : 0.5, `scale.${i}`);
    g.output("y", x);
    return g.build();
  },
};
