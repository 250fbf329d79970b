/** What is looked at first: what the stages hand on, a few blocks of the UNet from its way down to its way up, one attention. */
import type { RcodModel } from "rcod-webgpu";

const STAGE_VALUES = ["latents", "eps", "z"];

export function defaultCaptures({ unet }: ReturnType<RcodModel["modules"]>): readonly string[] {
  const first = (pattern: RegExp): string[] =>
    unet.filter((name) => pattern.test(name)).slice(0, 1);
  const last = (pattern: RegExp): string[] => unet.filter((name) => pattern.test(name)).slice(-1);
  // The widest map that attends to itself: its places are the smallest.
  const layer = first(/\.attn1\.q$/).map((name) => name.replace(/\.q$/, ""));
  return [
    ...STAGE_VALUES,
    ...first(/^down_blocks\.0\.resnets\.\d+$/),
    ...first(/^mid_block\.resnets\.\d+$/),
    ...last(/^up_blocks\.\d+\.resnets\.\d+$/),
    ...layer.flatMap((path) => [`${path}.q`, `${path}.k`]),
  ];
}
