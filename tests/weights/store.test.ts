import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import {
  memoryStore,
  mergeStores,
  renamedStore,
  safetensorsStore,
} from "../../src/weights/store.ts";
import type { WeightStore } from "../../src/weights/store.ts";
import type { TensorData } from "../../src/weights/tensor-info.ts";
import { failureOf, fileOf, headerOf, recordingSource } from "./samples.ts";

const u8 = (...data: number[]): TensorData => ({
  dtype: "U8",
  shape: [data.length],
  data: Uint8Array.from(data),
});

const storeOf = (name: string, tensors: Record<string, TensorData>): WeightStore =>
  memoryStore(name, new Map(Object.entries(tensors)));

describe("memoryStore", () => {
  test("knows and reads its tensors", async () => {
    const store = storeOf("m", { a: u8(1, 2, 3), b: u8() });
    expect(store.name).toBe("m");
    expect([...store.names()]).toEqual(["a", "b"]);
    expect(store.has("a")).toBe(true);
    expect(store.has("toString")).toBe(false);
    expect(store.info("a")).toEqual({
      name: "a",
      dtype: "U8",
      shape: [3],
      byteOffset: 0,
      byteLength: 3,
      file: "m",
    });
    expect([...(await store.read("a"))]).toEqual([1, 2, 3]);
    expect([...(await store.readRange("a", 1, 2))]).toEqual([2, 3]);
    expect((await store.read("b")).byteLength).toBe(0);
  });

  test("refuses what it cannot give", async () => {
    const store = storeOf("m", { a: u8(1, 2, 3) });
    expect(await failureOf(() => store.info("c"))).toBe('weights: no tensor "c" ("m")');
    expect(await failureOf(() => store.read("c"))).toBe('weights: no tensor "c" ("m")');
    expect(await failureOf(() => store.readRange("a", 2, 2))).toBe(
      'weights: range must lie inside the tensor, got bytes 2 + 2 of 3 (tensor "a")',
    );
    const bad = { ...u8(1), shape: [2] };
    expect(await failureOf(() => storeOf("m", { a: bad }))).toMatch(
      /U8 \[2\] takes 2 bytes, got 1/,
    );
    const reason = new Error("stop");
    await expect(store.read("a", AbortSignal.abort(reason))).rejects.toBe(reason);
    await store.close();
    await store.close();
    expect(await failureOf(() => store.read("a"))).toBe('weights: store is closed ("m")');
  });
});

describe("safetensorsStore", () => {
  test("names the file of each tensor and closes it", async () => {
    const source = recordingSource(fileOf(headerOf(["a", "U8", [4], 0, 4]), 4));
    const store = safetensorsStore(await openSafetensors(source));
    expect(store.info("a").file).toBe("sample.safetensors");
    expect([...(await store.readRange("a", 2, 2))]).toEqual([2, 3]);
    await store.close();
    expect(source.isClosed()).toBe(true);
  });
});

describe("mergeStores", () => {
  test("reads from each", async () => {
    const parts = [storeOf("x", { a: u8(1) }), storeOf("y", { b: u8(2) })];
    const store = mergeStores("both", parts);
    expect([...store.names()]).toEqual(["a", "b"]);
    expect(store.info("b").file).toBe("y");
    expect([...(await store.read("b"))]).toEqual([2]);
    await store.close();
    for (const part of parts) expect(await failureOf(() => part.read("a"))).toMatch(/is closed/);
  });

  test("refuses a name in two stores", async () => {
    const parts = [storeOf("x", { a: u8(1), c: u8() }), storeOf("y", { a: u8(2), b: u8() })];
    expect(await failureOf(() => mergeStores("both", parts))).toBe(
      'weights: names must be in one store only, 1 are in two: "a" (x, y) ("both")',
    );
  });
});

describe("renamedStore", () => {
  test("renames and hides", async () => {
    const inner = storeOf("m", { "key.weight": u8(1, 2), position_ids: u8(3), other: u8(4) });
    const store = renamedStore(inner, (name) =>
      name === "position_ids" ? null : name.replace(/^key\./, "to_k."),
    );
    expect([...store.names()]).toEqual(["to_k.weight", "other"]);
    expect(store.has("key.weight")).toBe(false);
    expect(store.info("to_k.weight").name).toBe("to_k.weight");
    expect([...(await store.read("to_k.weight"))]).toEqual([1, 2]);
    expect([...(await store.readRange("to_k.weight", 1, 1))]).toEqual([2]);
    expect(await failureOf(() => store.read("position_ids"))).toMatch(/no tensor "position_ids"/);
    expect(await failureOf(() => store.readRange("to_k.weight", 1, 2))).toMatch(
      /\(tensor "to_k\.weight"\)/,
    );
    await store.close();
    expect(await failureOf(() => inner.read("other"))).toMatch(/store is closed/);
  });

  test("can swap names", async () => {
    const swap: Record<string, string> = { a: "b", b: "a" };
    const store = renamedStore(storeOf("m", { a: u8(1), b: u8(2) }), (name) => swap[name] ?? null);
    expect([...(await store.read("a"))]).toEqual([2]);
  });

  test("refuses equal new names", async () => {
    const inner = storeOf("m", { "a.x": u8(1), "b.x": u8(2) });
    expect(await failureOf(() => renamedStore(inner, (name) => name.slice(2)))).toBe(
      'weights: new names must be unique, 1 are not: "x" (from "a.x" and "b.x") ("m")',
    );
  });
});
