/** A frozen base with a checkpoint is the model that was merged on the host; what does not fit is refused. */
import { describe, expect, it } from "vitest";
import { readBytes } from "../../../src/gpu/transfer.ts";
import { weightKey } from "../../../src/graph/ir/ir.ts";
import { loadWeights } from "../../../src/rcod/loading/load.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import { modelWeights, modelParts } from "../../../src/rcod/networks/stage-graphs.ts";
import type { ByteSource, FileSet } from "../../../src/weights/index.ts";
import { WeightsError, memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import type { CheckpointDraft } from "../adapted-model.ts";
import { CHECKPOINT, adaptedModel, floats } from "../adapted-model.ts";
import { largestDifference, minimalFiles, testImage } from "../support.ts";

const setup = useGpu();

/** Every device buffer of a folder's weights, by part and parameter. */
async function deviceWeights(
  files: ReadonlyMap<string, Uint8Array>,
): Promise<ReadonlyMap<string, Float32Array>> {
  const set = memoryFiles(files);
  const configs = await readConfigs(set);
  const parameters = modelWeights(configs, "f32");
  const weights = await loadWeights(setup.gpu, set, configs, "f32");
  const values = new Map<string, Float32Array>();
  for (const part of modelParts(configs)) {
    for (const weight of parameters[part]) {
      const buffer = weights[part]?.buffer(weight) as GPUBuffer;
      const bytes = await readBytes(setup.gpu, buffer, 0, buffer.size);
      values.set(`${part} ${weightKey(weight)}`, new Float32Array(bytes.buffer));
    }
    weights[part]?.dispose();
  }
  return values;
}

describe("a base with a checkpoint", () => {
  it("has the weights that are merged in doubles, whatever the layer", async () => {
    const { files, merged, checkpoint } = await adaptedModel();
    const adapted = (end: string): string[] =>
      [...checkpoint.tensors.keys()].filter((name) => name.includes(`${end}.lora_A.`));
    for (const layer of [
      "unet.conv_in",
      "downsamplers.0.conv", // strided
      "conv_shortcut", // 1×1
      "vae.quant_conv",
      "vae.post_quant_conv",
      "decoder.conv_out",
      "attn2.to_k",
      "ff.net.0.proj", // interleaved
      "unet.conv_out",
    ]) {
      expect(adapted(layer), layer).not.toEqual([]);
    }
    const got = await deviceWeights(files);
    const expected = await deviceWeights(merged);
    expect([...got.keys()]).toEqual([...expected.keys()]);
    const off: string[] = [];
    for (const [name, values] of expected) {
      const largest = values.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - (got.get(name)?.[i] ?? NaN))),
        0,
      );
      if (!(largest <= 1e-6)) off.push(`${name}: ${largest}`);
    }
    expect(off).toEqual([]);
  });

  it("gives the picture of the merged model", async () => {
    const { files, merged } = await adaptedModel();
    const image = testImage(6, 5);
    const upscale = async (folder: ReadonlyMap<string, Uint8Array>) => {
      const options = { gpu: setup.gpu, precision: "f32" } as const;
      const model = await loadModel(memoryFiles(folder), options);
      try {
        return (await model.upscale(image, { realism: "neutral" })).image;
      } finally {
        model.dispose();
      }
    };
    const expected = await upscale(merged);
    expect(largestDifference(await upscale(files), expected)).toBeLessThanOrEqual(1);
    expect(largestDifference(await upscale(await minimalFiles()), expected)).toBeGreaterThan(10);
  });
});

it("may leave the decoder alone, as the released ones do", async () => {
  const { files } = await adaptedModel(({ tensors, metadata }) => {
    metadata.delete("vae_lora_decoder_modules");
    for (const name of tensors.keys())
      if (/^state_dict_vae\..*\.default_decoder\./.test(name)) tensors.delete(name);
  });
  const values = await deviceWeights(files);
  const base = await deviceWeights(await minimalFiles());
  const of = (set: typeof values, layer: string): Float32Array | undefined =>
    set.get(`vae matrix ${layer}.weight`);
  expect(of(base, "decoder.conv_out")).toBeDefined();
  expect(of(values, "decoder.conv_out")).toEqual(of(base, "decoder.conv_out"));
  expect(of(values, "encoder.conv_out")).not.toEqual(of(base, "encoder.conv_out"));
});

