/** A checkpoint as torch.save wrote it: the same checks and the same factors as from safetensors. */
import { describe, expect, it } from "vitest";
import type { LoraUpdate, SourceTensor } from "../../../src/graph/weights/device-weights.ts";
import { openPart } from "../../../src/rcod/loading/open-model.ts";
import { openCheckpoint } from "../../../src/rcod/loading/rcod-checkpoint.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { modelParameters } from "../../../src/rcod/networks/stage-graphs.ts";
import { RCOD_O } from "../../../src/rcod/settings/config.ts";
import { WeightsError, memoryFiles, toFloat32 } from "../../../src/weights/index.ts";
import type { Code } from "../../weights/torch/torch-samples.ts";
import {
  archiveOf,
  global,
  int,
  list,
  named,
  storage,
  tensor,
  text,
  torchFixture,
} from "../../weights/torch/torch-samples.ts";
import type { CheckpointDraft } from "../adapted-model.ts";
import { CHECKPOINT, adaptedModel, floats } from "../adapted-model.ts";

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

async function floatsOf(source: SourceTensor): Promise<readonly number[]> {
  const { dtype } = source;
  if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") return expect.fail(dtype);
  const bytes = await source.read(0, source.byteLength);
  return [...toFloat32({ name: "factor", dtype }, bytes)];
}

type Updates = ReadonlyMap<string, ReadonlyMap<string, LoraUpdate>>;

/** Everything that an update says, by part and parameter. */
async function written(updates: Updates): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (const [part, byWeight] of updates) {
    for (const [weight, { rank, scaling, a, b }] of byWeight) {
      const values = { a: await floatsOf(a), b: await floatsOf(b) };
      all[`${part} ${weight}`] = { rank, scaling, shapes: [a.shape, b.shape], ...values };
    }
  }
  return all;
}

async function updatesOf(files: ReadonlyMap<string, Uint8Array>): Promise<Updates> {
  const set = memoryFiles(files);
  const configs = await readConfigs(set);
  const checkpoint = (await openCheckpoint(set, configs.rcod)) ?? expect.fail("none");
  return checkpoint.loraUpdates(modelParameters(configs), configs);
}

describe("a tiny checkpoint with the names of the released one", () => {
  const files = (checkpoint: string, bytes: Uint8Array): ReadonlyMap<string, Uint8Array> =>
    new Map([
      [checkpoint, bytes],
      ["rcod_config.json", json({ checkpoint })],
      [
        "unet/config.json",
        json({
          block_out_channels: [16, 16, 32, 48],
          attention_head_dim: [1, 2, 2, 3],
          cross_attention_dim: 48,
          layers_per_block: 1,
          norm_num_groups: 8,
          down_block_types: [...Array<string>(3).fill("CrossAttnDownBlock2D"), "DownBlock2D"],
          up_block_types: ["UpBlock2D", ...Array<string>(3).fill("CrossAttnUpBlock2D")],
        }),
      ],
      ["vae/config.json", json({ block_out_channels: [32, 32, 32, 64], layers_per_block: 2 })],
      [
        "image_encoder/config.json",
        json({
          hidden_size: 48,
          intermediate_size: 96,
          num_attention_heads: 4,
          num_hidden_layers: 2,
          image_size: 56,
          patch_size: 14,
        }),
      ],
    ]);

  it("fits its base in every form of the file", async () => {
    const updates = await updatesOf(files("a.pkl", torchFixture("rcod_o_torch2.pkl")));
    expect([updates.get("unet")?.size, updates.get("vae")?.size]).toEqual([166, 31]);
    expect(updates.get("vae")?.get("quant_conv.weight")).toMatchObject({ rank: 4, scaling: 2 });
    const expected = await written(updates);
    for (const [name, sample] of [
      ["b.pth", "rcod_o_strided.pkl"],
      ["c.bin", "rcod_o_legacy.pkl"],
    ] as const) {
      expect(await written(await updatesOf(files(name, torchFixture(sample))))).toEqual(expected);
    }
  });
});

const PICKLED = "rcod_lora.pkl";

