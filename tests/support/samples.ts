/** The sample models of tests/fixtures: a base, CLIP and checkpoints as other programs wrote them. */
import { fileURLToPath } from "node:url";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { memoryFiles, openSafetensors, toFloat32 } from "../../src/weights/index.ts";
import { fileSource, folderFiles } from "../../src/weights/sources/node-source.ts";

const path = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** unet/ and vae/ in diffusers' layout. */
export const SAMPLE_SD = path("samples/sd-tiny");
/** A whole CLIPModel in transformers' layout. */
export const SAMPLE_CLIP = path("samples/clip-tiny");

/** RCOD_O checkpoints of equal values, in three forms of torch.save. */
export const SAMPLE_CHECKPOINTS = ["torch2", "strided", "legacy"].map((form) =>
  path(`torch/rcod_o_${form}.pkl`),
);

/** The expected images are at processing resolution: nothing is enlarged, no colours are changed. */
export const SAMPLE_RCOD_CONFIG = { upscale: 1, min_size: 1, color_fix: "none" };

/** `SAMPLE_SD` with `SAMPLE_RCOD_CONFIG`. */
export function sampleSdFiles(): FileSet {
  const base = folderFiles(SAMPLE_SD);
  const text = new TextEncoder().encode(JSON.stringify(SAMPLE_RCOD_CONFIG));
  const config = memoryFiles(new Map([["rcod_config.json", text]]));
  return {
    name: base.name,
    open: async (file, signal) =>
      (await config.open(file, signal)) ?? (await base.open(file, signal)),
  };
}

/** The golden file with the expected results of both instances. */
export const SAMPLE_EXPECTED = path("samples/expected.safetensors");

/** A tensor of the expected results. */
async function expected(name: string) {
  const file = await openSafetensors(await fileSource(SAMPLE_EXPECTED));
  const info = file.tensors.get(name);
  if (info === undefined) throw new Error(`no tensor ${name}`);
  const bytes = await file.readRange(name, 0, info.byteLength);
  await file.close();
  return { info, bytes };
}

/** An image by its name: `inputs/image_u8_hwc`, `outputs/image_u8_t249`, `outputs/image_u8_t749`. */
export async function sampleImage(name: string): Promise<RawImage> {
  const { info, bytes } = await expected(`rcod_o/${name}`);
  const [height = 0, width = 0] = info.shape;
  return { width, height, channels: 3, data: bytes };
}

/** A weight after the merge, e.g. `vae/quant_conv.weight`. */
export async function sampleMerged(name: string): Promise<Float32Array> {
  const { info, bytes } = await expected(`rcod_o/outputs/merged/${name}`);
  return toFloat32(info, bytes);
}

/** All weights that `sampleMerged` has. */
export const SAMPLE_MERGED = [
  "unet/conv_in.weight",
  "unet/mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
  "unet/up_blocks.3.resnets.0.conv_shortcut.weight",
  "vae/quant_conv.weight",
  "vae/encoder.conv_in.weight",
] as const;
