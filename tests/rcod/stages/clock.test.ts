import { expect, it } from "vitest";
import type { CallWork } from "../../../src/rcod/estimate/call-work.ts";
import { Forecast } from "../../../src/rcod/estimate/forecast.ts";
import { Rates } from "../../../src/rcod/estimate/rates.ts";
import type { Progress, RunStage } from "../../../src/rcod/settings/options.ts";
import { StageClock } from "../../../src/rcod/stages/clock.ts";

const WORK: CallWork = new Map<RunStage, { work: number; runs: number }>([
  ["encode", { work: 0.3, runs: 1 }],
  ["unet", { work: 0.1 + 0.2, runs: 1 }],
  ["decode", { work: 0.4, runs: 1 }],
]);
const forecast = (rates = new Rates(), work = WORK): Forecast => new Forecast(work, rates);
const rounded = (values: readonly number[]): number[] =>
  values.map((value) => Math.round(value * 1000) / 1000);

it("adds up work, never falls and ends at exactly 1", () => {
  const seen: Progress[] = [];
  const clock = new StageClock(forecast(), (progress) => seen.push(progress));
  clock.start("encode");
  clock.progress(0.5);
  clock.progress(0.2); // a tile that starts over
  clock.start("unet");
  clock.runOptions(undefined, 0.5, 0.5).onProgress?.(0.5);
  clock.start("decode");
  const timings = clock.finish();
  expect(rounded(seen.map(({ fraction }) => fraction))).toEqual([
    0, 0.15, 0.15, 0.3, 0.525, 0.6, 1,
  ]);
  expect(seen.at(-1)).toMatchObject({ fraction: 1, leftMs: 0 });
  expect(timings.tokens).toBe(0);
});

it("a stage that starts again adds its time, and nothing to the fraction", () => {
  const seen: number[] = [];
  const clock = new StageClock(forecast(), ({ fraction }) => seen.push(fraction));
  clock.start("encode");
  clock.start("unet");
  clock.start("encode");
  clock.progress(1);
  clock.start("decode");
  expect(seen.at(-1)).toBeCloseTo(0.6, 12);
  expect(clock.finish().encode).toBeGreaterThanOrEqual(0);
});

it("a stage counts as often as it is expected", () => {
  const seen: number[] = [];
  const regions: CallWork = new Map<RunStage, { work: number; runs: number }>([
    ["tokens", { work: 1, runs: 1 }],
    ["unet", { work: 2, runs: 2 }],
    ["decode", { work: 1, runs: 2 }],
  ]);
  const clock = new StageClock(forecast(new Rates(), regions), ({ fraction }) =>
    seen.push(fraction),
  );
  for (const stage of ["tokens", "unet", "decode", "unet", "decode"] as const) clock.start(stage);
  clock.finish();
  expect(rounded(seen)).toEqual([0, 0.143, 0.429, 0.571, 0.857, 1]);
});

it("goes on where another device has ended", () => {
  const seen: number[] = [];
  const regions: CallWork = new Map<RunStage, { work: number; runs: number }>([
    ["tokens", { work: 1, runs: 1 }],
    ["unet", { work: 3, runs: 3 }],
  ]);
  const resumed = new Forecast(regions, new Rates(), { done: 2 });
  const clock = new StageClock(resumed, ({ fraction }) => seen.push(fraction));
  for (const stage of ["tokens", "unet"] as const) clock.start(stage);
  clock.finish();
  expect(rounded(seen)).toEqual([0.6, 0.7, 1]);
});

it("stages that are skipped are no part of the call", () => {
  const seen: number[] = [];
  const clock = new StageClock(forecast(), ({ fraction }) => seen.push(fraction));
  clock.skip(["preprocess", "encode"]);
  clock.start("unet");
  clock.start("decode");
  clock.finish();
  expect(rounded(seen)).toEqual([0, 0, 0, 0.429, 1]);
});

it("the fraction goes by time where the paces of the stages are known", () => {
  const seen: number[] = [];
  const rates = new Rates();
  for (const [stage, runMs] of [
    ["encode", 100],
    ["unet", 100],
    ["decode", 200],
  ] as const) {
    rates.learn(stage, { work: WORK.get(stage)?.work ?? 0, setupMs: 0, runMs }, false);
  }
  const clock = new StageClock(forecast(rates), ({ fraction }) => seen.push(fraction));
  clock.start("encode");
  clock.start("unet");
  clock.start("decode");
  clock.finish();
  expect(rounded(seen)).toEqual([0, 0.25, 0.5, 1]);
});

it("tells the time left from the beginning where the stages are known, and nothing before it knows", () => {
  const left = (rates: Rates): (number | undefined)[] => {
    const seen: (number | undefined)[] = [];
    const stopped = new Forecast(WORK, rates, { now: () => 0 });
    const clock = new StageClock(stopped, ({ leftMs }) => seen.push(leftMs));
    clock.start("encode");
    clock.progress(0);
    return seen;
  };
  expect(left(new Rates())).toEqual([undefined, undefined]);
  const rates = new Rates();
  for (const stage of ["encode", "unet", "decode"] as const) {
    rates.learn(stage, { work: 0.5, setupMs: 7, runMs: 1000 }, false);
  }
  for (const ms of left(rates)) expect(ms).toBeCloseTo(2000 + 3 * 7, 0);
});

it("learns of finished runs, not of those under way, of others' and of those that are looked into", () => {
  const rates = new Rates();
  const clock = new StageClock(forecast(rates));
  clock.start("encode");
  clock.start("color"); // was not expected
  clock.start("unet");
  expect(rates.runMs("encode", 0.3)).toBeDefined();
  expect(rates.runMs("color", 1)).toBeUndefined();
  expect(rates.runMs("unet", 0.3)).toBeUndefined();
  const blind = new StageClock(new Forecast(WORK, rates, { teaches: false }));
  blind.start("decode");
  blind.finish();
  expect(rates.runMs("decode", 0.4)).toBeUndefined();
});
