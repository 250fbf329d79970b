/** Blocks of the networks, built by the functions that build the networks. */
import type { GraphBuilder } from "../../graph/ir/builder.ts";
import { WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import { clipEncoderLayer, clipVisionModel } from "../../rcod/networks/clip-vision.ts";
import { resnetBlock } from "../../rcod/networks/resnet.ts";
import { basicTransformerBlock, transformer2d } from "../../rcod/networks/transformer.ts";
import { midBlock, spatialAttention } from "../../rcod/networks/vae.ts";
import type { GoldenCase } from "../runner/golden-file.ts";
import type { CaseRunner } from "../runner/run-case.ts";
import { caseWeights, runGraph } from "../runner/run-case.ts";
import { clipConfigOf } from "./case-configs.ts";

const ROOT = new WeightScope();
/** diffusers' default where a block's parameters name none. */
const NUM_GROUPS = 32;

const CONV3 = { kernelSize: 3, stride: 1, padding: 1, bias: true } as const;

/** Runs a block on the inputs named in `names`; `build` declares the outputs. */
const block =
  (
    names: readonly string[],
    build: (golden: GoldenCase, g: GraphBuilder, ...inputs: Value[]) => void,
  ): CaseRunner =>
  (run) => {
    const { golden } = run;
    const present = names.filter((name) => golden.has(`inputs/${name}`));
    return runGraph(run, caseWeights(golden), present, (g, ...inputs) =>
      build(golden, g, ...inputs),
    );
  };

const resnet = block(["x", "temb"], ({ parameters, shape }, g, x, temb?: Value) =>
  g.output(
    "y",
    resnetBlock(g, ROOT, x, {
      outChannels: shape("outputs/y")[1] as number,
      numGroups: parameters.number("groups", NUM_GROUPS),
      eps: parameters.number("eps"),
      siluTemb: temb ? g.activation(temb, "silu", "temb") : null,
    }),
  ),
);

/** Padding 1 is the UNet's. Padding 0 is the VAE's, which means zeros right and below. */
const downsample = block(["x"], ({ parameters, shape }, g, x) => {
  const padding = parameters.number("padding");
  const outChannels = shape("outputs/y")[1] as number;
  const sides = padding === 0 ? ([0, 1, 0, 1] as const) : padding;
  const options = { ...CONV3, outChannels, stride: 2, padding: sides };
  g.output("y", g.conv2d(x, ROOT.at("conv"), options));
});

const upsample = block(["x"], ({ shape }, g, x) => {
  const [, outChannels = 1, height = 1, width = 1] = shape("outputs/y");
  const h = g.upsampleNearest(x, height, width, "nearest");
  g.output("y", g.conv2d(h, ROOT.at("conv"), { ...CONV3, outChannels }));
});

const transformer = block(["x", "context"], ({ parameters }, g, x, context) => {
  const options = {
    numHeads: parameters.number("heads"),
    numGroups: parameters.number("groups", NUM_GROUPS),
  };
  g.output("y", transformer2d(g, ROOT, x, context, options));
});

const basicBlock = block(["x", "context"], ({ parameters }, g, x, context) => {
  const heads = parameters.number("heads");
  g.output("y", basicTransformerBlock(g, ROOT, x, context, heads));
});

/** `attention_only` is the attention applied to `x` itself, not to the first resnet's output. */
const vaeMid = block(["x"], ({ parameters, has }, g, x) => {
  const normNumGroups = parameters.number("groups", NUM_GROUPS);
  g.output("y", midBlock(g, ROOT, x, { midAttention: true, normNumGroups }));
  if (!has("outputs/attention_only")) return;
  const attention = spatialAttention(g, ROOT.at("attentions.0"), x, normNumGroups);
  g.output("attention_only", attention);
});

const clipLayer = block(["x"], ({ parameters }, g, x) => {
  const options = {
    numHeads: parameters.number("heads"),
    intermediateSize: parameters.number("mlp", 4 * channelsOf(x)),
    layerNormEps: parameters.number("eps", 1e-5),
  };
  g.output("y", clipEncoderLayer(g, ROOT, x, options));
});

const clipTower = block(["pixel_values"], ({ parameters }, g, pixels) => {
  const hidden = clipVisionModel(g, ROOT, pixels, clipConfigOf(parameters));
  g.output("last_hidden_state", hidden);
});

/** By the `block` of a case. */
export const BLOCK_CASES: Readonly<Record<string, CaseRunner>> = {
  ResnetBlock2D: resnet,
  Downsample2D: downsample,
  Upsample2D: upsample,
  Transformer2DModel: transformer,
  BasicTransformerBlock: basicBlock,
  "UNetMidBlock2D (VAE)": vaeMid,
  "CLIP encoder layer": clipLayer,
  "CLIP vision tower": clipTower,
};
