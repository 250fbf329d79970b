/** Stable Diffusion in one file reads as the folders of diffusers. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { SourceTensor } from "../../../src/graph/weights/device-weights.ts";
import { unetRename, vaeRename } from "../../../src/rcod/loading/ldm-names.ts";
import { modelFiles } from "../../../src/rcod/loading/model-source.ts";
import { openModel } from "../../../src/rcod/loading/open-model.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { SD_2_1_BASE, singleFileModel } from "../../../src/rcod/loading/single-file-model.ts";
import { modelParameters } from "../../../src/rcod/networks/stage-graphs.ts";
import { parseUNetConfig, parseVaeConfig } from "../../../src/rcod/settings/config.ts";
import type { UNetConfig } from "../../../src/rcod/settings/config.ts";
import type { NamedTensorData } from "../../../src/weights/index.ts";
import {
  WeightsError,
  bytesSource,
  openSafetensors,
  readJson,
  writeSafetensors,
} from "../../../src/weights/index.ts";
import { diskFile, folderFiles } from "../../../src/weights/sources/node-source.ts";
import { SAMPLE_CHECKPOINTS, SAMPLE_CLIP, SAMPLE_SD } from "../../support/samples.ts";

/** The names of the UNet's tensors as ldm's openaimodel.py counts its modules, in its own order. */
function ldmUNetNames({ blockOutChannels, layersPerBlock, downAttention }: UNetConfig): string[] {
  const names: string[] = [];
  const both = (module: string): number => names.push(`${module}.weight`, `${module}.bias`);
  const resnet = (at: string, changes: boolean): void => {
    for (const inner of [
      "in_layers.0",
      "in_layers.2",
      "emb_layers.1",
      "out_layers.0",
      "out_layers.3",
    ])
      both(`${at}.${inner}`);
    if (changes) both(`${at}.skip_connection`);
  };
  const transformer = (at: string): void => {
    for (const inner of ["norm", "proj_in", "proj_out"]) both(`${at}.${inner}`);
    const block = `${at}.transformer_blocks.0`;
    for (const attention of ["attn1", "attn2"]) {
      for (const inner of ["to_q", "to_k", "to_v"])
        names.push(`${block}.${attention}.${inner}.weight`);
      both(`${block}.${attention}.to_out.0`);
    }
    for (const inner of ["ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"])
      both(`${block}.${inner}`);
  };
  both("time_embed.0");
  both("time_embed.2");
  both("input_blocks.0.0");
  let width = blockOutChannels[0] as number;
  const skips = [width];
  let n = 1;
  blockOutChannels.forEach((channels, level) => {
    for (let i = 0; i < layersPerBlock; i++) {
      resnet(`input_blocks.${n}.0`, width !== channels);
      width = channels;
      if (downAttention[level]) transformer(`input_blocks.${n}.1`);
      skips.push(width);
      n++;
    }
    if (level + 1 === blockOutChannels.length) return;
    both(`input_blocks.${n}.0.op`);
    skips.push(width);
    n++;
  });
  resnet("middle_block.0", false);
  transformer("middle_block.1");
  resnet("middle_block.2", false);
  n = 0;
  for (let level = blockOutChannels.length - 1; level >= 0; level--) {
    for (let i = 0; i <= layersPerBlock; i++) {
      const channels = blockOutChannels[level] as number;
      resnet(`output_blocks.${n}.0`, width + (skips.pop() as number) !== channels);
      width = channels;
      if (downAttention[level]) transformer(`output_blocks.${n}.1`);
      if (level > 0 && i === layersPerBlock)
        both(`output_blocks.${n}.${downAttention[level] ? 2 : 1}.conv`);
      n++;
    }
  }
  both("out.0");
  both("out.2");
  return names;
}

/** The names of the VAE's tensors as ldm's model.py builds it. */
function ldmVaeNames(channels: readonly number[], layers: number, hasAttention: boolean): string[] {
  const names: string[] = [];
  const both = (module: string): number => names.push(`${module}.weight`, `${module}.bias`);
  const resnet = (at: string, changes: boolean): void => {
    for (const inner of ["norm1", "conv1", "norm2", "conv2"]) both(`${at}.${inner}`);
    if (changes) both(`${at}.nin_shortcut`);
  };
  for (const [net, count] of [
    ["encoder", layers],
    ["decoder", layers + 1],
  ] as const) {
    for (const inner of ["conv_in", "norm_out", "conv_out"]) both(`${net}.${inner}`);
    resnet(`${net}.mid.block_1`, false);
    resnet(`${net}.mid.block_2`, false);
    if (hasAttention)
      for (const inner of ["norm", "q", "k", "v", "proj_out"]) both(`${net}.mid.attn_1.${inner}`);
    const isEncoder = net === "encoder";
    let width = channels[isEncoder ? 0 : channels.length - 1] as number;
    const levels = [...channels.keys()];
    for (const level of isEncoder ? levels : levels.toReversed()) {
      for (let i = 0; i < count; i++) {
        resnet(
          `${net}.${isEncoder ? "down" : "up"}.${level}.block.${i}`,
          width !== channels[level],
        );
        width = channels[level] as number;
      }
      if (isEncoder && level + 1 < channels.length) both(`encoder.down.${level}.downsample.conv`);
      if (!isEncoder && level > 0) both(`decoder.up.${level}.upsample.conv`);
    }
  }
  both("quant_conv");
  both("post_quant_conv");
  return names;
}

