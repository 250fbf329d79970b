/**
 * The error of each part of converted models against the model in floats that they were made of:
 *
 *   node bench/run.mjs quantization/parts --floats models/rcod-tiny int8 mixed
 *   node bench/run.mjs quantization/parts --floats bench/configs/sd21-clip-l --recipe int8=DIR mixed=DIR
 *
 * prints as JSON the relative RMS of what each network makes of the inputs that it has in floats ("own"), and of what the
 * networks before it made ("chained", as in a call). Arithmetic is in f32, so that all errors are the weights'. Where
 * `--floats` holds configurations alone, with `--recipe`, its weights are the reproducible ones of `recipe-files.ts`.
 */
import { parseArgs } from "node:util";
import sharp from "sharp";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Graph } from "../../src/graph/ir/ir.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { openModel } from "../../src/rcod/loading/open-model.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { oneStepCoefficients } from "../../src/rcod/networks/graphs.ts";
import type { ModelPart } from "../../src/rcod/networks/stage-graphs.ts";
import { stageGraphs } from "../../src/rcod/networks/stage-graphs.ts";
import { timestepEmbedding } from "../../src/rcod/networks/unet.ts";
import type { ModelConfigs } from "../../src/rcod/settings/model-configs.ts";
import { recipeFiles } from "../../src/verify/recipe-files.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { relativeRms, shortened } from "./differences.ts";
import { converted, namedEdition } from "./editions.ts";

const OUTPUTS = ["tokens", "latents", "eps", "image"] as const;
type Output = (typeof OUTPUTS)[number];
type Values = Partial<Record<Output, Float32Array>>;

const NOTHING = new Float32Array();

/** What the first networks see: channels last, −1 … 1. */
interface Picture {
  readonly image: Float32Array;
  readonly pixels: Float32Array;
}

export async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      floats: { type: "string" },
      recipe: { type: "boolean", default: false },
      photo: { type: "string", default: "examples/photos/boats.png" },
      side: { type: "string", default: "128" },
      timestep: { type: "string", default: "249" },
    },
  });
  if (values.floats === undefined) {
    process.stderr.write("quantization/parts: --floats must be a folder\n");
    return 2;
  }
  const [side, timestep] = [Number(values.side), Number(values.timestep)];
  const gpu = await requestNodeGpu();
  const folder = folderFiles(values.floats);
  const floats = values.recipe ? await recipeFiles(folder) : (await converted(folder)).files;
  const picture = await readPicture(values.photo, side, (await readConfigs(floats)).clip.imageSize);
  const editions = new Map<string, FileSet>();
  for (const text of positionals) {
    const [name = "", ...path] = text.split("=");
    const isFolder = path.length > 0;
    editions.set(
      name,
      isFolder ? folderFiles(path.join("=")) : (await namedEdition(folder, name)).files,
    );
  }
  const call = { gpu, picture, side, timestep };
  const exact: Values = {};
  const chained = new Map<string, Values>();
  const errors = new Map<string, object>();
  // Network by network, so that one of them is on the device at a time.
  for (const output of OUTPUTS) {
    const [reference = NOTHING] = await make(output, floats, call, [exact]);
    exact[output] = reference;
    for (const [name, files] of editions) {
      const before = chained.get(name) ?? {};
      const [own = NOTHING, next = NOTHING] = await make(output, files, call, [exact, before]);
      chained.set(name, { ...before, [output]: next });
      const error = {
        own: shortened(relativeRms(own, reference)),
        chained: shortened(relativeRms(next, reference)),
      };
      errors.set(name, { ...errors.get(name), [output]: error });
    }
  }
  const date = new Date().toISOString().slice(0, 10);
  const result = { date, adapter: gpu.caps.description, model: values.floats, side, timestep };
  process.stdout.write(
    `${JSON.stringify({ ...result, relativeRms: Object.fromEntries(errors) }, null, 2)}\n`,
  );
  gpu.destroy();
  return 0;
}

interface Call {
  readonly gpu: Gpu;
  readonly picture: Picture;
  readonly side: number;
  readonly timestep: number;
}

/** Runs the network that makes `output` on what earlier ones made, for each of `before`. */
async function make(
  output: Output,
  files: FileSet,
  { gpu, picture, side, timestep }: Call,
  before: readonly Values[],
): Promise<Float32Array[]> {
  const configs = await readConfigs(files);
  const graphs = stageGraphs(configs, side, side, "f32");
  const [part, graph] = networkOf(output, graphs);
  const { sources, close } = await openModel(files, configs, { parts: [part] });
  const source = sources.get(part);
  if (source === undefined) throw new Error(`internal: no ${part}`);
  const plan = planGraph(graph, gpu.caps);
  const weights = new DeviceWeights(gpu, source, { dtype: "f32" });
  const program = await Program.create(gpu, plan, weights);
  try {
    await weights.load(plan.weights);
    const results: Float32Array[] = [];
    for (const values of before) {
      await program.run(inputsOf(output, values, picture, configs, timestep));
      results.push((await program.read(output)).data);
    }
    return results;
  } finally {
    program.dispose();
    weights.dispose();
    await close();
  }
}

function networkOf(
  output: Output,
  graphs: ReturnType<typeof stageGraphs>,
): readonly [part: ModelPart, graph: Graph] {
  switch (output) {
    case "tokens":
      return ["clip", graphs.tokens];
    case "latents":
      return ["vae", graphs.encode];
    case "eps":
      return ["unet", graphs.unet];
    case "image":
      return ["vae", graphs.decode];
    default:
      return output satisfies never;
  }
}

function inputsOf(
  output: Output,
  { tokens, latents, eps }: Values,
  picture: Picture,
  configs: ModelConfigs,
  timestep: number,
): Record<string, Uint8Array> {
  const { unet, vae, rcod } = configs;
  const packed = (values: Float32Array | undefined, channels: number): Uint8Array => {
    if (values === undefined) throw new Error(`internal: ${output} comes too early`);
    return packActivation(values, channels, "f32");
  };
  switch (output) {
    case "tokens":
      return { pixels: packed(picture.pixels, 3) };
    case "latents":
      return { image: packed(picture.image, 3) };
    case "eps": {
      const [channels = 0] = unet.blockOutChannels;
      return {
        latents: packed(latents, vae.latentChannels),
        tokens: packed(tokens, unet.crossAttentionDim),
        timestep: packed(timestepEmbedding(timestep, unet, channels), channels),
      };
    }
    case "image": {
      const { p, q } = oneStepCoefficients(rcod, vae);
      const z = latents?.map((value, i) => p * value - q * (eps?.[i] ?? NaN));
      return { z: packed(z, vae.latentChannels) };
    }
    default:
      return output satisfies never;
  }
}

/** The middle of a photograph as the input of a picture of `side` pixels, enlarged, and as CLIP sees it. */
async function readPicture(path: string, side: number, clipSide: number): Promise<Picture> {
  const low = sharp(path)
    .removeAlpha()
    .resize(side / 4, side / 4, { fit: "cover" });
  const small = await low.png().toBuffer();
  const at = async (size: number): Promise<Float32Array> => {
    const { data } = await sharp(small)
      .resize(size, size, { kernel: "cubic" })
      .raw()
      .toBuffer({ resolveWithObject: true });
    return Float32Array.from(data, (value) => value / 127.5 - 1);
  };
  return { image: await at(side), pixels: await at(clipSide) };
}
