/** The page's settings as a command, for those who have no browser that can do it. */
import type { Settings } from "../settings.ts";
import { DEFAULT_SETTINGS } from "../settings.ts";

export function commandFor({ scale, realism, colorFix, seed, precision }: Settings): string {
  const options = [
    `--scale ${scale}`,
    realism !== DEFAULT_SETTINGS.realism && `--realism ${realism}`,
    colorFix !== DEFAULT_SETTINGS.colorFix && `--color ${colorFix}`,
    seed !== null && `--seed ${seed}`,
    precision !== DEFAULT_SETTINGS.precision && `--precision ${precision}`,
  ];
  return ["npx rcod-webgpu upscale photo.jpg", ...options.filter((option) => option)].join(" ");
}
