/** What the slider shows at once, what is computed by itself after it, and what ahead of it. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { App, AppState } from "../../demo/app.ts";
import { computeAhead } from "../../demo/instant/ahead.ts";
import { blendOf } from "../../demo/instant/at-once.ts";
import { showAtOnce } from "../../demo/instant/show-at-once.ts";
import { alikeResults } from "../../demo/library/match.ts";
import { rerunOnChange } from "../../demo/panel/rerun.ts";
import type { PaintedMask, Realism, ResultInfo, UpscaleSettings } from "../../demo/protocol.ts";
import { upscaleSettings } from "../../demo/request.ts";
import { DEFAULT_SETTINGS } from "../../demo/settings.ts";
import { createCompareState } from "../../demo/stage/compare-state.ts";
import { createStore } from "../../demo/store.ts";

const ESTIMATE = {
  width: 8,
  height: 8,
  work: 1,
  regions: 1,
  timeMs: 900,
  peakBytes: 1,
  advice: [],
};

const image = { id: "a", width: 8, height: 8, name: "a.png" };
const state = {
  device: { name: "GPU", isSoftware: false },
  model: { name: "tiny", key: "tiny f32", upscale: 4, supportsAuto: true },
  isQueueRunning: false,
  image,
  results: [],
  wanted: null,
  partial: null,
  estimate: ESTIMATE,
  activity: null,
  problem: null,
  settings: DEFAULT_SETTINGS,
  mask: null,
} as unknown as AppState;
const WISH = upscaleSettings(state);

const mask = (...weights: number[]): PaintedMask => ({
  width: weights.length,
  height: 1,
  data: Uint8Array.from(weights),
  realism: 1,
});

let nextId = 1;
beforeEach(() => {
  nextId = 1;
});

function result(realism: Realism, settings: Partial<UpscaleSettings> = {}, place = 0): ResultInfo {
  return {
    id: nextId++,
    width: 32,
    height: 32,
    settings: { ...WISH, ...settings, realism },
    realism: realism === "auto" ? place : realism,
    model: "tiny f32",
    regions: 1,
    dropped: [],
  } as unknown as ResultInfo;
}

/** What is seen of these results at the settings. */
const seenAt = (realism: Realism, results: readonly ResultInfo[], more: Partial<AppState> = {}) => {
  const wished = {
    ...state,
    ...more,
    settings: { ...(more.settings ?? DEFAULT_SETTINGS), realism },
  };
  return blendOf(alikeResults(results, wished), realism);
};

describe("what can be shown at once", () => {
  it("is between the nearest two that differ in realism only", () => {
    const results = [result(1), result(0), result(0.5), result("auto", {}, 0.6), result(0.9)];
    expect(seenAt(0.25, results)).toEqual({ from: 2, to: 3, share: 0.5, realism: 0.25 });
    expect(seenAt(0.7, results)).toMatchObject({ from: 4, to: 5 });
    expect(seenAt(0.7, results)?.share).toBeCloseTo(1 / 3, 12);
    expect(seenAt(0.6, results)).toMatchObject({ from: 4, to: 4, share: 0 });
    for (const other of [{ scale: 2 }, { seed: 1 }, { colorFix: "none" }] as const) {
      expect(seenAt(0.25, results, { settings: { ...DEFAULT_SETTINGS, ...other } })).toBeNull();
    }
    expect(seenAt(0.25, results, { mask: mask(0, 9) })).toBeNull();
    const model = { ...state.model, key: "other f32" } as AppState["model"];
    expect(seenAt(0.25, results, { model })).toBeNull();
  });

  it("is nothing with only one end, and for auto", () => {
    expect(seenAt(0.75, [result(0), result(0.5)])).toBeNull();
    expect(seenAt(0.75, [result(1)])).toBeNull();
    expect(seenAt("auto", [result(0), result(1)])).toBeNull();
  });

  it("knows equal masks, whatever object they are", () => {
    const results = [result(0, { mask: mask(0, 7) }), result(1, { mask: mask(0, 7) })];
    expect(seenAt(0.5, results, { mask: mask(0, 7) })?.share).toBe(0.5);
    expect(seenAt(0.5, results, { mask: mask(0, 8) })).toBeNull();
    expect(seenAt(0.5, results, { mask: { ...mask(0, 7), realism: 0 } })).toBeNull();
  });
});

