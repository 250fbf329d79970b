/** What the next run is asked for. */
import { canBeSaved } from "./canvas-limits.ts";
import type { ImageInfo, ModelInfo, PaintedMask, UpscaleSettings } from "./protocol.ts";
import type { Settings } from "./settings.ts";
import { SCALES } from "./settings.ts";

/** What of the page's state decides it. */
export interface Wishes {
  readonly settings: Settings;
  readonly model: ModelInfo | null;
  readonly image: ImageInfo | null;
  readonly mask: PaintedMask | null;
}

type Size = readonly [width: number, height: number];

/** A model may enlarge less than was chosen. */
export const scaleOf = ({ settings, model }: Pick<Wishes, "settings" | "model">): number =>
  Math.min(settings.scale, model?.upscale ?? settings.scale);

/** The result's size; null where no picture is open. */
export function resultSize({ image, ...wishes }: Omit<Wishes, "mask">): Size | null {
  const scale = scaleOf(wishes);
  return image && [image.width * scale, image.height * scale];
}

/** Whether this browser could save the result. */
export function isSavable(wishes: Omit<Wishes, "mask">): boolean {
  const size = resultSize(wishes);
  return size === null || canBeSaved(...size);
}

/** The largest factor whose result could be saved. */
export const savableScale = ({ width, height }: ImageInfo): number | undefined =>
  SCALES.findLast((scale) => canBeSaved(width * scale, height * scale));

export function upscaleSettings(wishes: Wishes): UpscaleSettings {
  const { settings, model, mask } = wishes;
  const { realism, colorFix, seed } = settings;
  const isAuto = realism === "auto" && model?.supportsAuto === false;
  return { realism: isAuto ? 0.5 : realism, colorFix, seed, scale: scaleOf(wishes), mask };
}
