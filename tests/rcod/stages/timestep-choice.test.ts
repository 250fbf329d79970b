import { describe, expect, it } from "vitest";
import type { RcodConfig } from "../../../src/rcod/settings/config.ts";
import { RCOD_O } from "../../../src/rcod/settings/config.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import {
  checkedTimestep,
  chooseTimesteps,
  timestepOfRealism,
} from "../../../src/rcod/stages/timestep-choice.ts";

type Named = Parameters<typeof timestepOfRealism>[0];
const of = (realism: unknown): number => timestepOfRealism(realism as Named, RCOD_O);

describe("timestepOfRealism", () => {
  it.each<[Named, number]>([
    ["fidelity", 249],
    ["neutral", 499],
    ["realism", 749],
    [0, 249],
    [0.5, 499],
    [1, 749],
    [0.1, 299],
  ])("%j is %d", (realism, timestep) => {
    expect(of(realism)).toBe(timestep);
  });

  it("takes the names from the model", () => {
    const timesteps = { ...RCOD_O.timesteps, neutral: 600 };
    expect(timestepOfRealism("neutral", { ...RCOD_O, timesteps })).toBe(600);
  });

  it("takes numbers by the model's table", () => {
    const model = { ...RCOD_O, realismTimesteps: [249, 600, 749] };
    expect([0, 0.25, 0.5, 1].map((r) => timestepOfRealism(r, model))).toEqual([
      249, 424.5, 600, 749,
    ]);
  });

  it.each<[unknown, string]>([
    ["real", 'got "real"'],
    ["toString", 'got "toString"'],
    [1.5, "got 1.5. Write { timestep: 1.5 } for a timestep"],
    [-0.1, "got -0.1"],
    [NaN, "got NaN"],
    [null, "got null"],
    [undefined, "got undefined"],
  ])("refuses %j", (realism, message) => {
    expect(() => of(realism)).toThrow(message);
    expect(() => of(realism)).toThrow(RangeError);
  });
});

describe("checkedTimestep", () => {
  it.each([
    [250, 249],
    [500, 499],
    [750, 749],
    [249, 249],
    [0, 0],
    [999, 999],
    [321.5, 321.5],
  ])("%d is %d", (timestep, expected) => {
    expect(checkedTimestep(timestep)).toBe(expected);
  });

  it.each<[unknown, string]>([
    [1000, "timestep must be a number in 0 … 999, got 1000"],
    [NaN, "got NaN"],
    ["250", "got 250"],
    [null, "got null"],
  ])("refuses %j", (timestep, message) => {
    expect(() => checkedTimestep(timestep as number)).toThrow(message);
    expect(() => checkedTimestep(timestep as number)).toThrow(RangeError);
  });
});

describe("chooseTimesteps", () => {
  it("tells the place of each timestep, also beyond the two ends", async () => {
    const bases = [249, 299, 749, 0, 999];
    const configs = { rcod: RCOD_O } as ModelConfigs;
    const chosen = await chooseTimesteps(configs, { bases, masked: undefined }, async () => NaN);
    expect(chosen.map(({ realism }) => realism)).toEqual([0, 0.1, 1, -0.498, 1.5]);
  });

  it("tells it by the model's table", async () => {
    const rcod: RcodConfig = { ...RCOD_O, realismTimesteps: [249, 600, 749] };
    const settings = { bases: [249, 600, 749], masked: undefined };
    const chosen = await chooseTimesteps({ rcod } as ModelConfigs, settings, async () => NaN);
    expect(chosen.map(({ realism }) => realism)).toEqual([0, 0.5, 1]);
  });
});
