/** Checkpoints of other people: read where they are the same under other names, else named. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { kindOfTensors } from "../../../src/rcod/loading/foreign-names.ts";
import { modelFiles } from "../../../src/rcod/loading/model-source.ts";
import { openModel } from "../../../src/rcod/loading/open-model.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import type { OpenOptions } from "../../../src/rcod/loading/stored-tensors.ts";
import type { FileSet, NamedTensorData } from "../../../src/weights/index.ts";
import {
  WeightsError,
  bytesSource,
  openSafetensors,
  openTorch,
  writeSafetensors,
} from "../../../src/weights/index.ts";
import { folderFiles } from "../../../src/weights/sources/node-source.ts";
import { SAMPLE_CHECKPOINTS, SAMPLE_CLIP, SAMPLE_SD } from "../../support/samples.ts";

/** Tensors and values of a file, to be written again under other names. */
interface Content {
  readonly tensors: readonly NamedTensorData[];
  readonly values: readonly (readonly [string, string])[];
}

async function checkpointContent(): Promise<Content> {
  const bytes = new Uint8Array(await readFile(SAMPLE_CHECKPOINTS[0] as string));
  const file = await openTorch(bytesSource("rcod_o.pkl", bytes));
  const tensors = Array.from(file.tensors, async ([name, tensor]) => {
    const { dtype, shape, byteLength } = tensor;
    return { name, dtype, shape, data: await file.readRange(tensor, 0, byteLength) };
  });
  const values = Array.from(file.values, ([key, value]) => [key, JSON.stringify(value)] as const);
  return { tensors: await Promise.all(tensors), values };
}

async function safetensorsContent(path: string): Promise<Content> {
  const file = await openSafetensors(bytesSource(path, new Uint8Array(await readFile(path))));
  const tensors = Array.from(file.tensors.values(), async ({ name, dtype, shape }) => {
    return { name, dtype, shape, data: await file.read(name) };
  });
  return { tensors: await Promise.all(tensors), values: [] };
}

const RCOD = await checkpointContent();
const CLIP = await safetensorsContent(join(SAMPLE_CLIP, "model.safetensors"));
const UNET = await safetensorsContent(join(SAMPLE_SD, "unet/diffusion_pytorch_model.safetensors"));

/** The content as a file, its tensors and values under other names; those without one are left out. */
function renamed(
  { tensors, values }: Content,
  rename: (name: string) => string | null,
): Uint8Array {
  const kept = tensors.flatMap((tensor) => {
    const name = rename(tensor.name);
    return name === null ? [] : [{ ...tensor, name }];
  });
  const texts = values.flatMap(([key, text]) => {
    const name = rename(key);
    return name === null ? [] : [[name, text] as const];
  });
  return writeSafetensors(kept, texts);
}

const same = (name: string): string => name;

interface Pieces {
  readonly checkpoint?: Uint8Array;
  readonly clip?: Uint8Array;
  readonly unet?: Uint8Array;
}

/** The sample model with some of its files replaced. */
async function sample({ checkpoint = renamed(RCOD, same), clip, unet }: Pieces): Promise<FileSet> {
  const over = (base: FileSet, path: string, bytes?: Uint8Array): FileSet => ({
    name: base.name,
    open: async (file, signal) =>
      bytes && file === path ? bytesSource(file, bytes) : base.open(file, signal),
  });
  return modelFiles({
    model: over(folderFiles(SAMPLE_SD), "unet/diffusion_pytorch_model.safetensors", unet),
    clip: over(folderFiles(SAMPLE_CLIP), "model.safetensors", clip),
    checkpoint: new File([checkpoint as BlobPart], "theirs.safetensors"),
  });
}

