import { describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/weights/safetensors-write.ts";
import { memoryFiles } from "../../src/weights/sources/files.ts";
import type { FileSet } from "../../src/weights/sources/files.ts";
import { openWeightFolder } from "../../src/weights/weight-folder.ts";
import type { WeightFolderOptions, WeightStem } from "../../src/weights/weight-folder.ts";
import { failureOf, fileOf, headerOf, utf8 } from "./samples.ts";
import { archiveOf, global, named, storage, tensor } from "./torch/torch-samples.ts";

const STEM = "diffusion_pytorch_model";

/** A safetensors file of one-byte tensors. */
const shard = (tensors: Record<string, number>): Uint8Array =>
  writeSafetensors(
    Object.entries(tensors).map(([name, value]) => ({
      name,
      dtype: "U8",
      shape: [1],
      data: Uint8Array.of(value),
    })),
  );

/** A file of torch.save with one-byte tensors. */
const torchBytes = (tensors: Record<string, number>): Uint8Array => {
  const of = Object.keys(tensors).map((name) => [name, tensor(storage("Byte", name, 1), [1])]);
  const data = Object.entries(tensors).map(([name, value]) => [name, Uint8Array.of(value)]);
  return archiveOf(named(Object.fromEntries(of)), Object.fromEntries(data));
};

const index = (weightMap: Record<string, string>, metadata: unknown = { total_size: 2 }) =>
  utf8(JSON.stringify({ metadata, weight_map: weightMap }));

/** A folder of files that records which were opened and how many are still open. */
function folderOf(content: Record<string, Uint8Array>): FileSet & {
  readonly opened: string[];
  openCount(): number;
} {
  const inner = memoryFiles(new Map(Object.entries(content)), "samples");
  const opened: string[] = [];
  let openCount = 0;
  return {
    name: inner.name,
    opened,
    openCount: () => openCount,
    async open(path) {
      opened.push(path);
      const source = await inner.open(path);
      if (source === null) return null;
      openCount++;
      let isOpen = true;
      return {
        ...source,
        async close() {
          if (isOpen) openCount--;
          isOpen = false;
          await source.close();
        },
      };
    },
  };
}

const openIn = (
  content: Record<string, Uint8Array>,
  options: WeightFolderOptions = {},
  stem: WeightStem = STEM,
) => openWeightFolder(folderOf(content), "unet", stem, options);

/** Value of tensor `a`, which tells the files of a test apart. */
async function valueOfA(content: Record<string, Uint8Array>, variant?: string): Promise<number> {
  const options = variant === undefined ? {} : { variant };
  const store = await openIn(content, options);
  return (await store.read("a"))[0] ?? -1;
}

const plain = `unet/${STEM}.safetensors`;
const half = `unet/${STEM}.fp16.safetensors`;
const plainIndex = `unet/${STEM}.safetensors.index.json`;
const halfIndex = `unet/${STEM}.safetensors.index.fp16.json`;
const oldHalfIndex = `unet/${STEM}.fp16.safetensors.index.json`;

describe("openWeightFolder", () => {
  test("chooses among the files of a folder", async () => {
    const all = {
      [plain]: shard({ a: 1 }),
      [half]: shard({ a: 2 }),
      [plainIndex]: index({ a: "s3.safetensors" }),
      [halfIndex]: index({ a: "s4.safetensors" }),
      [oldHalfIndex]: index({ a: "s5.safetensors" }),
      "unet/s3.safetensors": shard({ a: 3 }),
      "unet/s4.safetensors": shard({ a: 4 }),
      "unet/s5.safetensors": shard({ a: 5 }),
    };
    const without = (...paths: string[]) =>
      Object.fromEntries(Object.entries(all).filter(([path]) => !paths.includes(path)));
    expect(await valueOfA(all)).toBe(1);
    expect(await valueOfA(without(plain))).toBe(2);
    expect(await valueOfA(without(plain, half))).toBe(3);
    expect(await valueOfA(without(plain, half, plainIndex))).toBe(4);
    expect(await valueOfA(without(plain, half, plainIndex, halfIndex))).toBe(5);
    expect(await valueOfA(all, "fp16")).toBe(2);
    expect(await valueOfA(without(half), "fp16")).toBe(4);
    expect(await valueOfA(without(half, halfIndex), "fp16")).toBe(5);
    expect(await valueOfA(without(half, halfIndex, oldHalfIndex), "fp16")).toBe(1);
    expect(await valueOfA(without(plain, half, halfIndex, oldHalfIndex), "fp16")).toBe(3);
  });

  test("opens the top folder and the stem of transformers", async () => {
    const files = folderOf({ "model.safetensors": shard({ a: 7 }) });
    const store = await openWeightFolder(files, "", "model");
    expect([...(await store.read("a"))]).toEqual([7]);
    expect(files.opened).toEqual(["model.safetensors"]);
  });

  test.each([
    `${STEM}-00001-of-00002.safetensors`,
    `${STEM}.fp16-00001-of-00002.safetensors`,
    `${STEM}-00001-of-00002.fp16.safetensors`,
  ])("reads shards such as %s", async (first) => {
    const second = first.replace("00001", "00002");
    const files = folderOf({
      [plainIndex]: index({ b: second, a: first, c: first, ["__proto__"]: first }),
      [`unet/${first}`]: shard({ a: 1, c: 3, ["__proto__"]: 5, "not in the index": 4 }),
      [`unet/${second}`]: shard({ b: 2, a: 9 }),
    });
    const store = await openWeightFolder(files, "unet", STEM);
    // The index decides: what it does not place in a shard is not there.
    expect([...store.names()]).toEqual(["b", "a", "c", "__proto__"]);
    expect([...(await store.read("a"))]).toEqual([1]);
    expect([...(await store.readRange("b", 0, 1))]).toEqual([2]);
    expect(store.info("b").file).toBe(`unet/${second}`);
    expect(store.name).toBe(`samples: ${plainIndex}`);
    expect(files.opened.filter((path) => path.endsWith(second)).length).toBe(1);
    expect(files.openCount()).toBe(2);
    await store.close();
    expect(files.openCount()).toBe(0);
    expect(await failureOf(() => store.read("a"))).toMatch(/store is closed/);
  });

  test("lists everything that index and shards disagree about, and closes all", async () => {
    const missing = Array.from({ length: 12 }, (_, i) => `m${i}`);
    const files = folderOf({
      [plainIndex]: index({
        a: "s1.safetensors",
        b: "s2.safetensors",
        x: "none.safetensors",
        y: "none.safetensors",
        ...Object.fromEntries(missing.map((name) => [name, "s2.safetensors"])),
      }),
      "unet/s1.safetensors": shard({ b: 1, a: 1 }),
      "unet/s2.safetensors": shard({ a: 1 }),
    });
    expect(await failureOf(() => openWeightFolder(files, "unet", STEM))).toBe(
      "weights: index and shards must agree, got 1 absent files, 13 tensors not in their file. " +
        'absent files: "none.safetensors"; tensors not in their file: "b" (s2.safetensors), ' +
        '"m0" (s2.safetensors), "m1" (s2.safetensors), "m2" (s2.safetensors), ' +
        '"m3" (s2.safetensors), "m4" (s2.safetensors), "m5" (s2.safetensors), ' +
        `"m6" (s2.safetensors) and 5 more ("${plainIndex}"). ` +
        "The folder is incomplete; download it again",
    );
    expect(files.openCount()).toBe(0);
  });

  test("closes what it opened when a file is broken", async () => {
    const broken = fileOf(headerOf(["a", "U8", [2], 0, 2]), 1);
    const single = folderOf({ [plain]: broken });
    expect(await failureOf(() => openWeightFolder(single, "unet", STEM))).toMatch(/truncated/);
    expect(single.openCount()).toBe(0);
    const sharded = folderOf({
      [plainIndex]: index({ a: "s1.safetensors", b: "s2.safetensors" }),
      "unet/s1.safetensors": shard({ a: 1 }),
      "unet/s2.safetensors": broken,
    });
    expect(await failureOf(() => openWeightFolder(sharded, "unet", STEM))).toMatch(/truncated/);
    expect(sharded.openCount()).toBe(0);
  });

  test.each([
    "../s.safetensors",
    "/s.safetensors",
    "a/s.safetensors",
    "a\\s.safetensors",
    "..",
    "",
    "s.pkl",
    "../s.bin",
    ".safetensors",
    "C:s.safetensors",
    "s\0.safetensors",
  ])("refuses the shard name %j", async (name) => {
    const files = folderOf({ [plainIndex]: index({ a: name }), "s.safetensors": shard({ a: 1 }) });
    expect(await failureOf(() => openWeightFolder(files, "unet", STEM))).toMatch(
      /shards must be plain names of \.safetensors or \.bin files, got ".*" \("unet\/.*index\.json"\)/,
    );
    expect(files.opened.every((path) => path.startsWith(`unet/${STEM}.`))).toBe(true);
  });

  test.each<[string, string, RegExp]>([
    ["no weight_map", "{}", /index needs "weight_map"/],
    ["an array", "[]", /expected an object/],
    ["a weight_map that is no object", '{"weight_map":[]}', /expected an object/],
    ["a shard that is no text", '{"weight_map":{"a":1}}', /expected a string/],
    ["a tensor twice", '{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', /twice/],
    ["two maps", '{"weight_map":{},"weight_map":{}}', /key "weight_map" appears twice/],
    ["broken JSON", '{"weight_map":{}', /expected ","/],
  ])("refuses an index with %s", async (_, text, message) => {
    expect(await failureOf(() => openIn({ [plainIndex]: utf8(text) }))).toMatch(message);
  });

  test("bounds the number of shards", async () => {
    const names = Array.from({ length: 1001 }, (_, i) => [`t${i}`, `s${i}.safetensors`]);
    const files = folderOf({ [plainIndex]: index(Object.fromEntries(names)) });
    expect(await failureOf(() => openWeightFolder(files, "unet", STEM))).toMatch(
      /an index may name 1000 shards, got 1001/,
    );
    expect(files.opened.length).toBeLessThan(10);
  });

  test("says what it looked for", async () => {
    expect(await failureOf(() => openIn({}))).toBe(
      `weights: no weights in "unet", looked for ${STEM}.safetensors, ` +
        `${STEM}.fp16.safetensors, ${STEM}.safetensors.index.json, ` +
        `${STEM}.safetensors.index.fp16.json, ${STEM}.fp16.safetensors.index.json, ` +
        `${STEM}.bin, ${STEM}.fp16.bin, ${STEM}.bin.index.json, ` +
        `${STEM}.bin.index.fp16.json, ${STEM}.fp16.bin.index.json (samples). ` +
        "Check the folder, or download the weight files",
    );
    expect(await failureOf(() => openIn({}, { variant: "bf16" }))).toMatch(
      /looked for \w+\.bf16\.safetensors, .*, \w+\.safetensors, \w+\.safetensors\.index\.json, \w+\.bf16\.bin, /,
    );
  });

  test.each<[WeightStem, string, string | undefined]>([
    [STEM, `${STEM}.bin`, undefined],
    [STEM, `${STEM}.fp16.bin`, undefined],
    [STEM, `${STEM}.bf16.bin`, "bf16"],
    ["model", "pytorch_model.bin", undefined],
  ])("reads a file of torch.save where there are no others: %s, %s", async (stem, bin, variant) => {
    const options = variant === undefined ? {} : { variant };
    const content = { [`unet/${bin}`]: torchBytes({ a: 1, b: 2 }) };
    const store = await openIn(content, options, stem);
    expect([...store.names()]).toEqual(["a", "b"]);
    expect([...(await store.read("b"))]).toEqual([2]);
    const both = { ...content, [`unet/${stem}.safetensors`]: shard({ a: 7 }) };
    expect([...(await (await openIn(both, options, stem)).read("a"))]).toEqual([7]);
  });

  test("reads shards of torch.save, also beside safetensors", async () => {
    const files = folderOf({
      "unet/pytorch_model.bin.index.json": index({ a: "s1.bin", b: "s2.safetensors" }),
      "unet/s1.bin": torchBytes({ a: 1, b: 9 }),
      "unet/s2.safetensors": shard({ b: 2 }),
    });
    const store = await openWeightFolder(files, "unet", "model");
    expect([...(await store.read("a")), ...(await store.read("b"))]).toEqual([1, 2]);
    expect(store.info("a").file).toBe("unet/s1.bin");
    await store.close();
    expect(files.openCount()).toBe(0);
  });

  test("closes a file of torch.save that is refused", async () => {
    const files = folderOf({ [`unet/${STEM}.bin`]: archiveOf(global("os", "system")) });
    expect(await failureOf(() => openWeightFolder(files, "unet", STEM))).toMatch(
      /pickle asks for os\.system; refused/,
    );
    expect(files.openCount()).toBe(0);
  });

  test.each(["../x", "a/b", "", "fp 16", "a.b"])("refuses the variant %j", async (variant) => {
    expect(await failureOf(() => openIn({}, { variant }))).toMatch(/variant must be letters/);
  });

  test("refuses a folder that leaves its files", async () => {
    const files = folderOf({ [plain]: shard({ a: 1 }) });
    expect(await failureOf(() => openWeightFolder(files, "../unet", STEM))).toMatch(/be relative/);
  });

  test("an aborted signal stops it with its reason", async () => {
    const reason = new Error("stop");
    const files = memoryFiles(new Map([[plain, shard({ a: 1 })]]));
    const signal = AbortSignal.abort(reason);
    await expect(openWeightFolder(files, "unet", STEM, { signal })).rejects.toBe(reason);
  });
});
