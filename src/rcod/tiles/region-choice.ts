/** Whether a picture is computed as a whole or in regions, and how large they are. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Geometry } from "../images/geometry.ts";
import type { Size } from "../images/result-size.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import { MIN_REGION } from "../settings/options.ts";
import type { RegionPlan } from "./region-plan.ts";
import { planRegions } from "./region-plan.ts";
import { chooseVaeTile } from "./vae-tile-choice.ts";
import { fitsWhole } from "./whole-fit.ts";

/**
 * Sides of automatic regions in pixels of the enlarged picture. The first is taken that needs no tiles, whose margins cost more
 * than smaller regions do; else the first that fits in tiles.
 */
const SIDES: readonly number[] = [
  4096, 3584, 3072, 2560, 2304, 2048, 1792, 1664, 1536, 1408, 1280, 1216, 1152, 1088, 1024, 960,
  896, 832, 768, 640, 512, 384,
].concat(MIN_REGION);

/**
 * The regions of a picture, or null for one that is computed as a whole. `geometry` is that of the whole; `size` is that of the
 * picture.
 */
export function chooseRegions(
  configs: ModelConfigs,
  caps: Caps,
  dtype: DType,
  size: Size,
  { sourceWidth, sourceHeight, workWidth, workHeight, outWidth, outHeight }: Geometry,
  { region, reference = false }: Pick<UpscaleOptions, "region" | "reference">,
): RegionPlan | null {
  if (reference && region === undefined) return null;
  const longest = Math.max(sourceWidth, sourceHeight);
  const fits = (width: number, height: number): boolean =>
    fitsWhole(configs, caps, dtype, height, width);
  if (region === undefined ? fits(workWidth, workHeight) : longest <= region) return null;
  const isUntiled = (side: number): boolean =>
    (["encode", "decode"] as const).every(
      (kind) => chooseVaeTile(configs.vae, caps, dtype, kind, side, side, {}) === null,
    );
  // Planned from the largest on, as far as is needed.
  const sideThat = (isGood: (side: number) => boolean): number | undefined =>
    SIDES.find((side) => side < longest && fits(side, side) && isGood(side));
  const side = region ?? sideThat(isUntiled) ?? sideThat(() => true) ?? MIN_REGION;
  const result = { width: outWidth, height: outHeight };
  return planRegions(size, result, Math.floor(side / configs.rcod.upscale));
}
