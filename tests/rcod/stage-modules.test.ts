import { expect, it } from "vitest";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import { weightKey } from "../../src/graph/ir.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Inspector } from "../../src/rcod/inspector.ts";
import type { ModelPart } from "../../src/rcod/load.ts";
import { modelWeights, readConfigs, stageGraphs } from "../../src/rcod/load.ts";
import { NETWORK_STAGES, stageModules } from "../../src/rcod/stage-modules.ts";
import { folderFiles } from "../../src/node/index.ts";

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