/** The draft as the dictionary that torch.save would have been given. */
function pickled({ tensors, metadata }: CheckpointDraft): Uint8Array {
  const dictionaries: Record<string, Record<string, Code>> = {};
  const storages: Record<string, Uint8Array> = {};
  for (const [name, { shape, data }] of tensors) {
    const [outer = "", ...inner] = name.split(".");
    const key = String(Object.keys(storages).length);
    storages[key] = data;
    const of = storage("Float", key, data.byteLength / 4);
    (dictionaries[outer] ??= {})[inner.join(".")] = tensor(of, shape);
  }
  const values = [...metadata].map(([key, value]): [string, Code] => {
    const parsed = JSON.parse(value) as number | string[];
    return [key, Array.isArray(parsed) ? list(...parsed.map(text)) : int(parsed)];
  });
  const nested = Object.entries(dictionaries).map(([key, inner]) => [key, named(inner)] as const);
  return archiveOf(named(Object.fromEntries([...values, ...nested])), storages);
}

/** The adapted model with its checkpoint in the other container. */
async function pickledModel(damage?: (checkpoint: CheckpointDraft) => unknown) {
  const { files, checkpoint } = await adaptedModel(damage);
  const config = JSON.parse(new TextDecoder().decode(files.get("rcod_config.json"))) as object;
  const other = new Map(files);
  other.delete(CHECKPOINT);
  other.set(PICKLED, pickled(checkpoint));
  other.set("rcod_config.json", json({ ...config, checkpoint: PICKLED }));
  return { files, pickled: other };
}

describe("the same checkpoint in both containers", () => {
  it("gives the same updates and the same trained tensors", async () => {
    const model = await pickledModel();
    const updates = await written(await updatesOf(model.pickled));
    expect(Object.keys(updates).length).toBeGreaterThan(50);
    expect(updates).toEqual(await written(await updatesOf(model.files)));

    for (const [part, name] of [
      ["unet", "conv_in.weight"],
      ["clip", "image_proj.bias"],
    ] as const) {
      const read = async (files: ReadonlyMap<string, Uint8Array>, checkpoint: string) => {
        const set = memoryFiles(files);
        const store = await openPart(
          set,
          part,
          await openCheckpoint(set, { ...RCOD_O, checkpoint }),
        );
        return [...(await store.read(name))];
      };
      const got = await read(model.pickled, PICKLED);
      expect(got).toEqual(await read(model.files, CHECKPOINT));
      expect(got.some((byte) => byte !== 0)).toBe(true);
    }
  });

  async function failure(files: ReadonlyMap<string, Uint8Array>): Promise<string> {
    const error: unknown = await updatesOf(files).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WeightsError);
    return (error as Error).message;
  }

  it.each<[string, (checkpoint: CheckpointDraft) => unknown]>([
    ["no rank", ({ metadata }) => metadata.delete("rank_unet")],
    ["a rank of 0", ({ metadata }) => metadata.set("rank_vae", "0")],
    [
      "a tensor too many",
      ({ tensors }) => tensors.set("state_dict_vae.x", floats(new Float64Array(1), [1])),
    ],
    ["no projection", ({ tensors }) => tensors.delete("state_dict_proj.bias")],
    ["no list", ({ metadata }) => metadata.delete("vae_lora_encoder_modules")],
  ])("is refused for the same reason: %s", async (_name, damage) => {
    const model = await pickledModel(damage);
    const expected = (await failure(model.files)).replaceAll(CHECKPOINT, PICKLED);
    expect(await failure(model.pickled)).toBe(expected);
  });

  it("is refused when it wants to run something, or is absent", async () => {
    const { pickled: files } = await pickledModel();
    files.set(PICKLED, archiveOf(named({ rank_unet: global("os", "system") })));
    expect(await failure(files)).toMatch(/^weights: pickle asks for os\.system; refused/);
    files.delete(PICKLED);
    expect(await failure(files)).toBe(
      'weights: the checkpoint "rcod_lora.pkl" of rcod_config.json must exist (memory). ' +
        "Add the file, or name another",
    );
  });
});
