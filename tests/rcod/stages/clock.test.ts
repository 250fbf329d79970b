import { expect, it } from "vitest";
import type { Progress, Stage } from "../../../src/rcod/settings/options.ts";
import { StageClock } from "../../../src/rcod/stages/clock.ts";

const SHARES = new Map<Exclude<Stage, "load">, number>([
  ["encode", 0.3],
  ["unet", 0.1 + 0.2],
  ["decode", 0.4],
]);

it("adds up shares, never falls and ends at exactly 1", () => {
  const seen: Progress[] = [];
  const clock = new StageClock(SHARES, (progress) => seen.push(progress));
  clock.start("encode");
  clock.progress(0.5);
  clock.progress(0.2); // a tile that starts over
  clock.start("unet");
  clock.runOptions(undefined, 0.5, 0.5).onProgress?.(0.5);
  clock.start("decode");
  const timings = clock.finish();
  expect(seen.map(({ fraction }) => Math.round(fraction * 1000) / 1000)).toEqual([
    0, 0.15, 0.15, 0.3, 0.525, 0.6, 1,
  ]);
  expect(seen.at(-1)?.fraction).toBe(1);
  expect(timings.tokens).toBe(0);
});

it("a stage that starts again adds its time, and no share", () => {
  const seen: number[] = [];
  const clock = new StageClock(SHARES, ({ fraction }) => seen.push(fraction));
  clock.start("encode");
  clock.start("unet");
  clock.start("encode");
  clock.progress(1);
  clock.start("decode");
  expect(seen.at(-1)).toBeCloseTo(0.6, 12);
  expect(clock.finish().encode).toBeGreaterThanOrEqual(0);
});
