/** Blocks of the networks, built by the functions that build the networks. */
import type { GraphBuilder } from "../../graph/ir/builder.ts";
import { WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import { clipEncoderLayer, clipVisionModel } from "../../rcod/networks/clip-vision.ts";
import { resnetBlock } from "../../rcod/networks/resnet.ts";
import { basicTransformerBlock, transformer2d } from "../../rcod/networks/transformer.ts";
import { midBlock, spatialAttention } from "../../rcod/networks/vae.ts";
import type { OutputResult } from "../runner/compare.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import { caseWeights, compareResults, readInput } from "../runner/run-case.ts";
import { clipConfigOf } from "./case-configs.ts";

const ROOT = new WeightScope();
/** diffusers' default where a block's parameters name none. */
const NUM_GROUPS = 32;

/** Builds a graph from the inputs named in `names`; `build` declares the outputs. */
async function runBlock(
  { golden, session }: CaseRun,
  names: readonly string[],
  build: (g: GraphBuilder, inputs: Readonly<Record<string, Value>>) => void,
): Promise<readonly OutputResult[]> {
  const inputs = await Promise.all(
    names.map(async (name) => ({ name, ...(await readInput(golden, name)) })),
  );
  const results = await session.run({
    weights: caseWeights(golden),
    build: (g) =>
      build(g, Object.fromEntries(inputs.map(({ name, shape }) => [name, g.input(name, shape)]))),
    inputs: Object.fromEntries(inputs.map(({ name, data }) => [name, data])),
  });
  return compareResults(golden, session.dtype, results);
}

const resnet: CaseRunner = (run) => {
  const { golden } = run;
  const { parameters } = golden;
  const hasTemb = golden.has("inputs/temb");
  return runBlock(run, hasTemb ? ["x", "temb"] : ["x"], (g, { x, temb }) =>
    g.output(
      "y",
      resnetBlock(g, ROOT, x as Value, {
        outChannels: golden.shape("outputs/y")[1] as number,
        numGroups: parameters.number("groups", NUM_GROUPS),
        eps: parameters.number("eps"),
        siluTemb: temb ? g.activation(temb, "silu", "temb") : null,
      }),
    ),
  );
};

const CONV3 = { kernelSize: 3, stride: 1, padding: 1, bias: true } as const;

/** Padding 1 is the UNet's. Padding 0 is the VAE's, which means zeros right and below. */
const downsample: CaseRunner = (run) =>
  runBlock(run, ["x"], (g, { x }) => {
    const padding = run.golden.parameters.number("padding");
    g.output(
      "y",
      g.conv2d(x as Value, ROOT.at("conv"), {
        ...CONV3,
        outChannels: run.golden.shape("outputs/y")[1] as number,
        stride: 2,
        padding: padding === 0 ? [0, 1, 0, 1] : padding,
      }),
    );
  });

const upsample: CaseRunner = (run) =>
  runBlock(run, ["x"], (g, { x }) => {
    const [, outChannels = 1, height = 1, width = 1] = run.golden.shape("outputs/y");
    const h = g.upsampleNearest(x as Value, height, width, "nearest");
    g.output("y", g.conv2d(h, ROOT.at("conv"), { ...CONV3, outChannels }));
  });

const transformer: CaseRunner = (run) =>
  runBlock(run, ["x", "context"], (g, { x, context }) => {
    const { parameters } = run.golden;
    const options = {
      numHeads: parameters.number("heads"),
      numGroups: parameters.number("groups", NUM_GROUPS),
    };
    g.output("y", transformer2d(g, ROOT, x as Value, context as Value, options));
  });

const basicBlock: CaseRunner = (run) =>
  runBlock(run, ["x", "context"], (g, { x, context }) => {
    const heads = run.golden.parameters.number("heads");
    g.output("y", basicTransformerBlock(g, ROOT, x as Value, context as Value, heads));
  });

/** `attention_only` is the attention applied to `x` itself, not to the first resnet's output. */
const vaeMid: CaseRunner = (run) =>
  runBlock(run, ["x"], (g, { x }) => {
    const normNumGroups = run.golden.parameters.number("groups", NUM_GROUPS);
    g.output("y", midBlock(g, ROOT, x as Value, { midAttention: true, normNumGroups }));
    if (run.golden.has("outputs/attention_only")) {
      g.output(
        "attention_only",
        spatialAttention(g, ROOT.at("attentions.0"), x as Value, normNumGroups),
      );
    }
  });

const clipLayer: CaseRunner = (run) =>
  runBlock(run, ["x"], (g, { x }) => {
    const { parameters } = run.golden;
    g.output(
      "y",
      clipEncoderLayer(g, ROOT, x as Value, {
        numHeads: parameters.number("heads"),
        intermediateSize: parameters.number("mlp", 4 * channelsOf(x as Value)),
        layerNormEps: parameters.number("eps", 1e-5),
      }),
    );
  });

const clipTower: CaseRunner = (run) =>
  runBlock(run, ["pixel_values"], (g, { pixel_values: pixels }) =>
    g.output(
      "last_hidden_state",
      clipVisionModel(g, ROOT, pixels as Value, clipConfigOf(run.golden.parameters)),
    ),
  );

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