it.each([
  ["loads", () => undefined],
  ["is refused", ({ tensors }: CheckpointDraft) => tensors.clear()],
])("closes every file when the model %s", async (_name, damage) => {
  const inner = memoryFiles((await adaptedModel(damage)).files);
  const open = new Set<object>();
  const files: FileSet = {
    name: "counted",
    async open(path, signal) {
      const source = await inner.open(path, signal);
      if (source === null) return null;
      const counted: ByteSource = {
        name: source.name,
        byteLength: source.byteLength,
        read: (start, length, readSignal) => source.read(start, length, readSignal),
        async close() {
          open.delete(counted);
          await source.close();
        },
      };
      open.add(counted);
      return counted;
    },
  };
  const model = await loadModel(files, { gpu: setup.gpu }).catch(() => undefined);
  expect(open.size).toBe(0);
  model?.dispose();
});

const STEM = "state_dict_unet.mid_block.resnets.0.conv1";
const A = `${STEM}.lora_A.default_others.weight`;
const B = `${STEM}.lora_B.default_others.weight`;
const zeros = (...shape: number[]) =>
  floats(new Float64Array(shape.reduce((product, size) => product * size, 1)), shape);

/** Changes one of the lists of modules. */
function list(
  { metadata }: CheckpointDraft,
  key: string,
  change: (modules: readonly string[]) => readonly string[],
): void {
  const modules = JSON.parse(metadata.get(key) as string) as string[];
  metadata.set(key, JSON.stringify(change(modules)));
}

