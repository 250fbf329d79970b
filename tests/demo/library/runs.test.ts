/** Which pictures are upscaled, in which order, and what ends that. */
import { describe, expect, it } from "vitest";
import type { AppState } from "../../../demo/app-state.ts";
import type { WorkerClient } from "../../../demo/client.ts";
import { createLane } from "../../../demo/lane.ts";
import { resultOfWishes } from "../../../demo/library/match.ts";
import type { Picture } from "../../../demo/library/picture.ts";
import { cutKey, normalCut, pictureOf } from "../../../demo/library/picture.ts";
import { pictureById, setPictures } from "../../../demo/library/pictures.ts";
import type { Runs } from "../../../demo/library/runs.ts";
import { createRuns, picturesToRun } from "../../../demo/library/runs.ts";
import type { Store } from "../../../demo/store.ts";
import { blobOf, info, open, picture, result, stateWith } from "./support.ts";

interface Bench {
  readonly store: Store<AppState>;
  readonly runs: Runs;
  /** Names of the pictures that were computed. */
  readonly computed: string[];
}

/** Runs whose worker asks `upscale`, and ends at once where that says nothing. */
function bench(
  pictures: readonly Picture[],
  upscale: (name: string, signal: AbortSignal) => Promise<void> | void = () => undefined,
): Bench {
  const store = stateWith();
  setPictures(store, pictures, { image: pictures[0] ? open(pictures[0]) : null });
  const computed: string[] = [];
  let nextId = 1;
  const call = async (
    name: string,
    args: { source?: { key: string }; realism?: number; updates?: MessagePort },
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<unknown> => {
    if (name === "keepResult") return { file: blobOf(20), thumbnail: blobOf(2) };
    if (name !== "upscale") throw new Error(`unexpected: ${name}`);
    args.updates?.close();
    const id = args.source?.key.split(" ")[0] ?? "";
    const called = pictureById(store.get(), id)?.name ?? "";
    await upscale(called, signal as AbortSignal);
    signal?.throwIfAborted();
    computed.push(called);
    return info(nextId++, { realism: args.realism ?? 0.5 });
  };
  const client = { call } as unknown as WorkerClient;
  const lane = createLane(store, async () => undefined);
  const runs = createRuns({ store, client, lane, ensureModel: async () => undefined });
  return { store, runs, computed };
}

const statuses = ({ store }: Bench): readonly string[] =>
  store.get().pictures.map(({ status }) => status);

const untilAborted = (_: string, signal: AbortSignal): Promise<void> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted")));
  });

describe("a queue", () => {
  it("upscales all that wait, in order", async () => {
    const b = bench([picture("a"), picture("b"), picture("c")]);
    await b.runs.upscaleAll();
    expect(b.computed).toEqual(["a", "b", "c"]);
    expect(statuses(b)).toEqual(["done", "done", "done"]);
    expect(b.store.get()).toMatchObject({ isQueueRunning: false, activity: null, problem: null });
    expect(b.store.get().results.map(({ id }) => id)).toEqual([1]);
  });

  it("goes on after one that fails, which says why", async () => {
    const b = bench([picture("a"), picture("b"), picture("c")], (name) => {
      if (name === "b") throw new Error("too large");
    });
    await b.runs.upscaleAll();
    expect(b.computed).toEqual(["a", "c"]);
    expect(statuses(b)).toEqual(["done", "failed", "done"]);
    expect(b.store.get().pictures[1]?.problem?.raw).toBe("too large");
    expect(b.store.get().notice).toMatch(/^b could not be upscaled/);
    // It is not tried again with the others.
    expect(picturesToRun(b.store.get())).toEqual([]);
  });

  it("ends where all would fail", async () => {
    const tried: string[] = [];
    const b = bench([picture("a"), picture("b")], (name) => {
      tried.push(name);
      throw Object.assign(new Error("cut short"), { name: "WeightsError" });
    });
    await b.runs.upscaleAll();
    expect(tried).toEqual(["a"]);
    expect(statuses(b)).toEqual(["waiting", "waiting"]);
    expect(b.store.get().problem?.remedy).toBe("reload-model");
  });

  it("pauses when cancelled, and goes on by another press", async () => {
    let blocked = true;
    const b = bench([picture("a"), picture("b"), picture("c")], (name, signal) =>
      name === "b" && blocked ? untilAborted(name, signal) : undefined,
    );
    const all = b.runs.upscaleAll();
    await expect.poll(() => b.store.get().activity?.picture).toBe(b.store.get().pictures[1]?.id);
    b.runs.cancel();
    await all;
    expect(statuses(b)).toEqual(["done", "waiting", "waiting"]);
    expect(b.store.get()).toMatchObject({ isQueueRunning: false, problem: null });
    blocked = false;
    await b.runs.upscaleAll();
    expect(b.computed).toEqual(["a", "b", "c"]);
  });

  it("takes each with the settings of its moment", async () => {
    const b = bench([picture("a"), picture("b")], (name) => {
      const { settings } = b.store.get();
      if (name === "a") b.store.set({ settings: { ...settings, realism: 1 } });
    });
    await b.runs.upscaleAll();
    const realisms = b.store.get().pictures.map(({ results }) => results[0]?.info.settings.realism);
    expect(realisms).toEqual([0.5, 1]);
  });

  it("takes those in that come meanwhile", async () => {
    const late = picture("late");
    const b = bench([picture("a"), picture("b")], (name) => {
      if (name !== "b") return;
      setPictures(b.store, [...b.store.get().pictures, late]);
      b.runs.join([late.id]);
    });
    await b.runs.upscaleAll();
    expect(b.computed).toEqual(["a", "b", "late"]);
  });

  it("goes on without a picture that is removed while it runs", async () => {
    const b = bench([picture("a"), picture("b"), picture("c")], (name, signal) =>
      name === "b" ? untilAborted(name, signal) : undefined,
    );
    const all = b.runs.upscaleAll();
    const { id } = b.store.get().pictures[1]!;
    await expect.poll(() => b.store.get().activity?.picture).toBe(id);
    b.runs.leave(id);
    setPictures(
      b.store,
      b.store.get().pictures.filter((one) => one.id !== id),
    );
    await all;
    expect(b.computed).toEqual(["a", "c"]);
  });

  it("starts one again whose settings have changed, and leaves out what is done", async () => {
    const b = bench([picture("a"), { ...picture("b"), status: "done", results: [result(9)] }]);
    await b.runs.upscaleAll();
    expect(b.computed).toEqual(["a"]);
    b.store.set({ settings: { ...b.store.get().settings, realism: 1 } });
    await b.runs.upscaleAll();
    expect(b.computed).toEqual(["a", "a", "b"]);
  });

  it("says what a lost device ended, to be run again", async () => {
    let blocked = true;
    const b = bench([picture("a"), picture("b")], (name, signal) =>
      blocked ? untilAborted(name, signal) : undefined,
    );
    const all = b.runs.upscaleAll();
    await expect.poll(() => b.store.get().activity).not.toBeNull();
    const ids = b.runs.interrupt();
    await all;
    blocked = false;
    await b.runs.resume(ids);
    expect(b.computed).toEqual(["a", "b"]);
  });
});