/** Opens a model; gives the bytes of some parameters of all parts, and what was told. */
async function opened(
  pieces: Pieces,
  options: OpenOptions = {},
): Promise<{ readonly values: readonly number[]; readonly told: readonly string[] }> {
  const told: string[] = [];
  const files = await sample(pieces);
  const model = await openModel(files, await readConfigs(files), {
    onWarning: (message) => told.push(message),
    ...options,
  });
  const values: number[] = [];
  for (const [part, name] of [
    ["clip", "vision_model.pre_layrnorm.weight"],
    ["clip", "image_proj.bias"],
    ["unet", "conv_in.weight"],
  ] as const) {
    const tensor = model.sources.get(part)?.tensor(name) ?? expect.fail(name);
    values.push(...(await tensor.read(0, tensor.byteLength)));
  }
  const lora = model.sources.get("unet")?.lora("conv_in.weight") ?? expect.fail("no LoRA");
  values.push(...(await lora.a.read(0, lora.a.byteLength)));
  await model.close();
  return { values, told };
}

async function failure(pieces: Pieces, options: OpenOptions = {}): Promise<string> {
  const error: unknown = await opened(pieces, options).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(WeightsError);
  return (error as Error).message;
}

const expected = await opened({});

describe("the same checkpoint in a wrapper", () => {
  it.each<[string, (name: string) => string, RegExp]>([
    ["state_dict", (name) => `state_dict.${name}`, /the dictionary "state_dict" is read/],
    ["model", (name) => `model.${name}`, /the dictionary "model" is read/],
    ["params_ema", (name) => `params_ema.${name}`, /the dictionary "params_ema" is read/],
    ["two of them", (name) => `model.state_dict.${name}`, /"model.state_dict" is read/],
    ["module.", (name) => `module.${name}`, /prefixes module. and _orig_mod. are left out/],
    ["both prefixes", (name) => `_orig_mod.module.${name}`, /prefixes module. and _orig_mod./],
    [
      "a prefix in a part",
      (name) => name.replace(/^(state_dict_unet\.)/, "$1_orig_mod.module."),
      /prefixes module. and _orig_mod./,
    ],
    ["all", (name) => `module.state_dict._orig_mod.${name}`, /"state_dict" is read; the prefixes/],
  ])("%s", async (_name, rename, message) => {
    const { values, told } = await opened({ checkpoint: renamed(RCOD, rename) });
    expect(values).toEqual(expected.values);
    expect(told.filter((text) => text.startsWith("theirs"))).toEqual([
      expect.stringMatching(message),
    ]);
  });

  it("averaged weights before current ones, and no optimizer", async () => {
    const twice: Content = {
      tensors: [
        ...RCOD.tensors.map((tensor) => ({ ...tensor, name: `params_ema.${tensor.name}` })),
        ...RCOD.tensors.map((tensor) => ({
          ...tensor,
          name: `params.${tensor.name}`,
          data: new Uint8Array(tensor.data.byteLength),
        })),
      ],
      values: RCOD.values.map(([key, value]) => [`params_ema.${key}`, value]),
    };
    const { values, told } = await opened({ checkpoint: renamed(twice, same) });
    expect(values).toEqual(expected.values);
    expect(told.join()).toMatch(
      `"params_ema" is read; ${RCOD.tensors.length} tensors beside it are not used`,
    );
  });

  it("a part of the base too", async () => {
    const unet = renamed(UNET, (name) => `module.${name}`);
    expect((await opened({ unet })).values).toEqual(expected.values);
  });
});

describe("CLIP", () => {
  const isVision = (name: string): boolean => name.startsWith("vision_model.");
  it("as transformers 5 writes the vision tower", async () => {
    const bare = renamed(CLIP, (name) => (isVision(name) ? name.slice(13) : null));
    const { values, told } = await opened({ clip: bare });
    expect(values).toEqual(expected.values);
    expect(told).toEqual([]);
  });

  it("whole: the text tower is told", async () => {
    expect(expected.told).toEqual([expect.stringMatching(/the text tower is not used/)]);
  });

  it("the text tower alone is named", async () => {
    const text = renamed(CLIP, (name) => (isVision(name) ? null : name));
    expect(await failure({ clip: text })).toMatch(/weights: got a text encoder\. .*missing/);
  });
});

