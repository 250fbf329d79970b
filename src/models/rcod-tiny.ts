/**
 * The model that comes with the package, as the addresses of its 11 files (7.9 MB). Nothing is bundled: a page fetches
 * what it reads. The files are also there by themselves, below `rcod-webgpu/models/rcod-tiny/`.
 *
 * ```ts
 * const model = await loadModel(rcodTiny);
 * ```
 */

/** Each address stands alone, so that bundlers see and move each file. */
const addresses = (): [path: string, address: URL][] => [
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
];

/**
 * rcod-tiny by the paths of a model folder. Importing it never throws; where a bundle does not know its own address, as a
 * classic script, reading from it throws a `TypeError` that says what to do.
 */
export const rcodTiny: ReadonlyMap<string, URL> = located();

function located(): ReadonlyMap<string, URL> {
  try {
    return new Map(addresses());
  } catch {
    return new Proxy(new Map<string, URL>(), {
      get() {
        throw new TypeError(
          "rcod-tiny: the script must know its address, got no import.meta.url. Serve the package's folder " +
            'models/rcod-tiny and load that: loadModel("/models/rcod-tiny")',
        );
      },
    });
  }
}
