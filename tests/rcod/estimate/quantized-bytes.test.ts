/** What the full model takes as integers, in files and on the device, planned without a GPU: docs/quantization.md has the figures. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { elementCount } from "../../../src/gpu/shape.ts";
import { lowMemoryPeakBytes } from "../../../src/rcod/estimate/peak-bytes.ts";
import { outputGeometry } from "../../../src/rcod/images/geometry.ts";
import { expectedTensors } from "../../../src/rcod/loading/integer-tensors.ts";
import { QUANTIZED_PARTS, quantizationOf } from "../../../src/rcod/loading/quantization-recipe.ts";
import type { QuantizationRecipe } from "../../../src/rcod/loading/quantization-recipe.ts";
import { modelParameters } from "../../../src/rcod/networks/stage-graphs.ts";
import {
  RCOD_O,
  parseClipConfig,
  parseUNetConfig,
  parseVaeConfig,
} from "../../../src/rcod/settings/config.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import type { ScaleBlock } from "../../../src/rcod/settings/quantization.ts";
import { elementByteLength } from "../../../src/weights/index.ts";
import { CLIP_L_JSON, SD21_UNET_JSON, SD_VAE_JSON } from "../../graph/full-configs.ts";

const GIB = 2 ** 30;
const FLOATS: ModelConfigs = {
  rcod: RCOD_O,
  unet: parseUNetConfig(SD21_UNET_JSON),
  vae: parseVaeConfig(SD_VAE_JSON),
  clip: parseClipConfig(CLIP_L_JSON),
  mem: null,
  degradation: null,
};

function quantized(recipe: QuantizationRecipe, block: ScaleBlock): ModelConfigs {
  const parameters = modelParameters(FLOATS);
  const parts = QUANTIZED_PARTS.map((part) => {
    const quantization = quantizationOf(part, recipe, parameters[part], block);
    return [part, { ...FLOATS[part], quantization }] as const;
  });
  return { ...FLOATS, ...Object.fromEntries(parts) };
}

/** Bytes of all tensors, floats as `rcod convert` stores them. */
function fileBytes(configs: ModelConfigs): number {
  const weights = Object.values(modelParameters(configs)).flat();
  return weights
    .flatMap((weight) => expectedTensors(weight).map((tensor) => ({ weight, ...tensor })))
    .reduce((sum, { weight, shape, dtype = weight.layout === "matrix" ? "F16" : "F32" }) => {
      return sum + elementCount(shape) * elementByteLength(dtype);
    }, 0);
}

/** The most that a call of 128 × 128 pixels has on the device in low memory, in f16. */
function peakBytes(configs: ModelConfigs): number {
  return lowMemoryPeakBytes({
    configs,
    caps: BASELINE_CAPS,
    dtypeOf: () => "f16",
    geometry: outputGeometry(128, 128, { upscale: 4, minSide: 128, multiple: 8, mode: "exact" }),
    options: {},
  });
}

/** 0.75 GB. */
const MIXED_64 = 0.75e9 / GIB;

describe.each([
  ["int8", 32, 1.3, 0.95],
  ["mixed", 32, 0.75, 0.65],
  ["mixed", 64, MIXED_64, 0.5],
] as const)("the full model in %s by %i", (recipe, block, mostOfFiles, mostOfDevice) => {
  it(`has ${mostOfFiles} GiB of files at most, and takes ${mostOfDevice} GiB of the device`, () => {
    const configs = quantized(recipe, block);
    const [files, peak] = [fileBytes(configs) / GIB, peakBytes(configs) / GIB];
    expect(files).toBeLessThan(mostOfFiles);
    expect(files).toBeGreaterThan(0.9 * mostOfFiles);
    expect(peak).toBeLessThan(mostOfDevice);
    expect(peak).toBeGreaterThan(0.7 * mostOfDevice);
  });
});

it("has its floats where a fold with an upsampling saves more than bytes", () => {
  const parameters = modelParameters(FLOATS);
  const floats = (part: "unet" | "vae"): readonly string[] =>
    quantizationOf(part, "int8", parameters[part]).float;
  expect(floats("vae").filter((name) => name.includes("upsamplers")).length).toBe(3);
  expect(floats("unet").some((name) => name.includes("upsamplers"))).toBe(false);
});