describe("tensors that nobody needs", () => {
  const more = (content: Content): Content => ({
    ...content,
    tensors: [
      ...content.tensors,
      { name: "extra", dtype: "F4", shape: [2], data: new Uint8Array(1) },
    ],
  });

  it.each([
    ["checkpoint", { checkpoint: renamed(more(RCOD), same) }],
    ["UNet", { unet: renamed(more(UNET), same) }],
  ])("of the %s are told, and refused when strict", async (_name, pieces) => {
    const { values, told } = await opened(pieces);
    expect(values).toEqual(expected.values);
    expect(told.join()).toMatch(/1 tensor unused. unused: extra/);
    expect(await failure(pieces, { strict: true })).toMatch(/1 tensor unused. unused: extra/);
  });

  it("but for what RCOD trained", async () => {
    const name = "state_dict_unet.mid_block.lora_A.other.weight";
    const trained = { name, dtype: "F32", shape: [1], data: new Uint8Array(4) } as const;
    const checkpoint = renamed({ ...RCOD, tensors: [...RCOD.tensors, trained] }, same);
    expect(await failure({ checkpoint })).toMatch(/1 tensor unused/);
  });
});

describe("another checkpoint is named, with what is missing", () => {
  const unetOf = (rename: (name: string) => string): Uint8Array =>
    renamed({ ...RCOD, values: [] }, (name) =>
      name.startsWith("state_dict_unet.") && name.includes("lora_")
        ? rename(name.slice(16).replace(/\.default\w*\./, "."))
        : null,
    );

  it.each<[string, Uint8Array, RegExp]>([
    ["PEFT", unetOf((name) => `base_model.model.${name}`), /got a plain LoRA as PEFT writes it/],
    ["diffusers", unetOf((name) => `unet.${name}`), /got a plain LoRA of diffusers/],
    [
      "kohya",
      unetOf(
        (name) =>
          `lora_unet_${name
            .replace(/\.lora_.*/, "")
            .replaceAll(".", "_")}.${name.includes("lora_A") ? "lora_down" : "lora_up"}.weight`,
      ),
      /got a plain LoRA in kohya's layout/,
    ],
    ["a UNet", renamed(UNET, same), /got a UNet alone/],
    ["CLIP", renamed(CLIP, same), /got a whole CLIP/],
  ])("%s", async (_name, checkpoint, kind) => {
    const message = await failure({ checkpoint });
    expect(message).toMatch(kind);
    expect(message).toMatch(
      /\(theirs\.safetensors\): it has no ranks, no list of modules and no token projection \(state_dict_proj\)\. Give rcod_o\.pkl/,
    );
    expect(message.length).toBeLessThan(400);
  });

  it("without the token projection", async () => {
    const checkpoint = renamed(RCOD, (name) => (name.startsWith("state_dict_proj") ? null : name));
    expect(await failure({ checkpoint })).toMatch(
      /^weights: the checkpoint must hold the token projection, got none \(theirs/,
    );
  });

  it("a ControlNet in the place of the UNet", async () => {
    const unet = renamed(UNET, (name) =>
      name
        .replace(/^up_blocks/, "controlnet_down_blocks")
        .replace(/^conv_out/, "controlnet_mid_block"),
    );
    expect(await failure({ unet })).toMatch(/weights: got a ControlNet\. /);
  });
});

it.each<[string, readonly string[]]>([
  ["a plain LoRA of diffusers", ["unet.mid_block.attentions.0.processor.to_q_lora.down.weight"]],
  ["a plain LoRA of diffusers", ["unet.down_blocks.0.attn1.to_k.lora.up.weight"]],
  ["a plain LoRA in kohya's layout", ["lora_te_text_model_encoder.alpha"]],
  ["a LyCORIS", ["lora_unet_mid_block.hada_w1_a"]],
  ["Stable Diffusion XL in one file", ["conditioner.embedders.0.x", "first_stage_model.y"]],
  ["a VAE alone", ["encoder.down_blocks.0.x", "decoder.up_blocks.0.x"]],
  ["a VAE alone, with its original names", ["encoder.down.0.block.0.x", "decoder.conv_in.weight"]],
  ["RCOD_O's checkpoint", ["state_dict_unet.x", "state_dict_proj.weight"]],
  ["CLIP with OpenAI's original names", ["visual.transformer.resblocks.0.attn.in_proj_weight"]],
])("%s is known by its names", (kind, names) => {
  expect(kindOfTensors(names)).toBe(kind);
});

it("other names are no known kind", () => {
  expect(kindOfTensors(["layer.0.weight"])).toBeNull();
});
