/** The tabs, in order. Each is loaded when first opened. */
import type { TabEntry } from "../tab.ts";

export const TABS: readonly TabEntry[] = [
  { id: "upscale", label: "Upscale", load: () => import("./upscale.ts") },
];
