import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/weights/safetensors-write.ts";
import { memoryFiles } from "../../src/weights/sources/files.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { openWeightFile } from "../../src/weights/weight-file.ts";
import type { WeightFile } from "../../src/weights/weight-file.ts";
import { openWeightIndex } from "../../src/weights/weight-folder.ts";
import { failureOf } from "./samples.ts";
import { archiveOf, floats, int, named, storage, tensor } from "./torch/torch-samples.ts";

describe("openWeightFile", () => {
  const safetensors = writeSafetensors(
    [{ name: "a", dtype: "F32", shape: [2], data: floats(1, 2) }],
    [["rank", "3"]],
  );
  const torch = archiveOf(named({ a: tensor(storage("Float", "0", 2), [2]), rank: int(3) }), {
    0: floats(1, 2),
  });
  const open = (path: string, bytes: Uint8Array): Promise<WeightFile | null> =>
    openWeightFile(memoryFiles(new Map([[path, bytes]])), path);

  test.each<[string, Uint8Array, string, unknown]>([
    ["x.safetensors", safetensors, "safetensors", "3"],
    ...["x.pkl", "x.pth", "x.pt", "x.bin"].map((path): [string, Uint8Array, string, unknown] => [
      path,
      torch,
      "torch",
      3,
    ]),
  ])("opens %s", async (path, bytes, kind, rank) => {
    const file = (await open(path, bytes)) ?? expect.fail("not found");
    expect(file.kind).toBe(kind);
    expect(file.values.get("rank")).toBe(rank);
    expect(file.store.info("a")).toMatchObject({ dtype: "F32", shape: [2], byteLength: 8 });
    expect([...(await file.store.read("a"))]).toEqual([...floats(1, 2)]);
  });

  test("gives null for absent files, and refuses other names", async () => {
    expect(await openWeightFile(memoryFiles(new Map()), "x.pkl")).toBeNull();
    expect(await failureOf(() => open("x.onnx", torch))).toBe(
      "weights: a weight file must be named .safetensors, .pkl, .pth, .pt or .bin, got " +
        '"x.onnx" (memory)',
    );
  });

  test("takes the name for the kind", async () => {
    expect(await failureOf(() => open("x.pkl", safetensors))).toMatch(/a torch file must begin/);
    expect(await failureOf(() => open("x.safetensors", torch))).toMatch(/safetensors header/);
  });
});

/** What the message of each class of defects says. */
const REASONS: Readonly<Record<string, RegExp>> = {
  "pickle-global": /pickle asks for (os\.system|builtins\.eval); refused/,
  "pickle-opcode": /opcode 0xff; refused/,
  "tensor-bounds": /inside its storage of 4 elements|takes 16384 bytes, got 16 /,
  truncated: /no end record.*truncated/,
  "zip-path": /must be relative with plain parts, got "\.\.\/\.\.\/evil\.txt"/,
  "zip-method": /must be stored as they are, got compression method 8/,
  "safetensors-header": /header may have 100000000 bytes, got 9223372036854775808/,
  "safetensors-offset":
    /ends at byte 75, file has 71|overlapping tensors|takes 12 bytes.*span 8|ends at byte/,
  path: /plain names of .*, got "\.\.\/st_overlap\.safetensors"/,
};

interface Sample {
  readonly file: string;
  readonly kind: string;
  readonly reason: string;
}

describe("hostile files", () => {
  const folder = new URL("../fixtures/hostile/", import.meta.url);
  const { files, controls } = JSON.parse(
    readFileSync(new URL("manifest.json", folder), "utf8"),
  ) as { readonly files: readonly Sample[]; readonly controls: readonly Sample[] };
  // Configs are read by the model's own parsers: tests/cli/info-file.test.ts has all of the manifest.
  const samples = [...files, ...controls].filter(({ kind }) => kind !== "config json");

  test.each(samples)("$file is refused: $reason", async ({ file, kind, reason }) => {
    const set = folderFiles(folder.pathname);
    const open = kind === "index json" ? openWeightIndex : openWeightFile;
    expect(await failureOf(() => open(set, file))).toMatch(REASONS[reason] ?? /^never$/);
  });

  test("the manifest is complete", () => {
    expect(files.length).toBe(13);
    expect(controls.map(({ file }) => file)).toEqual(["zip_deflated_entry.pkl"]);
  });
});
