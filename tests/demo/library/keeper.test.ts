/** What goes to disk, what comes back, and what is said of the rest. */
// oxlint-disable-next-line import/no-unassigned-import -- it sets the globals of IndexedDB
import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keepLibrary } from "../../../demo/library/keeper.ts";
import { itemsToDrop } from "../../../demo/library/limits.ts";
import { changeResults, patchPicture, setPictures } from "../../../demo/library/pictures.ts";
import type { KeptLibrary, LibraryStorage } from "../../../demo/library/storage.ts";
import { openStorage } from "../../../demo/library/storage.ts";
import { open, picture, result, stateWith } from "./support.ts";

const NOTHING: KeptLibrary = { pictures: [], results: [], page: null };

let storage: LibraryStorage;

beforeEach(async () => {
  storage = await openStorage();
});

afterEach(() => storage.clear());

describe("what is kept", () => {
  it("comes back as it was: pictures in order, results, settings", async () => {
    const store = stateWith();
    const keeper = keepLibrary(store, storage, NOTHING);
    const [a, b] = [picture("a.png", 11), picture("b.png", 12)];
    const cut = { x: 1, y: 2, width: 3, height: 4 };
    setPictures(store, [a, b]);
    patchPicture(store, b.id, { cut, results: [result(3, { realism: 1 }, { cut })] });
    store.set({ settings: { ...store.get().settings, realism: 1 }, image: open(b) });
    await keeper.settled();

    const kept = await storage.load();
    expect(kept.pictures.map(({ record }) => record.name)).toEqual(["a.png", "b.png"]);
    expect(kept.pictures.map(({ file }) => file.size)).toEqual([11, 12]);
    expect(kept.pictures[1]?.record.cut).toEqual(cut);
    expect(kept.results).toHaveLength(1);
    expect(kept.results[0]?.record).toMatchObject({ id: 3, picture: b.id, cut });
    expect(kept.results[0]?.record.info.settings.realism).toBe(1);
    expect(new Uint8Array(await kept.results[0]!.file.arrayBuffer())).toEqual(
      new Uint8Array(20).fill(3),
    );
    expect(kept.page).toMatchObject({ open: b.id, settings: { realism: 1 } });
    expect(store.get().pictures.map(({ isKept }) => isKept)).toEqual([true, true]);
    expect(store.get().pictures[1]?.results[0]?.isKept).toBe(true);
  });

  it("is of a model's folder its name alone, where the browser keeps no more", async () => {
    const handle = { kind: "directory", name: "own", isOfDisk: () => true }; // cannot be cloned
    const given = { name: "own", files: [] };
    const choices = [
      { kind: "directory", name: "own", handle: handle as unknown as FileSystemDirectoryHandle },
      { kind: "folder", ...given },
    ] as const;
    for (const modelChoice of choices) {
      const store = stateWith({ modelChoice });
      await keepLibrary(store, storage, NOTHING).settled();
      const { page } = await storage.load();
      expect(page, modelChoice.kind).toMatchObject({ modelChoice: null, lostFolder: "own" });
      await storage.clear();
    }
  });

  it("goes when it is removed, files too", async () => {
    const store = stateWith();
    const keeper = keepLibrary(store, storage, NOTHING);
    const [a, b] = [picture("a.png"), picture("b.png")];
    setPictures(store, [{ ...a, results: [result(1), result(2)] }, b]);
    await keeper.settled();
    changeResults(store, (one) => (one.info.id === 1 ? null : one));
    setPictures(
      store,
      store.get().pictures.filter(({ id }) => id !== b.id),
    );
    await keeper.settled();
    const kept = await storage.load();
    expect(kept.pictures.map(({ record }) => record.name)).toEqual(["a.png"]);
    expect(kept.results.map(({ record }) => record.id)).toEqual([2]);
  });

  it("is not written again when it was read", async () => {
    const first = stateWith();
    const a = { ...picture("a.png"), results: [result(1)] };
    const writer = keepLibrary(first, storage, NOTHING);
    setPictures(first, [a]);
    await writer.settled();

    const kept = await storage.load();
    const writes: string[] = [];
    const spy: LibraryStorage = {
      ...storage,
      putPicture: async () => void writes.push("picture"),
      putResult: async () => void writes.push("result"),
    };
    const { record } = kept.pictures[0]!;
    const restored = { ...a, ...record, blob: kept.pictures[0]!.file, isKept: true };
    const results = a.results.map((one) => ({ ...one, isKept: true }));
    const second = stateWith({ pictures: [{ ...restored, results }] });
    await keepLibrary(second, spy, kept).settled();
    expect(writes).toEqual([]);
  });

  it("is the newest where all is too much, and the page says so", async () => {
    const store = stateWith();
    const limits = { maxBytes: 60, maxFileBytes: 50 };
    const keeper = keepLibrary(store, storage, NOTHING, limits);
    const a = picture("a.png", 10);
    setPictures(store, [{ ...a, results: [result(1), result(2)] }]);
    await keeper.settled();
    expect(store.get().notice).toBeNull();
    patchPicture(store, a.id, { results: [...store.get().pictures[0]!.results, result(3)] });
    await keeper.settled();
    expect((await storage.load()).results.map(({ record }) => record.id)).toEqual([2, 3]);
    expect(store.get().pictures[0]?.results.map(({ isKept }) => isKept)).toEqual([
      false,
      true,
      true,
    ]);
    expect(store.get().notice).toMatch(/60 B are not kept .* oldest made room/);
  });

  it("is not what is too large alone", async () => {
    const store = stateWith();
    const keeper = keepLibrary(store, storage, NOTHING, { maxBytes: 1000, maxFileBytes: 15 });
    setPictures(store, [{ ...picture("a.png", 10), results: [result(1)] }]);
    await keeper.settled();
    expect((await storage.load()).pictures).toHaveLength(1);
    expect((await storage.load()).results).toHaveLength(0);
    expect(store.get().pictures[0]?.results[0]?.isKept).toBe(false);
    expect(store.get().notice).toMatch(/more than 15 B is not kept/);
  });

  it("is said to be nothing where the disk is full, and the page goes on", async () => {
    const store = stateWith();
    const full: LibraryStorage = {
      ...storage,
      putResult: () => Promise.reject(new DOMException("full", "QuotaExceededError")),
    };
    const keeper = keepLibrary(store, full, NOTHING);
    setPictures(store, [{ ...picture("a.png"), results: [result(1), result(2)] }]);
    await keeper.settled();
    expect(store.get().notice).toMatch(/no more room/);
    expect(store.get().pictures[0]?.results.map(({ isKept }) => isKept)).toEqual([false, false]);
    expect((await storage.load()).pictures).toHaveLength(1);
  });

  it("ends with one sentence where the storage breaks", async () => {
    const store = stateWith();
    const broken: LibraryStorage = {
      ...storage,
      putPicture: () => Promise.reject(new DOMException("gone", "InvalidStateError")),
    };
    const keeper = keepLibrary(store, broken, NOTHING);
    setPictures(store, [picture("a.png")]);
    await keeper.settled();
    expect(store.get().notice).toMatch(/keeps nothing of the page any more/);
    store.set({ notice: null });
    setPictures(store, [...store.get().pictures, picture("b.png")]);
    await keeper.settled();
    expect(store.get().notice).toBeNull();
  });
});

describe("what makes room", () => {
  const item = (key: string, kind: "picture" | "result", byteLength: number) => ({
    key,
    kind,
    byteLength,
  });
  const items = [
    item("p1", "picture", 10),
    item("r1", "result", 10),
    item("p2", "picture", 10),
    item("r2", "result", 10),
  ];
  const keys = (byteLength: number, spared: (key: string) => boolean = () => false): string[] =>
    itemsToDrop(items, byteLength, ({ key }) => spared(key), 50).map(({ key }) => key);

  it("is the oldest result first, then the oldest picture", () => {
    expect(keys(10)).toEqual([]);
    expect(keys(11)).toEqual(["r1"]);
    expect(keys(21)).toEqual(["r1", "r2"]);
    expect(keys(31)).toEqual(["r1", "r2", "p1"]);
  });

  it("is never what is open", () => {
    expect(keys(31, (key) => key === "p1")).toEqual(["r1", "r2", "p2"]);
  });
});