const SAMPLE = folderFiles(SAMPLE_SD);
const [unetJson, vaeJson] = [
  (await readJson(SAMPLE, "unet/config.json")) as object,
  (await readJson(SAMPLE, "vae/config.json")) as object,
];

describe("names", () => {
  it.each([
    ["input_blocks.0.0.weight", "conv_in.weight"],
    ["input_blocks.3.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight"],
    [
      "input_blocks.4.1.transformer_blocks.0.attn2.to_out.0.bias",
      "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0.bias",
    ],
    ["input_blocks.11.0.out_layers.3.bias", "down_blocks.3.resnets.1.conv2.bias"],
    ["input_blocks.4.0.skip_connection.weight", "down_blocks.1.resnets.0.conv_shortcut.weight"],
    ["middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"],
    ["middle_block.2.emb_layers.1.weight", "mid_block.resnets.1.time_emb_proj.weight"],
    ["output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"],
    ["output_blocks.5.2.conv.weight", "up_blocks.1.upsamplers.0.conv.weight"],
    ["output_blocks.11.1.norm.weight", "up_blocks.3.attentions.2.norm.weight"],
    ["time_embed.2.bias", "time_embedding.linear_2.bias"],
    ["out.2.weight", "conv_out.weight"],
    ["label_emb.0.0.weight", null],
  ])("of the UNet: %s", (name, expected) => {
    expect(unetRename(parseUNetConfig(SD_2_1_BASE.unet))(name)).toBe(expected);
  });

  it.each([
    ["decoder.up.3.block.0.norm1.weight", "decoder.up_blocks.0.resnets.0.norm1.weight"],
    ["decoder.up.1.upsample.conv.bias", "decoder.up_blocks.2.upsamplers.0.conv.bias"],
    ["encoder.down.0.downsample.conv.weight", "encoder.down_blocks.0.downsamplers.0.conv.weight"],
    ["encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.to_q.weight"],
    [
      "encoder.down.1.block.0.nin_shortcut.weight",
      "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
    ],
    ["quant_conv.weight", "quant_conv.weight"],
  ])("of the VAE: %s", (name, expected) => {
    expect(vaeRename(parseVaeConfig(SD_2_1_BASE.vae))(name)).toBe(expected);
  });
});

/** The sample's VAE has the attention of older versions of diffusers. */
const currentName = (name: string): string =>
  name
    .replace(/\.(q)uery\.|\.(k)ey\.|\.(v)alue\./, (_match, q, k, v) => `.to_${q ?? k ?? v}.`)
    .replace(".proj_attn.", ".to_out.0.");

/** The sample's UNet and VAE in one file with the original names; 1×1 convolutions where the file has matrices. */
async function oneFile(): Promise<NamedTensorData[]> {
  const [unet, vae] = [parseUNetConfig(unetJson), parseVaeConfig(vaeJson)];
  const all: NamedTensorData[] = [];
  for (const [part, prefix, names, rename] of [
    ["unet", "model.diffusion_model.", ldmUNetNames(unet), unetRename(unet)],
    [
      "vae",
      "first_stage_model.",
      ldmVaeNames(vae.blockOutChannels, vae.layersPerBlock, vae.midAttention),
      vaeRename(vae),
    ],
  ] as const) {
    const path = join(SAMPLE_SD, part, "diffusion_pytorch_model.safetensors");
    const file = await openSafetensors(bytesSource(path, new Uint8Array(await readFile(path))));
    const old = new Map(names.map((name) => [rename(name), name]));
    for (const [stored, { dtype, shape }] of file.tensors) {
      const name = old.get(currentName(stored)) ?? expect.fail(stored);
      old.delete(currentName(stored));
      all.push({ name: prefix + name, dtype, shape, data: await file.read(stored) });
    }
    expect([...old.keys()]).toEqual([]);
  }
  const text = { dtype: "F32", shape: [1], data: new Uint8Array(4) } as const;
  return [...all, { name: "cond_stage_model.model.ln_final.bias", ...text }];
}