/** The page without its elements and its worker. */
function fakePage(patch: Partial<AppState>, answer = async (): Promise<unknown> => []) {
  const store = createStore<AppState>({ ...state, ...patch });
  const call = vi.fn(answer);
  const upscale = vi.fn(async () => undefined);
  const change = (settings: Partial<AppState["settings"]>): void =>
    store.set({ settings: { ...store.get().settings, ...settings } });
  const adoptResult = (own: ResultInfo): void =>
    store.set({ results: [...store.get().results, own] });
  const app = { store, call, upscale, change, adoptResult } as unknown as App;
  return { app, store, call, upscale, change };
}

describe("the slider", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("document", { hidden: false });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  function page(patch: Partial<AppState>, answer?: () => Promise<unknown>) {
    const fake = fakePage(patch, answer);
    const compare = createCompareState(fake.store);
    const ahead = computeAhead(fake.app);
    showAtOnce(fake.app, compare, ahead);
    rerunOnChange(fake.app);
    return { ...fake, compare, ahead };
  }

  it("shows a blend until the exact result is there, which takes its place", () => {
    const { store, compare, change } = page({ results: [result(0), result(1)] });
    change({ realism: 0.25 });
    expect(compare.get()).toMatchObject({ right: "blend", blend: { from: 1, to: 2, share: 0.25 } });
    change({ realism: 0.75 });
    expect(compare.get().blend?.share).toBe(0.75);
    store.set({ results: [...store.get().results, result(0.75)] });
    expect(compare.get()).toMatchObject({ right: 3, blend: null });
    change({ realism: 1 });
    expect(compare.get()).toMatchObject({ right: 2, blend: null });
  });

  it("leaves the picture alone where there is nothing to show", () => {
    const { compare, change } = page({ results: [result(0), result(0.5)] });
    compare.set({ right: 1 });
    change({ realism: 0.75 });
    expect(compare.get()).toMatchObject({ right: 1, blend: null });
    change({ realism: 0.25 });
    expect(compare.get().right).toBe("blend");
    change({ scale: 2 });
    expect(compare.get()).toMatchObject({ right: 2, blend: null });
  });

  it("lets an older result be looked at until it moves again", () => {
    const { store, compare, change } = page({ results: [result(0), result(1)] });
    change({ realism: 0.25 });
    compare.set({ right: 1, left: "blend" });
    store.set({ results: [...store.get().results, result(0.25)] });
    expect(compare.get()).toMatchObject({ left: "bicubic", right: 1, blend: null });
  });

  it("has the exact result computed once it rests, on a device that is quick", async () => {
    const { upscale, change, store } = page({ results: [result(0), result(1)] });
    for (const realism of [0.2, 0.3, 0.4]) {
      change({ realism });
      await vi.advanceTimersByTimeAsync(200);
    }
    expect(upscale).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(100);
    expect(upscale).toHaveBeenCalledTimes(1);
    store.set({ estimate: null }); // of the next run
    await vi.advanceTimersByTimeAsync(1000);
    expect(upscale).toHaveBeenCalledTimes(1);
  });

  it("computes nothing that is there, nothing slow, and nothing twice", async () => {
    const quick = page({ results: [result(0.5), result(1)], settings: DEFAULT_SETTINGS });
    quick.change({ realism: 1 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(quick.upscale).not.toHaveBeenCalled();
    quick.change({ realism: 0.7 });
    quick.store.set({ activity: { kind: "upscale", progress: null } as never }); // by the button
    await vi.advanceTimersByTimeAsync(1000);
    expect(quick.upscale).not.toHaveBeenCalled();

    const estimate = { regions: 1, timeMs: 8000, peakBytes: 1, advice: [] } as never;
    const results = [result(0), result(1)];
    const { upscale, change, store } = page({ results, estimate });
    change({ realism: 0.4 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(upscale).not.toHaveBeenCalled();
    store.set({ estimate: { ...ESTIMATE, timeMs: 3000 } });
    change({ realism: 0.3 });
    await vi.advanceTimersByTimeAsync(300);
    expect(upscale).toHaveBeenCalledTimes(1);
  });

  it("has both ends computed ahead at rest, which are results once they are asked for", async () => {
    const ends = [result(0), result(1)];
    const { call, store, ahead, compare, change, upscale } = page({}, async () => ends);
    store.set({ results: [result(0.5)] });
    expect(compare.get().right).toBe(3);
    await vi.advanceTimersByTimeAsync(599);
    expect(call).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(call).toHaveBeenCalledExactlyOnceWith(
      "upscaleAhead",
      expect.objectContaining({ places: [0, 1], scale: 4 }),
      expect.anything(),
    );
    expect(ahead.store.get().results).toEqual(ends);
    expect(store.get().results).toHaveLength(1);
    expect(compare.get().right).toBe(3);
    change({ realism: 0.1 });
    expect(compare.get()).toMatchObject({ right: "blend", blend: { from: 1, to: 3 } });
    change({ realism: 1 });
    expect(store.get().results.map(({ id }) => id)).toEqual([3, 2]);
    expect(ahead.store.get().results).toEqual([ends[0]]);
    expect(compare.get()).toMatchObject({ right: 2, blend: null });
    await vi.advanceTimersByTimeAsync(2000);
    expect(call).toHaveBeenCalledTimes(1);
    expect(upscale).not.toHaveBeenCalled();
  });

  it("ends the computation ahead with anything that the visitor does", async () => {
    const signals: AbortSignal[] = [];
    const { store, change, call } = page({ results: [result(0.5)] });
    call.mockImplementation((...args: readonly unknown[]) => {
      signals.push((args[2] as { readonly signal: AbortSignal }).signal);
      return new Promise(() => undefined);
    });
    const deeds = [
      () => change({ colorFix: "none" }),
      () => change({ colorFix: "model" }),
      () => store.set({ mask: null, activity: { kind: "upscale", progress: null } as never }),
    ];
    for (const [i, deed] of deeds.entries()) {
      await vi.advanceTimersByTimeAsync(1000);
      if (i === 1) continue; // other colours have no result yet: nothing is ahead of them
      expect(signals.at(-1)?.aborted).toBe(false);
      deed();
      expect(signals.at(-1)?.aborted).toBe(true);
      if (i === 0) deeds[1]?.();
    }
    await vi.advanceTimersByTimeAsync(5000);
    expect(signals).toHaveLength(2);
  });

  it.each<[string, Partial<AppState>]>([
    ["on a software device", { device: { name: "CPU", isSoftware: true } as never }],
    ["where it takes long", { estimate: { regions: 1, timeMs: 5000 } as never }],
    ["of a picture in parts", { estimate: { regions: 4, timeMs: 900 } as never }],
    ["while something runs", { activity: { kind: "model", progress: null } as never }],
    ["under a problem", { problem: { title: "x", detail: "y", remedy: null } }],
    ["before a result", { results: [] }],
  ])("has nothing computed ahead %s", async (_, patch) => {
    const { call, store } = page({ results: [result(0.5)], ...patch });
    await vi.advanceTimersByTimeAsync(5000);
    expect(call).not.toHaveBeenCalled();
    // The very page does as soon as nothing stands against it.
    store.set({ ...state, results: [result(0.5)] });
    await vi.advanceTimersByTimeAsync(5000);
    expect(call).toHaveBeenCalledTimes(1);
  });

  it("frees what was computed ahead for another picture, or of other settings", async () => {
    const { ahead, store, change, call } = page({ results: [result(0.5)] });
    call.mockImplementation(async (...[name]: readonly unknown[]) =>
      name === "upscaleAhead" ? [result(0), result(1)] : undefined,
    );
    await vi.advanceTimersByTimeAsync(1000);
    expect(ahead.store.get().results.map(({ id }) => id)).toEqual([2, 3]);
    change({ scale: 2 });
    store.set({ results: [...store.get().results, result(0.5, { scale: 2 })] });
    await vi.advanceTimersByTimeAsync(1000);
    expect(call).toHaveBeenCalledWith("forgetResults", { results: [2, 3] });
    expect(ahead.store.get().results.map(({ id }) => id)).toEqual([5, 6]);
    store.set({ image: { ...image, id: "b" } as never, results: [] });
    expect(call).toHaveBeenCalledWith("forgetResults", { results: [5, 6] });
    expect(ahead.store.get().results).toEqual([]);
  });
});
