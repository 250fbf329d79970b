/**
 * The latent metric M_L of a low-quality image and its original, as training computes it: the cosine similarity
 * of their latents under the model's encoder. Training compares samples of the posterior; these are its means.
 */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { ShapeError } from "../gpu/shape.ts";
import { readActivation } from "../graph/read-activation.ts";
import type { FileSet } from "../weights/index.ts";
import { enlargeSource } from "./images/enlarged-source.ts";
import { outputGeometry, paddedGeometry } from "./images/geometry.ts";
import { checkImage } from "./images/raw-image.ts";
import type { LoadWeightsOptions } from "./loading/load.ts";
import { disposeWeights, loadWeights } from "./loading/load.ts";
import { readConfigs } from "./loading/read-configs.ts";
import type { ModelPart } from "./networks/stage-graphs.ts";
import type { VaeConfig } from "./settings/config.ts";
import { sampleChannels, vaeFactor } from "./settings/config.ts";
import { cosineSimilarity } from "./settings/latent-groups.ts";
import type { ModelConfigs } from "./settings/model-configs.ts";
import { NumbersError } from "./settings/numbers-error.ts";
import type { RawImage } from "./settings/options.ts";
import { adaptToImage } from "./stages/adapt.ts";
import type { StageContext } from "./stages/context.ts";
import { encodeLatents } from "./stages/encode.ts";
import { StagePrograms } from "./stages/programs.ts";

/** A model's encoder, for metrics of pairs. Owns its buffers: call `dispose()` when done. */
export class PairMetric {
  readonly configs: ModelConfigs;
  readonly #context: StageContext;

  private constructor(context: StageContext) {
    this.configs = context.configs;
    this.#context = context;
  }

  /**
   * Loads what encoding needs of a model folder. Throws `WeightsError` or `ConfigError` for what is wrong with
   * the files.
   */
  static async load(
    gpu: Gpu,
    files: FileSet,
    dtype: DType,
    options: Omit<LoadWeightsOptions, "parts"> = {},
  ): Promise<PairMetric> {
    const configs = await readConfigs(files, options.signal);
    const parts: readonly ModelPart[] = configs.degradation ? ["vae", "degradation"] : ["vae"];
    const weights = await loadWeights(gpu, files, configs, dtype, { ...options, parts });
    const programs = new StagePrograms(gpu, weights);
    return new PairMetric({ gpu, configs, weights, programs, dtype });
  }

  /**
   * M_L in −1 … 1. `low` has the size of `high`, or is `upscale` times smaller and is enlarged as the model
   * enlarges. With RCOD_S both are encoded by the encoder for `low`. Throws `ShapeError` for other sizes.
   */
  async of(low: RawImage, high: RawImage, signal?: AbortSignal): Promise<number> {
    checkImage(low);
    checkImage(high);
    const { upscale } = this.configs.rcod;
    const scale = [1, upscale].find(
      (factor) => low.width * factor === high.width && low.height * factor === high.height,
    );
    if (scale === undefined) {
      throw new ShapeError(
        `metric: the low-quality image must be as large as its original or ${upscale} times smaller, ` +
          `got ${low.width}×${low.height} and ${high.width}×${high.height}`,
      );
    }
    if (this.configs.degradation) {
      await adaptToImage(this.#context, low, { signal });
    }
    const a = await this.#latents(low, scale, signal);
    const metric = cosineSimilarity(a, await this.#latents(high, 1, signal));
    if (!Number.isNaN(metric)) return metric;
    throw new NumbersError(
      `metric: latents must be finite numbers, got NaN or infinity in stage "encode". ` +
        "Upscale the image, which tells the module, or use another model",
    );
  }

  /** Frees everything on the device. Idempotent. */
  dispose(): void {
    const { programs, weights } = this.#context;
    programs.clear();
    disposeWeights(weights);
  }

  async #latents(
    image: RawImage,
    upscale: number,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array> {
    const { gpu, configs, dtype } = this.#context;
    const multiple = vaeFactor(configs.vae);
    const { width, height } = image;
    const sizes = { upscale, multiple };
    const geometry = configs.degradation
      ? paddedGeometry(width, height, sizes)
      : outputGeometry(width, height, { ...sizes, minSide: 1, mode: "exact" });
    const source = await enlargeSource(gpu, image, geometry, configs, "nearest");
    const { workHeight, workWidth } = geometry;
    const shape = [workHeight / multiple, workWidth / multiple, sampleChannels(configs.vae)];
    let latents: GPUBuffer | undefined;
    try {
      latents = await encodeLatents(this.#context, source, geometry, {}, () => ({ signal }));
      const sample = await readActivation(gpu, latents, shape, dtype);
      return withoutPixels(sample, configs.vae);
    } finally {
      source.release();
      gpu.memory.release(source.image.buffer);
      if (latents) gpu.memory.release(latents);
    }
  }
}

/** The latents of what the encoder gives. */
function withoutPixels(sample: Float32Array, vae: VaeConfig): Float32Array {
  const channels = sampleChannels(vae);
  return sample.filter((_, i) => i % channels < vae.latentChannels);
}
