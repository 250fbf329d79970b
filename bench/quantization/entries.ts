/**
 * What each of a model's tensors that stay floats would cost as integers of 8 and 4 bits, and beside it what those cost that
 * are integers:
 *
 *   node bench/run.mjs quantization/entries [--model DIR] [--timestep 249]
 *
 * rounds one group of tensors at a time, runs the model on ten crops of photographs that training has not seen, and prints as JSON
 * the relative RMS of the decoder's output against that of the model in f16. Arithmetic is in f32.
 */
import { parseArgs } from "node:util";
import type { Gpu } from "../../src/gpu/device.ts";
import { elementCount } from "../../src/gpu/shape.ts";
import type { Weight } from "../../src/graph/ir/ir.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { loadModel } from "../../src/rcod/model.ts";
import { IMAGE_PROJ } from "../../src/rcod/networks/graphs.ts";
import type { ModelPart } from "../../src/rcod/networks/stage-graphs.ts";
import { MODEL_PARTS, modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { relativeRms, shortened } from "./differences.ts";
import type { RoundingOf } from "./editions.ts";
import { converted, recipeRounding, rounded } from "./editions.ts";
import { photographs } from "./photographs.ts";

/** The decoder's last module, whose output is the picture. */
const PICTURE = "decoder.conv_out";

/** A group of tensors, of matrices unless it says other. */
interface Entry {
  readonly name: string;
  readonly part?: ModelPart;
  readonly tensors: RegExp;
  readonly layout?: "others";
}

/** What `quantization-recipe.ts` leaves in floats. */
const FLOATS: readonly Entry[] = [
  { name: "CLIP: patch_embedding", part: "clip", tensors: /\.patch_embedding\./ },
  { name: "CLIP: token projection", part: "clip", tensors: new RegExp(`^${IMAGE_PROJ}\\.`) },
  { name: "VAE: encoder.conv_in", part: "vae", tensors: /^encoder\.conv_in\./ },
  { name: "VAE: encoder.conv_out", part: "vae", tensors: /^encoder\.conv_out\./ },
  { name: "VAE: quant_conv", part: "vae", tensors: /^quant_conv\./ },
  { name: "VAE: post_quant_conv", part: "vae", tensors: /^post_quant_conv\./ },
  { name: "VAE: pixel_conv", part: "vae", tensors: /^pixel_conv\./ },
  { name: "VAE: decoder.conv_in", part: "vae", tensors: /^decoder\.conv_in\./ },
  { name: "VAE: upsamplers", part: "vae", tensors: /\.upsamplers\./ },
  { name: "VAE: decoder.conv_out", part: "vae", tensors: /^decoder\.conv_out\./ },
  { name: "UNet: conv_in", part: "unet", tensors: /^conv_in\./ },
  { name: "UNet: time_embedding", part: "unet", tensors: /^time_embedding\./ },
  { name: "UNet: conv_out", part: "unet", tensors: /^conv_out\./ },
  {
    name: "CLIP: class and position embeddings",
    part: "clip",
    tensors: /_embedding/,
    layout: "others",
  },
  { name: "norms", tensors: /norm/, layout: "others" },
  { name: "biases", tensors: /^(?!.*norm).*\.bias$/, layout: "others" },
];

/** The networks, for comparison, by what of them a recipe makes integers. */
const INTEGERS: readonly Entry[] = [
  { name: "CLIP", part: "clip", tensors: /./ },
  { name: "VAE: encoder", part: "vae", tensors: /^encoder\./ },
  { name: "UNet", part: "unet", tensors: /./ },
  { name: "VAE: decoder", part: "vae", tensors: /^decoder\./ },
];

/** What is measured: `of` says how the tensors of `entry` are rounded. */
interface Case {
  readonly entry: Entry;
  readonly of: Readonly<Record<"int8" | "int4", RoundingOf>>;
}

export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      model: { type: "string", default: "models/rcod-tiny" },
      timestep: { type: "string", default: "249" },
    },
  });
  const model = folderFiles(values.model);
  const timestep = Number(values.timestep);
  const gpu = await requestNodeGpu();
  const parameters = modelParameters(await readConfigs(model));
  const recipes = {
    int8: await recipeRounding(model, "int8"),
    int4: await recipeRounding(model, "int4"),
  };
  const cases: readonly Case[] = [
    ...FLOATS.map((entry) => ({ entry, of: { int8: () => "int8", int4: () => "int4" } as const })),
    ...INTEGERS.map((entry) => ({ entry, of: recipes })),
  ];
  const exact = await pictures(gpu, (await converted(model)).files, timestep);
  const rows: object[] = [];
  for (const { entry, of } of cases) {
    const only =
      (round: RoundingOf): RoundingOf =>
      (part, weight) =>
        isIn(entry, part, weight) ? round(part, weight) : undefined;
    const members = MODEL_PARTS.flatMap((part) =>
      parameters[part].filter((weight) => only(of.int8)(part, weight) !== undefined),
    );
    if (members.length === 0) continue; // another architecture
    const errorOf = async (round: RoundingOf): Promise<number> => {
      const { files } = await rounded(model, only(round));
      return shortened(relativeRms(await pictures(gpu, files, timestep), exact));
    };
    rows.push({
      entry: entry.name,
      isInteger: INTEGERS.includes(entry),
      values: members.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      int8: await errorOf(of.int8),
      int4: await errorOf(of.int4),
    });
  }
  const date = new Date().toISOString().slice(0, 10);
  const result = { date, adapter: gpu.caps.description, model: model.name, timestep, rows };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  gpu.destroy();
  return 0;
}

/** Not of the metric estimation module, which makes no picture. */
const isIn = ({ part: of, tensors, layout }: Entry, part: ModelPart, weight: Weight): boolean =>
  part !== "mem" &&
  (of ?? part) === part &&
  tensors.test(weight.name) &&
  (weight.layout === "matrix") === (layout === undefined);

/** The decoder's output for all photographs, one after another. */
async function pictures(gpu: Gpu, files: FileSet, timestep: number): Promise<Float32Array> {
  const model = await loadModel(files, { gpu, precision: "f32" });
  try {
    const results: Float32Array[] = [];
    for (const photograph of await photographs()) {
      const options = { timestep, colorFix: "none", inspect: { captures: [PICTURE] } } as const;
      const { inspection } = await model.upscale(photograph, options);
      results.push(inspection?.captures[PICTURE]?.data ?? new Float32Array());
    }
    return Float32Array.from(results.flatMap((result) => [...result]));
  } finally {
    model.dispose();
  }
}
