/** What a model loads serves every size that it can be run at. */
import { describe, expect, it } from "vitest";
import { graphWeights, weightKey } from "../../../src/graph/ir/ir.ts";
import { optimize } from "../../../src/graph/passes/passes.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import {
  modelParameters,
  modelWeights,
  stageGraphs,
} from "../../../src/rcod/networks/stage-graphs.ts";
import { vaeFactor } from "../../../src/rcod/settings/config.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { minimalConfigs } from "../support.ts";

const encode = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));
const configs = await readConfigs(
  memoryFiles(
    new Map(Object.entries(minimalConfigs()).map(([path, json]) => [path, encode(json)])),
  ),
);

describe.each(["f32", "f16"] as const)("weights in %s", (dtype) => {
  it("hold what the graphs of any size read", () => {
    const loaded = modelWeights(configs, dtype);
    const unet = new Set(loaded.unet.map(weightKey));
    const vae = new Set(loaded.vae.map(weightKey));
    const read = { unet: new Set<string>(), vae: new Set<string>() };
    const factor = vaeFactor(configs.vae);
    const sides = [1, 2, 3, 4, 5, 6, 7, 8, 9, 2400]; // the last: the VAE's attention in three products
    for (const height of sides) {
      for (const width of sides.filter((side) => side >= height)) {
        const graphs = stageGraphs(configs, height * factor, width * factor, dtype);
        for (const [part, graph] of [
          ["unet", graphs.unet],
          ["vae", graphs.encode],
          ["vae", graphs.decode],
        ] as const) {
          const fused = optimize({ ...graph, named: new Map() });
          for (const weight of graphWeights(fused)) read[part].add(weightKey(weight));
        }
      }
    }
    // Nothing is missing at any size, and nothing is loaded that no size reads.
    expect(read.unet).toEqual(unet);
    expect(read.vae).toEqual(vae);
  });
});

it("the checkpoint's parameters are each listed once, in plain layouts", () => {
  for (const weights of Object.values(modelParameters(configs))) {
    const names = weights.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(weights.map(({ layout }) => layout)).toEqual(
      weights.map(({ name, shape }) =>
        shape.length === 1 ? "vector" : name.includes("position_embedding") ? "table" : "matrix",
      ),
    );
  }
});
