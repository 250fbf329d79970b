/** All that an adapter says about itself; browsers keep most of it back. */
import type { Gpu } from "rcod-webgpu";

export function adapterName({ caps }: Pick<Gpu, "caps">): string {
  const { vendor, architecture, device, description } = caps;
  const said = [vendor, architecture, device, description].filter((text) => text !== "");
  return [...new Set(said)].join(", ") || "unnamed adapter";
}
