/** What the next run is asked for. */
import { canBeSaved } from "./canvas-limits.ts";
import type { ModelInfo, PaintedMask, Size, UpscaleSettings } from "./protocol.ts";
import type { Settings } from "./settings.ts";
import { SCALES } from "./settings.ts";

/** What of the page's state decides it. */
export interface Wishes {
  readonly settings: Settings;
  readonly model: ModelInfo | null;
  readonly image: Size | null;
  readonly mask: PaintedMask | null;
}

type Sides = readonly [width: number, height: number];

/** A model may enlarge less than was chosen. */
export const scaleOf = ({ settings, model }: Pick<Wishes, "settings" | "model">): number =>
  Math.min(settings.scale, mostScale(model));

/** How often a model's networks enlarge, or the page's own before one is loaded. */
export const mostScale = (model: ModelInfo | null): number => model?.upscale ?? Math.max(...SCALES);

/** The factor of the next run: as chosen, or as the size that is aimed at needs, as far as the model enlarges. */
export function factorOf({ image, ...wishes }: Omit<Wishes, "mask">): number {
  const { target } = wishes.settings;
  if (!target || !image) return scaleOf(wishes);
  return Math.min(mostScale(wishes.model), target.pixels / image[target.side]);
}

/** The result's size; null where no picture is open. */
export function resultSize(wishes: Omit<Wishes, "mask">): Sides | null {
  const { image } = wishes;
  return image && sizeAt(image, factorOf(wishes));
}

/** The size of a picture at a factor, as the engine rounds it. */
export const sizeAt = ({ width, height }: Size, factor: number): Sides => {
  const side = (length: number): number => Math.max(1, Math.round(length * factor));
  return [side(width), side(height)];
};

/** Whether this browser could save the result. */
export function isSavable(wishes: Omit<Wishes, "mask">): boolean {
  const size = resultSize(wishes);
  return size === null || canBeSaved(...size);
}

/** The largest factor whose result could be saved. */
export const savableScale = (image: Size): number | undefined =>
  SCALES.findLast((scale) => canBeSaved(...sizeAt(image, scale)));

export function upscaleSettings(wishes: Wishes): UpscaleSettings {
  const { settings, model, mask } = wishes;
  const { realism, colorFix, seed, target } = settings;
  const isAuto = realism === "auto" && model?.supportsAuto === false;
  const factor = factorOf(wishes);
  const isAimed = target !== null && wishes.image !== null && factor < mostScale(model);
  return {
    realism: isAuto ? 0.5 : realism,
    colorFix,
    seed,
    scale: isAimed ? Number(factor.toPrecision(3)) : factor,
    size: isAimed ? { [target.side]: target.pixels } : null,
    mask,
  };
}
