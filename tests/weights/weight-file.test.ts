import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/weights/safetensors-write.ts";
import { memoryFiles } from "../../src/weights/sources/files.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { openWeightFile } from "../../src/weights/weight-file.ts";
import type { WeightFile } from "../../src/weights/weight-file.ts";
import { openWeightIndex } from "../../src/weights/weight-folder.ts";
import { failureOf, utf8 } from "./samples.ts";
import { archiveOf, floats, int, named, storage, tensor, zipOf } from "./torch/torch-samples.ts";

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

  test("gives null for absent files", async () => {
    expect(await openWeightFile(memoryFiles(new Map()), "x.pkl")).toBeNull();
  });

  test("takes the content for the kind where the name says another", async () => {
    expect((await open("x.pkl", safetensors))?.kind).toBe("safetensors");
    expect((await open("x.safetensors", torch))?.kind).toBe("torch");
    expect((await open("x.sft", safetensors))?.kind).toBe("safetensors");
  });

  const POINTER = utf8(
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
  );
  const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
  const zip = (name: string): Uint8Array => zipOf([[name, floats(1)]]);

  test.each<[string, Uint8Array, RegExp]>([
    ["a git-lfs pointer", POINTER, /got a git-lfs pointer.*git lfs pull/],
    ["a web page", utf8("\n<!DOCTYPE html><html><head>"), /got a web page \(HTML\)/],
    ["a server's message", utf8('{"error":"Repository not found"}'), /got a server's error/],
    ["an empty file", new Uint8Array(0), /got an empty file .*Download/],
    ["zeros", new Uint8Array(600), /got a file of zeros/],
    ["GGUF", latin1("GGUF\u0003\0\0\0"), /got a GGUF file/],
    ["HDF5", latin1("\u0089HDF\r\n\u001A\n"), /got an HDF5 file/],
    ["ONNX", latin1("\u0008\u0008\u0012\u0007pytorch\u001A\u00052.1.0"), /got an ONNX model/],
    ["a TensorFlow list", utf8('model_checkpoint_path: "model.ckpt-1"\n'), /TensorFlow's list/],
    [
      "a TensorFlow checkpoint",
      latin1(`\0\u0001${"x".repeat(60)}\u0057\u00FB\u0080\u008B\u0024\u0075\u0047\u00DB`),
      /got a checkpoint of TensorFlow/,
    ],
    ["numpy", latin1("\u0093NUMPY\u0001\0v\0{'descr'"), /an array of numpy/],
    ["a zip of a folder", zip("sd/unet/config.json"), /zip archive.*first .*unet.*Unpack it/],
    ["npz", zip("a.npy"), /arrays of numpy/],
    ["gzip", latin1("\u001F\u008B\u0008\0\0"), /a compressed archive/],
    ["a picture", latin1("\u0089PNG\r\n\u001A\n\0\0"), /got a picture/],
    ["a text", utf8("Entry not found"), /got a text that begins "Entry not found"/],
    ["a config", utf8('{\n "_class_name": "UNet2DConditionModel"}'), /got a JSON text/],
  ])("names %s, whatever it is called", async (_name, bytes, message) => {
    for (const path of ["x.safetensors", "x.bin", "x.ckpt", "x.gguf"]) {
      expect(await failureOf(() => open(path, bytes))).toMatch(message);
    }
  });

  test("names a pointer in the place of an index", async () => {
    const files = memoryFiles(new Map([["model.safetensors.index.json", POINTER]]));
    expect(await failureOf(() => openWeightIndex(files, "model.safetensors.index.json"))).toMatch(
      /must be JSON, got a git-lfs pointer.*git lfs pull/,
    );
  });

  test("leaves a broken file to its reader", async () => {
    expect(await failureOf(() => open("x.bin", torch.slice(0, -1)))).toMatch(/truncated/);
    expect(await failureOf(() => open("x.safetensors", latin1("\u0001\u0002")))).toMatch(/8 bytes/);
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
