/** The tabs, in order. Each is loaded when first opened. */
import type { TabEntry } from "../tab.ts";

export const TABS: readonly TabEntry[] = [
  { id: "upscale", label: "Upscale", load: () => import("./upscale.ts") },
  { id: "inside", label: "Inside", load: () => import("./inside.ts") },
  { id: "benchmark", label: "Benchmark", load: () => import("./benchmark.ts") },
  { id: "verify", label: "Verify", load: () => import("./verify.ts") },
];
