/**
 * The model that comes with the package, as the addresses of its 11 files (7.8 MB). Nothing is bundled: a page fetches
 * what it reads. The files are also there by themselves, below `rcod-webgpu/models/rcod-tiny/`.
 *
 * ```ts
 * const model = await loadModel(rcodTiny);
 * ```
 */

/** rcod-tiny by the paths of a model folder. Each address stands alone, so that bundlers see and move each file. */
export const rcodTiny: ReadonlyMap<string, URL> = new Map([
  [
    "image_encoder/config.json",
    new URL("../../models/rcod-tiny/image_encoder/config.json", import.meta.url),
  ],
  [
    "image_encoder/model.safetensors",
    new URL("../../models/rcod-tiny/image_encoder/model.safetensors", import.meta.url),
  ],
  [
    "image_proj/model.safetensors",
    new URL("../../models/rcod-tiny/image_proj/model.safetensors", import.meta.url),
  ],
  ["mem/config.json", new URL("../../models/rcod-tiny/mem/config.json", import.meta.url)],
  [
    "mem/model.safetensors",
    new URL("../../models/rcod-tiny/mem/model.safetensors", import.meta.url),
  ],
  ["rcod_config.json", new URL("../../models/rcod-tiny/rcod_config.json", import.meta.url)],
  [
    "rcod_lora.safetensors",
    new URL("../../models/rcod-tiny/rcod_lora.safetensors", import.meta.url),
  ],
  ["unet/config.json", new URL("../../models/rcod-tiny/unet/config.json", import.meta.url)],
  [
    "unet/diffusion_pytorch_model.safetensors",
    new URL("../../models/rcod-tiny/unet/diffusion_pytorch_model.safetensors", import.meta.url),
  ],
  ["vae/config.json", new URL("../../models/rcod-tiny/vae/config.json", import.meta.url)],
  [
    "vae/diffusion_pytorch_model.safetensors",
    new URL("../../models/rcod-tiny/vae/diffusion_pytorch_model.safetensors", import.meta.url),
  ],
]);
