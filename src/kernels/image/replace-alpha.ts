/**
 * Gives an image the alpha of another:  image[i].a = alpha[i].a, colours stay.
 *
 * Layout: packed RGBA8 of equal size; one invocation per pixel, `image` in place. Integers only, so exact.
 */
import { ShapeError, isShape } from "../../gpu/shape.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";
import { checkBindings } from "./image-layout.ts";

/** Operands: `alpha` and `image`, each `pixels` pixels; `image` is read and written. */
export interface ReplaceAlphaProblem {
  /** Pixels of each image. */
  readonly pixels: number;
}

const WORKGROUP = 64;

const BODY = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.pixels) { return; }
  image[i] = (image[i] & 0x00ffffffu) | (alpha[i] & 0xff000000u);
}
`;

/** Writes the alpha of one image into another of the same size. */
export const replaceAlpha: Kernel<ReplaceAlphaProblem, "pixel"> = defineKernel({
  name: "replaceAlpha",
  variants: ["pixel"],
  check({ pixels }) {
    if (isShape([pixels])) return;
    throw new ShapeError(`replaceAlpha: pixels must be an integer ≥ 1, got ${pixels}`);
  },
  dispatches({ pixels }, caps) {
    checkBindings("replaceAlpha", { image: pixels * 4 }, caps, "Use a smaller image");
    const header = {
      caps,
      dtype: "f32",
      operands: [reads("alpha", "u32"), writes("image", "u32")],
      params: [u32("pixels", pixels)],
      constants: { WORKGROUP },
    } as const;
    return [dispatch("replace-alpha", header, BODY, foldWorkgroups(Math.ceil(pixels / WORKGROUP)))];
  },
  cost: ({ pixels }) => ({ flops: 0, bytesRead: pixels * 8, bytesWritten: pixels * 4 }),
});
