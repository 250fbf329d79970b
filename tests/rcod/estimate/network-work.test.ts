/** Work by area is that of the plans, at sizes and shapes that were not looked at. */
import { describe, expect, it } from "vitest";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { workOf } from "../../../src/kernels/kernel.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { WorkOfCalls, runsOfMask } from "../../../src/rcod/estimate/call-work.ts";
import { measureNetworkWork, workAt } from "../../../src/rcod/estimate/network-work.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { stageGraphs } from "../../../src/rcod/networks/stage-graphs.ts";
import { vaeFactor } from "../../../src/rcod/settings/config.ts";
import type { RunStage } from "../../../src/rcod/settings/options.ts";

const full = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
const tiny = await readConfigs(folderFiles("models/rcod-tiny"));
const CPU: Caps = { ...BASELINE_CAPS, isSoftware: true };

describe.each([
  ["the full model on a GPU", full, BASELINE_CAPS, 0.01],
  ["rcod-tiny on a CPU", tiny, CPU, 0.01],
  // Its smallest maps take other kernels than its large ones.
  ["rcod-tiny on a GPU", tiny, BASELINE_CAPS, 0.08],
] as const)("%s", (_, configs, caps, tolerance) => {
  const measured = measureNetworkWork(configs, caps, "f32");

  it.each([
    [8, 12],
    [24, 40],
    [33, 31],
    [96, 96],
    [128, 80],
  ])("%i × %i latents", (height, width) => {
    const factor = vaeFactor(configs.vae);
    const graphs = stageGraphs(configs, height * factor, width * factor, "f32");
    for (const name of ["tokens", "encode", "unet", "decode"] as const) {
      const planned = planGraph(graphs[name], caps).steps.reduce(
        (sum, { cost }) => sum + workOf(cost),
        0,
      );
      const ratio = workAt(measured[name], height * width * factor ** 2) / planned;
      // The UNet rounds halves of odd sides up, level by level.
      const isOdd = (height | width) % 2 === 1;
      expect(Math.abs(ratio - 1), name).toBeLessThan(isOdd ? 0.1 : tolerance);
    }
  });
});

describe("a call", () => {
  const works = new WorkOfCalls(tiny, CPU, "f32");
  const geometry = { workWidth: 512, workHeight: 512 };
  const of = (...[shape]: Parameters<WorkOfCalls["of"]>) => works.of(shape);
  const workIn = (call: ReturnType<typeof of>, stage: RunStage): number =>
    call.get(stage)?.work ?? NaN;
  const whole = of({ geometry, options: {} });

  it("runs each stage once a region, and looks at the whole once", () => {
    const call = of({ geometry, options: {}, regions: 6, samples: 2 });
    expect(Object.fromEntries([...call].map(([stage, { runs }]) => [stage, runs]))).toEqual({
      preprocess: 8,
      tokens: 1,
      encode: 8,
      unet: 6,
      decode: 6,
      color: 6,
    });
    for (const [stage, { work }] of call) expect(work, stage).toBe(workIn(whole, stage));
  });

  it("takes more work in tiles, by their margins", () => {
    const tiled = of({ geometry, options: { tile: 256 } });
    for (const stage of ["encode", "decode"] as const) {
      const ratio = workIn(tiled, stage) / workIn(whole, stage);
      expect(ratio, stage).toBeGreaterThan(1.1);
      expect(ratio, stage).toBeLessThan(2.5);
    }
    expect(workIn(tiled, "unet")).toBe(workIn(whole, "unet"));
  });

  it("takes the UNet as often as timesteps ask for it", () => {
    const masked = of({ geometry, options: {}, unetRuns: 1.5 });
    expect(workIn(masked, "unet")).toBe(1.5 * workIn(whole, "unet"));
  });

  it("is known in no time once its size has been looked at", () => {
    const sides = [256, 320, 384, 448];
    const lookAtAll = (): void => {
      for (const workWidth of sides) of({ geometry: { workWidth, workHeight: 512 }, options: {} });
    };
    lookAtAll();
    const start = performance.now();
    lookAtAll();
    expect((performance.now() - start) / sides.length).toBeLessThan(20);
  });
});

describe("runs of a masked UNet", () => {
  const left = { x: 0, y: 0, width: 2, height: 2 };
  const right = { x: 2, y: 0, width: 2, height: 2 };
  it.each([
    ["one part has both", [0, 1, 0, 0, 0, 0, 0, 0], 1.5],
    ["each is of one timestep", [0, 0, 1, 1, 0, 0, 1, 1], 1],
    ["in between is both", [0, 0, 0.5, 0.5, 0, 0, 0.5, 0.5], 1.5],
    ["all have both", [0, 1, 1, 0, 0, 0, 0, 0], 2],
  ])("%s", (_, mask, runs) => {
    expect(runsOfMask(mask, 4, 1, [left, right])).toBe(runs);
  });

  it("count pixels that a part only touches", () => {
    expect(
      runsOfMask([0, 255, 255, 255], 2, 255, [{ x: 0.5, y: 0, width: 0.6, height: 0.5 }]),
    ).toBe(2);
    expect(runsOfMask([0, 255, 255, 255], 2, 255, [{ x: 0, y: 0, width: 1, height: 1 }])).toBe(1);
  });
});