describe("what does not fit is refused before any buffer is made", () => {
  async function failure(damage: (checkpoint: CheckpointDraft) => unknown): Promise<string> {
    const { files } = await adaptedModel(damage);
    return refused(files);
  }
  async function refused(files: ReadonlyMap<string, Uint8Array>): Promise<string> {
    const before = setup.gpu.memory.use().currentBytes;
    setup.gpu.memory.resetPeak();
    const error = await loadModel(memoryFiles(files, "folder x"), { gpu: setup.gpu }).then(
      () => expect.unreachable("loaded"),
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(WeightsError);
    expect(setup.gpu.memory.use().peakBytes).toBe(before);
    return (error as Error).message;
  }

  const others = "unet_lora_others_modules";
  const defects: readonly [string, (checkpoint: CheckpointDraft) => unknown, string][] = [
    ["A without B", ({ tensors }) => tensors.delete(B), `1 tensor missing. missing: ${B} (`],
    ["B without A", ({ tensors }) => tensors.delete(A), `1 tensor missing. missing: ${A} (`],
    [
      "a shape",
      ({ tensors }) => tensors.set(A, zeros(2, 15, 3, 3)),
      `1 tensor wrong shape. wrong shape: ${A} (got [2, 15, 3, 3], expected [2, 16, 3, 3])`,
    ],
    [
      "another rank than the metadata's",
      ({ tensors }) => tensors.set(A, zeros(4, 16, 3, 3)).set(B, zeros(16, 4, 1, 1)),
      `${A} (got [4, 16, 3, 3], expected [2, 16, 3, 3]), ${B} (got [16, 4, 1, 1], expected [16, 2])`,
    ],
    [
      "the rank of the other part",
      ({ metadata }) => metadata.set("rank_vae", "2"),
      "state_dict_vae.encoder.conv_in.lora_A.default_encoder.weight (got [3, 3, 3, 3], expected [2, 3, 3, 3])",
    ],
    [
      "an unknown module",
      (checkpoint) => list(checkpoint, others, (modules) => [...modules, "mid_block.conv9"]),
      '1 problem in the checkpoint\'s metadata: the unet has no layer "mid_block.conv9" for default_others (rcod_lora.safetensors)',
    ],
    [
      "a norm",
      (checkpoint) => list(checkpoint, others, () => ["mid_block.resnets.0.norm1"]),
      'the unet has no layer "mid_block.resnets.0.norm1" for default_others',
    ],
    [
      "a listed module without tensors",
      ({ tensors }) => tensors.delete(A) && tensors.delete(B),
      `2 tensors missing. missing: ${A}, ${B} (`,
    ],
    [
      "a module that is not listed",
      (checkpoint) => list(checkpoint, others, (all) => all.filter((m) => !STEM.endsWith(m))),
      `2 tensors unused. unused: ${A}, ${B} (`,
    ],
    [
      "an adapter that the metadata does not give the module",
      ({ tensors }) => tensors.set(A.replace("others", "decoder"), zeros(2, 16, 3, 3)),
      `1 tensor unused. unused: ${A.replace("others", "decoder")} (`,
    ],
    [
      "a module with two adapters",
      (checkpoint) =>
        list(checkpoint, "unet_lora_decoder_modules", (all) => [
          ...all,
          "mid_block.resnets.0.conv1",
        ]),
      '"mid_block.resnets.0.conv1" must have one adapter, got default_decoder and default_others',
    ],
    [
      "no base layer of conv_in",
      ({ tensors }) => tensors.delete("state_dict_unet.conv_in.base_layer.weight"),
      "1 tensor missing. missing: state_dict_unet.conv_in.base_layer.weight (",
    ],
    [
      "another conv_in",
      ({ tensors }) => tensors.set("state_dict_unet.conv_in.base_layer.bias", zeros(9)),
      "state_dict_unet.conv_in.base_layer.bias (got [9], expected [8])",
    ],
    [
      "no token projection",
      ({ tensors }) => tensors.delete("state_dict_proj.bias"),
      "1 tensor missing. missing: state_dict_proj.bias (",
    ],
    [
      "a left-over tensor",
      ({ tensors }) => tensors.set("state_dict_unet.conv_in.weight", zeros(8, 4, 3, 3)),
      "1 tensor unused. unused: state_dict_unet.conv_in.weight (",
    ],
    [
      "an unknown prefix",
      ({ tensors }) => tensors.set("state_dict_clip.x.lora_A.default.weight", zeros(1, 1)),
      "1 tensor unused. unused: state_dict_clip.x.lora_A.default.weight (",
    ],
    [
      "integers",
      ({ tensors }) =>
        tensors.set(A, { dtype: "I64", shape: [2, 16, 3, 3], data: new Uint8Array(2304) }),
      `1 tensor unsupported dtype. unsupported dtype: ${A} (I64)`,
    ],
    [
      "no rank",
      ({ metadata }) => metadata.delete("rank_unet"),
      '"rank_unet" must be an integer ≥ 1, got nothing',
    ],
    [
      "a rank that is none",
      ({ metadata }) => metadata.set("rank_vae", "4.5"),
      '"rank_vae" must be an integer ≥ 1, got "4.5"',
    ],
    [
      "no list",
      ({ metadata }) => metadata.delete("vae_lora_encoder_modules"),
      '"vae_lora_encoder_modules" must be a JSON list of module names, got nothing',
    ],
    [
      "a list of something else",
      ({ metadata }) => metadata.set(others, "[1]"),
      `"${others}" must be a JSON list of module names, got "[1]"`,
    ],
  ];
  it.each(defects)("%s", async (_name, damage, message) => {
    const got = await failure(damage);
    expect(got).toContain(message);
    expect(got).toContain("(rcod_lora.safetensors)");
    expect(got).toContain("Use the base that it was trained on, or export it again");
  });

  it("everything at once, with the other parts' problems", async () => {
    const { files } = await adaptedModel(({ tensors, metadata }) => {
      metadata.set("rank_vae", "0");
      tensors.delete(B);
      tensors.set("extra", zeros(1));
      tensors.set("state_dict_proj.bias", zeros(5));
    });
    const untrained = await minimalFiles({}, (_part, tensors) =>
      tensors.filter(({ name }) => name !== "conv_out.bias"),
    );
    const path = "unet/diffusion_pytorch_model.safetensors";
    files.set(path, untrained.get(path) as Uint8Array);
    const message = await refused(files);
    for (const part of [
      '"rank_vae" must be an integer ≥ 1, got "0"',
      "1 tensor missing, 1 wrong shape, 1 unused.",
      `missing: ${B}; wrong shape: state_dict_proj.bias (got [5], expected [12]); unused: extra`,
      "missing: conv_out.bias",
    ]) {
      expect(message).toContain(part);
    }
    expect(message).not.toContain("state_dict_vae"); // nothing can be said without its rank
  });

  it("an absent or broken file", async () => {
    const { files } = await adaptedModel();
    files.set(CHECKPOINT, (files.get(CHECKPOINT) as Uint8Array).slice(0, 1000));
    expect(await refused(files)).toContain(CHECKPOINT);
    files.delete(CHECKPOINT);
    expect(await refused(files)).toBe(
      'weights: the checkpoint "rcod_lora.safetensors" of rcod_config.json must exist (folder x). Add the file, or name another',
    );
  });
});