const file = (tensors: readonly NamedTensorData[], name = "sd.safetensors"): File =>
  new File([writeSafetensors(tensors)], name);
const asSingle = (blob: File) => ({
  name: blob.name,
  open: async () => bytesSource(blob.name, new Uint8Array(await blob.arrayBuffer())),
});

it("has the same tensors as the folder, in every piece", async () => {
  const pieces = {
    clip: folderFiles(SAMPLE_CLIP),
    checkpoint: diskFile(SAMPLE_CHECKPOINTS[0] as string),
  };
  const single = singleFileModel(asSingle(file(await oneFile())), { unet: unetJson, vae: vaeJson });
  const models = [SAMPLE, { ...single, name: "sd" }].map((model) =>
    modelFiles({ model, ...pieces }),
  );
  const opened = await Promise.all(
    models.map(async (files) => openModel(files, await readConfigs(files), { strict: true })),
  );
  for (const part of ["unet", "vae"] as const) {
    for (const { name } of opened[0]?.parameters[part] ?? []) {
      const [a, b] = opened.map(
        (model) => model.sources.get(part)?.tensor(name) ?? expect.fail(name),
      ) as [SourceTensor, SourceTensor];
      const length = Math.min(a.byteLength, 4096);
      const from = a.byteLength - length;
      expect(await b.read(from, length)).toEqual(await a.read(from, length));
    }
  }
  for (const model of opened) await model.close();
});

it("names all tensors of Stable Diffusion 2.1-base", async () => {
  const files = singleFileModel(asSingle(file(await oneFile())));
  const unet = parseUNetConfig(await readJson(files, "unet/config.json"));
  const vae = parseVaeConfig(await readJson(files, "vae/config.json"));
  const { clip, rcod } = await readConfigs(
    modelFiles({ model: SAMPLE, clip: folderFiles(SAMPLE_CLIP) }),
  );
  const needed = modelParameters({ unet, vae, clip, rcod, mem: null, degradation: null });
  const names = (list: readonly { readonly name: string }[]): Set<string> =>
    new Set(list.map(({ name }) => name));
  const unetNames = ldmUNetNames(unet);
  expect(unetNames.length).toBe(686); // as in the published file
  expect(new Set(unetNames.map(unetRename(unet)))).toEqual(names(needed.unet));
  const vaeNames = ldmVaeNames([128, 256, 512, 512], 2, true);
  expect(vaeNames.length).toBe(248);
  expect(new Set(vaeNames.map(vaeRename(vae)))).toEqual(names(needed.vae));
});

describe("other files are refused by name", () => {
  const tensor = (name: string, shape: readonly number[]): NamedTensorData => ({
    name,
    dtype: "U8",
    shape,
    data: new Uint8Array(shape.reduce((product, size) => product * size, 1)),
  });
  const input = (channels: number) =>
    tensor("model.diffusion_model.input_blocks.0.0.weight", [1, channels, 1, 1]);
  const key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
  const vae = tensor("first_stage_model.quant_conv.bias", [1]);
  it.each<[string, readonly NamedTensorData[], RegExp]>([
    ["1.x", [input(4), tensor(key, [1, 768]), vae], /Stable Diffusion 1\.x \(a context of 768/],
    ["inpainting", [input(9), tensor(key, [1, 1024]), vae], /got an inpainting model/],
    ["XL", [input(4), tensor("conditioner.embedders.0.x", [1]), vae], /Stable Diffusion XL/],
    ["no VAE", [input(4), tensor(key, [1, 1024])], /the UNet of a .* without its VAE/],
    ["a VAE", [vae, tensor("encoder.down.0.block.0.norm1.bias", [1])], /got a VAE alone/],
    ["a LoRA", [tensor("lora_unet_x.alpha", [])], /got a plain LoRA in kohya's layout/],
    ["anything", [tensor("x", [1])], /got other tensors/],
  ])("%s", async (_name, tensors, message) => {
    const files = modelFiles({ model: file(tensors), clip: folderFiles(SAMPLE_CLIP) });
    expect(files.assumption).toContain("sd.safetensors is taken for Stable Diffusion 2.1-base");
    const error: unknown = await readConfigs(files).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toMatch(
      /^weights: a model in one file must be Stable Diffusion 2\.x with its VAE, got /,
    );
    expect((error as Error).message).toMatch(message);
  });
});
