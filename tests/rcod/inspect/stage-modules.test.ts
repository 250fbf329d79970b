import { expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { weightKey } from "../../../src/graph/ir/ir.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { Inspector } from "../../../src/rcod/inspect/inspector.ts";
import { NETWORK_STAGES, stageModules } from "../../../src/rcod/inspect/stage-modules.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import type { ModelPart } from "../../../src/rcod/networks/stage-graphs.ts";
import { modelWeights, stageGraphs } from "../../../src/rcod/networks/stage-graphs.ts";

const PART_OF: Readonly<Record<(typeof NETWORK_STAGES)[number], ModelPart>> = {
  tokens: "clip",
  encode: "vae",
  unet: "unet",
  decode: "vae",
};

it("SD 2.1: any capture leaves the graphs with weights that are loaded", async () => {
  const configs = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
  const modules = stageModules(configs);
  const loaded = modelWeights(configs, "f16");
  const graphs = stageGraphs(configs, 128, 128, "f16");
  for (const stage of NETWORK_STAGES) {
    const captures = modules[stage];
    expect(new Set(captures).size).toBe(captures.length);
    const inspector = new Inspector({ captures }, modules, BASELINE_CAPS);
    const plan = planGraph(graphs[stage], BASELINE_CAPS, inspector.planOptions(stage));
    const known = new Set(loaded[PART_OF[stage]].map(weightKey));
    expect(plan.weights.map(weightKey).filter((key) => !known.has(key))).toEqual([]);
    for (const name of inspector.modulesOf(stage)) expect(plan.results.has(name), name).toBe(true);
  }
});

it("an image of very many passes is timed from its first", () => {
  const modules = { tokens: [], encode: [], unet: [], decode: [] };
  const inspector = new Inspector({ passes: true }, modules, {
    ...BASELINE_CAPS,
    hasTimestampQuery: true,
  });
  const time = { path: "conv", kernel: "conv2d", variant: "tiled", label: "conv2d/tiled" };
  const { onTimes } = inspector.onTimes("unet");
  const submit = Array.from({ length: 1000 }, (_, i) => {
    return { ...time, startMs: 7 + i, durationMs: 1, flops: 0, bytes: 0 };
  });
  for (let i = 0; i < 300; i++) onTimes?.(submit);
  const { passes } = inspector.result();
  expect(passes?.length).toBe(300_000);
  expect([passes?.[0]?.startMs, passes?.at(-1)?.startMs]).toEqual([0, 999]);
});