describe("a result that is there", () => {
  const one = { ...picture("a"), results: [result(4)] };

  it("is found for equal settings only", () => {
    const store = stateWith();
    setPictures(store, [one], { image: open(one) });
    const found = (patch: Partial<AppState>): number | undefined =>
      resultOfWishes({ ...store.get(), ...patch })?.id;
    const { settings, model } = store.get();
    expect(found({})).toBe(4);
    expect(found({ settings: { ...settings, realism: 0.51 } })).toBeUndefined();
    expect(found({ settings: { ...settings, seed: 0 } })).toBeUndefined();
    expect(found({ settings: { ...settings, scale: 2 } })).toBeUndefined();
    // How it is looked at makes no other result.
    expect(found({ settings: { ...settings, mode: "side", photo: "x" } })).toBe(4);
    expect(found({ model: { ...model!, key: "another f32" } })).toBeUndefined();
    const mask = { width: 1, height: 1, data: new Uint8Array([1]), realism: 1 };
    expect(found({ mask })).toBeUndefined();
  });

  it("is found before the model is loaded, at any precision it may get", () => {
    const store = stateWith({ model: null });
    setPictures(store, [one], { image: open(one) });
    const { settings } = store.get();
    expect(resultOfWishes(store.get())?.id).toBe(4);
    expect(
      resultOfWishes({ ...store.get(), settings: { ...settings, precision: "f16" } }),
    ).toBeUndefined();
  });

  it("is found by a mask of the same weights", () => {
    const mask = (weight: number) => ({
      width: 2,
      height: 1,
      data: new Uint8Array([0, weight]),
      realism: 1,
    });
    const painted = { ...picture("a"), results: [result(5, { mask: mask(9) })] };
    const store = stateWith({ mask: mask(9) });
    setPictures(store, [painted], { image: open(painted) });
    expect(resultOfWishes(store.get())?.id).toBe(5);
    expect(resultOfWishes({ ...store.get(), mask: mask(8) })).toBeUndefined();
  });

  it("is not computed again", async () => {
    const b = bench([one]);
    await b.runs.upscale(one.id);
    expect(b.computed).toEqual([]);
    expect(b.store.get().wanted).toEqual({ id: 4 });
  });

  it("is stale for another part of the picture", () => {
    const store = stateWith();
    const cut = { x: 1, y: 1, width: 4, height: 4 };
    setPictures(store, [{ ...one, cut }], { image: open(one) });
    expect(store.get().results).toEqual([]);
    expect(resultOfWishes(store.get())).toBeUndefined();
  });
});

describe("a picture", () => {
  it("is known again by name, size and date", () => {
    const file = (name: string, lastModified: number): File =>
      new File([new Uint8Array(10)], name, { lastModified });
    const first = file("a.png", 1);
    const known: Picture = { ...picture("a.png"), blob: first, modified: 1 };
    expect(pictureOf([known], file("a.png", 1), "a.png")).toBe(known);
    expect(pictureOf([known], file("a.png", 2), "a.png")).toBeUndefined();
    expect(pictureOf([known], file("b.png", 1), "b.png")).toBeUndefined();
  });

  it("has one name for each part", () => {
    const cut = { x: 0, y: 0, width: 8, height: 8 };
    expect(normalCut(cut, [8, 8])).toBeNull();
    expect(normalCut({ ...cut, maxSide: 8 }, [8, 8])).toBeNull();
    expect(normalCut({ ...cut, maxSide: 4 }, [8, 8])).not.toBeNull();
    expect(cutKey({ ...cut, maxSide: 8 })).toBe(cutKey(cut));
    expect(cutKey({ ...cut, maxSide: 4 })).not.toBe(cutKey(cut));
    expect(cutKey(null)).not.toBe(cutKey(cut));
  });
});
