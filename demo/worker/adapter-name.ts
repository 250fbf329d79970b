/** All that an adapter says about itself; browsers keep most of it back. */
import type { Gpu } from "rcod-webgpu";
import { adapterNames } from "rcod-webgpu/gpu";

export const adapterName = ({ caps }: Pick<Gpu, "caps">): string =>
  adapterNames(caps) || "unnamed adapter";
