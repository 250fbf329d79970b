/** The time left, on an artificial clock and devices of which all is known. */
import { describe, expect, it } from "vitest";
import type { CallWork, StageWork } from "../../../src/rcod/estimate/call-work.ts";
import { Forecast } from "../../../src/rcod/estimate/forecast.ts";
import type { RateRecord } from "../../../src/rcod/estimate/rates.ts";
import { Rates } from "../../../src/rcod/estimate/rates.ts";
import type { RunStage } from "../../../src/rcod/settings/options.ts";
import { uniformSource } from "../../support/random.ts";

interface Device {
  /** Milliseconds of a run of a stage beside those of its work. */
  readonly fixedMs: number;
  /** By stage. */
  readonly msPerWork: Readonly<Record<RunStage, number>>;
  /** Between two regions. */
  readonly pauseMs?: number;
  /** Shaders of a stage, in the first run after loading. */
  readonly compileMs: number;
  /** How much longer everything takes at a moment. */
  readonly slowdown?: (atMs: number) => number;
  /** Relative deviations of the times, up to. */
  readonly noise?: number;
}

const GPU: Device = {
  fixedMs: 4,
  compileMs: 0,
  // Stages differ in how well they use a device.
  msPerWork: { preprocess: 3, tokens: 0.8, encode: 1, unet: 1.3, decode: 0.7, color: 4 },
  noise: 0.1,
};

/** Megaflops, say, of a picture of so many thousand pixels. */
function work(pixels: number, regions = 1): CallWork {
  const stage = (per: number, fixed = 0, runs = regions): StageWork => ({
    work: fixed + per * pixels,
    runs,
  });
  return new Map<RunStage, StageWork>([
    ["preprocess", stage(0.02)],
    ["tokens", stage(0, 30, 1)],
    ["encode", stage(2)],
    ["unet", stage(8, 20)],
    ["decode", stage(6)],
    ["color", stage(0.02)],
  ]);
}

/** The order in which a call runs its stages. */
function* stagesOf(call: CallWork): Generator<RunStage> {
  const regions = call.get("decode")?.runs ?? 1;
  for (let region = 0; region < regions; region++) {
    for (const stage of call.keys()) if (stage !== "tokens" || region === 0) yield stage;
  }
}

interface Moment {
  readonly atMs: number;
  readonly leftMs: number | undefined;
  readonly fraction: number;
}

/** Runs a call on a device; what was said when, and how long it took. */
function run(call: CallWork, device: Device, rates: Rates, seed = 1) {
  const random = uniformSource(seed);
  let at = 0;
  let waitedMs = 0;
  const forecast = new Forecast(call, rates, { now: () => at, waitedMs: () => waitedMs });
  const moments: Moment[] = [];
  const take = (ms: number): void => {
    const { noise = 0, slowdown = () => 1 } = device;
    at += ms * slowdown(at) * (1 + noise * (2 * random() - 1));
  };
  const tell = (): void => {
    const { fraction, leftMs } = forecast;
    moments.push({ atMs: at, leftMs, fraction });
  };
  for (const stage of stagesOf(call)) {
    if (stage === "preprocess" && at > 0) {
      forecast.end();
      take(device.pauseMs ?? 0);
    }
    forecast.begin(stage);
    tell();
    const isFirst = rates.isFirst(stage);
    if (isFirst && device.compileMs > 0) {
      take(device.compileMs);
      waitedMs += device.compileMs;
    }
    const amount = call.get(stage)?.work ?? 0;
    const submits = Math.ceil(amount / 200);
    take(device.fixedMs);
    for (let submit = 1; submit <= submits; submit++) {
      take((device.msPerWork[stage] * amount) / submits);
      if (stage === "preprocess" || stage === "color") continue; // they report nothing
      forecast.report(submit / submits);
      tell();
    }
  }
  forecast.end();
  return { moments, totalMs: at };
}

/** Relative error of the time left at the first report after a share of the time. */
function errorAt(share: number, { moments, totalMs }: ReturnType<typeof run>): number {
  const { atMs, leftMs } = moments.find((moment) => moment.atMs >= share * totalMs) as Moment;
  expect(leftMs, `at ${share}`).toBeDefined();
  return Math.abs((leftMs as number) - (totalMs - atMs)) / (totalMs - atMs);
}

function known(device: Device, ...calls: readonly CallWork[]): Rates {
  const rates = new Rates();
  for (const [index, call] of calls.entries()) run(call, device, rates, 10 + index);
  return rates;
}

/** A device that is known from a process before this one: its shaders are not compiled. */
function remembered(device: Device, ...calls: readonly CallWork[]): Rates {
  let kept: RateRecord = {};
  const rates = new Rates({}, (record) => (kept = record));
  for (const [index, call] of calls.entries()) run(call, device, rates, 10 + index);
  rates.settle();
  return new Rates(kept);
}

describe("the error of the time left after a tenth of the run is below a quarter", () => {
  const small = work(65);
  it.each([
    ["a picture of a size that ran before", work(65), known(GPU, small, small), GPU],
    ["one sixteen times as large", work(1040), known(GPU, small, small), GPU],
    ["one sixteen times as large, from two sizes", work(1040), known(GPU, small, work(200)), GPU],
    ["a much smaller one", work(10), known(GPU, work(1040), work(500)), GPU],
    ["tiles: more work in each stage", work(1040 * 1.6), known(GPU, small, work(1040)), GPU],
    ["regions, of a device that is known", work(1040, 24), known(GPU, small), GPU],
    ["regions, of one that is not", work(1040, 24), new Rates(), GPU],
    ["an unknown device", work(1040), new Rates(), GPU],
  ])("%s", (_, call, rates, device) => {
    expect(errorAt(0.1, run(call, device, rates))).toBeLessThan(0.25);
  });

  const slow = { ...GPU, compileMs: 3000 };
  it.each([
    ["of a picture", work(300)],
    ["of regions", work(1040, 12)],
  ])("shaders that compile slowly, as in the process before: %s", (_, call) => {
    const rates = remembered(slow, small, small);
    expect(errorAt(0.1, run(call, slow, rates))).toBeLessThan(0.25);
  });

  it("shaders that compile slowly for the first time do not count as a slow device", () => {
    const result = run(work(1040, 12), slow, new Rates());
    expect(errorAt(0.25, result)).toBeLessThan(0.25);
  });
});

it("what others do with each region counts too", () => {
  const taken = 9000; // milliseconds for the rows of a region to be written
  const result = run(work(400, 12), { ...GPU, pauseMs: taken }, known(GPU, work(400)));
  expect(errorAt(0.25, result)).toBeLessThan(0.25);
});

describe("a device that slows down to half its speed", () => {
  it.each([
    [
      "in one picture",
      work(1040),
      known(GPU, work(1040), work(1040)),
      [0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    ],
    // How the decoder compares with what came before it is not known until it runs.
    ["in one picture on an unknown device", work(1040), new Rates(), [0.9]],
    ["in regions", work(1040, 24), known(GPU, work(1040)), [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]],
    [
      "in regions on an unknown device",
      work(1040, 24),
      new Rates(),
      [0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    ],
  ])("%s: a tenth later the time left is right", (_, call, rates, shares) => {
    const even = run(call, GPU, new Rates()).totalMs;
    const slowdown = (atMs: number): number => (atMs > 0.4 * even ? 2 : 1);
    const result = run(call, { ...GPU, slowdown }, rates);
    // At 0.4 / 1.6 of this run it slows down.
    for (const share of shares) {
      expect(errorAt(share, result), `at ${share}`).toBeLessThan(0.25);
    }
  });
});
