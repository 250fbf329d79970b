/**
 * Which matrices `rcod convert --weights` makes integers, and of what kind. What stays floats is little and would suffer, or
 * gain nothing:
 *
 * - the layers at the ends of the networks and between them, whose few channels fill no block of 32;
 * - the time embedding, which moves every pixel of a map alike;
 * - the VAE's convolutions behind a doubling of the map. As floats they are folded with it (`fold-upsample.ts`), which
 *   integers cannot be: sums of taps with different scales are no integers. Without the fold they take 2.25 times the
 *   multiplications. The UNet's are on small maps and are three quarters of all bytes in question, so they are integers.
 *
 * The metric estimation module is small and stays floats too.
 */
import type { Weight } from "../../graph/ir/ir.ts";
import type { Quantization, ScaleBlock } from "../settings/quantization.ts";

/** What `--weights` takes. */
export type QuantizationRecipe = (typeof QUANTIZATION_RECIPES)[number];
export const QUANTIZATION_RECIPES = ["int8", "int4", "mixed"] as const;

/** Parts with integers. */
export const QUANTIZED_PARTS = ["clip", "vae", "unet"] as const;
export type QuantizedPart = (typeof QUANTIZED_PARTS)[number];

/** `mixed`: what the VAE loses is seen in every pixel, and it has least bytes. */
const SCHEMES: Readonly<
  Record<QuantizationRecipe, Readonly<Record<QuantizedPart, Quantization["scheme"]>>>
> = {
  int8: { clip: "int8", vae: "int8", unet: "int8" },
  int4: { clip: "int4", vae: "int4", unet: "int4" },
  mixed: { clip: "int4", vae: "int8", unet: "int4" },
};

const FLOAT: Readonly<Record<QuantizedPart, RegExp>> = {
  clip: /\.patch_embedding\./,
  vae: /^(?:(?:en|de)coder\.conv_(?:in|out)|(?:post_)?quant_conv|pixel_conv)\.|\.upsamplers\./,
  unet: /^(?:conv_in|conv_out|time_embedding)\./,
};

/** The quantization of a part whose parameters are these. */
export function quantizationOf(
  part: QuantizedPart,
  recipe: QuantizationRecipe,
  parameters: readonly Weight[],
  block: ScaleBlock = 32,
): Quantization {
  const float = parameters.filter(
    ({ name, layout }) => layout === "matrix" && FLOAT[part].test(name),
  );
  return { scheme: SCHEMES[recipe][part], block, float: float.map(({ name }) => name) };
}
