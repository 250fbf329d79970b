import { describe, expect, test } from "vitest";
import { halvesToFloats } from "../../../src/gpu/dtype.ts";
import { recipeHalves } from "../../../src/verify/runner/recipe.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { blobSource, bytesSource } from "../../../src/weights/sources/source.ts";
import { torchStore } from "../../../src/weights/store.ts";
import { elementByteLength } from "../../../src/weights/tensor-info.ts";
import type { TensorDtype } from "../../../src/weights/tensor-info.ts";
import { openTorch } from "../../../src/weights/torch/torch-file.ts";
import type { TorchFile } from "../../../src/weights/torch/torch-file.ts";
import { readPickle } from "../../../src/weights/torch/torch-pickle.ts";
import type { TorchStorage, TorchTensor } from "../../../src/weights/torch/torch-tensor.ts";
import { failureOf, recordingSource, utf8 } from "../samples.ts";
import type { Code } from "./torch-samples.ts";
import {
  ORDERED_DICT,
  archiveOf,
  dict,
  float,
  floats,
  int,
  legacyOf,
  list,
  named,
  NONE,
  parameter,
  pickle,
  storage,
  tensor,
  text,
  torchFixture,
  tuple,
} from "./torch-samples.ts";

const open = (bytes: Uint8Array): Promise<TorchFile> => openTorch(bytesSource("x.pkl", bytes));
const failure = (bytes: Uint8Array): Promise<string> => failureOf(() => open(bytes));

async function valuesOf(file: TorchFile, name: string): Promise<Float32Array> {
  const { dtype, byteLength } = tensorOf(file, name);
  const bytes = await file.readRange(tensorOf(file, name), 0, byteLength);
  return toFloat32({ name, dtype }, bytes);
}

function tensorOf(file: TorchFile, name: string): TorchTensor {
  return file.tensors.get(name) ?? expect.fail(`no tensor ${name}`);
}

/** The name that the values of a sample's tensor are made from. */
function recipeName(stem: string, name: string): string {
  const path = name
    .replace(/^(state_dict_\w+)\./, "$1/")
    .replace(".base_layer", "")
    .replace(/(lora_[AB])\.\w+\./, "$1.");
  return `${stem}/${path}`;
}

describe("samples", () => {
  test.each([
    ["de_net.pth", "de_net", 80, { F32: 80 }],
    ["rcod_o_torch2.pkl", "rcod_o", 398, { F16: 398 }],
    ["rcod_o_strided.pkl", "rcod_o", 398, { F16: 398 }],
    ["rcod_o_legacy.pkl", "rcod_o", 398, { F16: 396, F32: 2 }],
  ])("%s holds the values it was made with", async (name, stem, count, dtypes) => {
    const file = await openTorch(blobSource(name, new Blob([torchFixture(name)])));
    const counts: Partial<Record<TensorDtype, number>> = {};
    const wrong: string[] = [];
    for (const [tensorName, { dtype, shape }] of file.tensors) {
      counts[dtype] = (counts[dtype] ?? 0) + 1;
      const values = await valuesOf(file, tensorName);
      const halves = recipeHalves(recipeName(stem, tensorName), shape, 0, 0, values.length);
      const expected = halvesToFloats(halves);
      if (!values.every((value, i) => value === expected[i])) wrong.push(tensorName);
    }
    expect(wrong).toEqual([]);
    expect(file.tensors.size).toBe(count);
    expect(counts).toEqual(dtypes);
    await file.close();
  });

  test("rcod_o has ranks and lists beside its tensors", async () => {
    for (const name of ["rcod_o_torch2.pkl", "rcod_o_legacy.pkl", "rcod_o_strided.pkl"]) {
      const { values, tensors, value } = await open(torchFixture(name));
      expect([...values].map(([key, of]) => [key, Array.isArray(of) ? of.length : of])).toEqual([
        ["vae_lora_encoder_modules", 63],
        ["unet_lora_encoder_modules", 50],
        ["unet_lora_decoder_modules", 100],
        ["unet_lora_others_modules", 16],
        ["rank_unet", 4],
        ["rank_vae", 4],
      ]);
      const shapeOf = (tensorName: string) => tensors.get(tensorName)?.shape;
      expect(shapeOf("state_dict_unet.conv_in.base_layer.weight")).toEqual([16, 4, 3, 3]);
      expect(shapeOf("state_dict_proj.bias")).toEqual([48]);
      expect(value).toMatchObject({ kind: "dict" });
    }
  });

  test("strided tensors are really strided there", async () => {
    const { tensors } = await open(torchFixture("rcod_o_strided.pkl"));
    const all = [...tensors.values()];
    expect(all.filter(({ offset }) => offset > 0).length).toBeGreaterThan(50);
    expect(all.filter(({ stride }) => stride.at(-1) === 2).length).toBeGreaterThan(50);
    expect(new Set(all.map((one) => one.storage)).size).toBeLessThan(all.length);
  });

  test.each(["rcod_s_mem.pkl", "rcod_s_mem_big_endian.pkl"])("%s", async (name) => {
    const file = await open(torchFixture(name));
    const weight = "state_dict_clip_proj.0.weight";
    const bias = "state_dict_clip_proj.0.bias";
    expect([...file.tensors.keys()]).toEqual([weight, bias]);
    const values = await valuesOf(file, weight);
    expect(values.length).toBe(32);
    expect([values[0], values[1], values[31]]).toEqual([
      -0.3515625, 0.29541015625, -0.1258544921875,
    ]);
    expect([...(await valuesOf(file, bias))]).toEqual([0.0149993896484375]);
  });

  /** The pickle of a sample in an archive of zeros. */
  function withZeros(name: string): Promise<TorchFile> {
    const bytes = torchFixture(name);
    const storages = new Map<string, TorchStorage>();
    readPickle(bytes, 0, {
      where: name,
      storageIdLength: 5,
      fileByteLength: Infinity,
      storages,
      checkStorage: () => undefined,
    });
    const zeros = [...storages].map(([key, { dtype, elementCount }]) => [
      key,
      new Uint8Array(elementCount * elementByteLength(dtype)),
    ]);
    return open(archiveOf(bytes, Object.fromEntries(zeros) as Record<string, Uint8Array>));
  }

  test("rcod_s: parameters, nested dictionaries, _metadata", async () => {
    const { tensors, values } = await withZeros("rcod_s.data.pkl");
    expect(tensors.size).toBe(407);
    expect(tensors.get("w")).toMatchObject({ dtype: "F32", shape: [64], stride: [1] });
    const embedding = "state_embeddings.state_dict_unet_block.weight";
    expect(tensors.get(embedding)).toMatchObject({ shape: [10, 64] });
    expect([...tensors.keys()].filter((name) => name.includes("_metadata"))).toEqual([]);
    expect([...values.keys()]).toEqual([
      "unet_lora_target_modules",
      "vae_lora_target_modules",
      "rank_unet",
      "rank_vae",
    ]);
    expect(values.get("unet_lora_target_modules")).toHaveLength(13);
    expect(values.get("vae_lora_target_modules")).toMatch(/^\^?.*encoder/);
    expect([values.get("rank_unet"), values.get("rank_vae")]).toEqual([8, 4]);
  });

  test("rcod_o_cuda: where the tensors lived does not matter", async () => {
    const { tensors } = await withZeros("rcod_o_cuda.data.pkl");
    const { tensors: same } = await open(torchFixture("rcod_o_torch2.pkl"));
    expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual(
      [...same].map(([name, { shape }]) => [name, shape]),
    );
  });
});

describe("what is read", () => {
  const fixture = torchFixture("rcod_o_torch2.pkl");

  test("opening takes a few reads and none of the elements", async () => {
    const source = recordingSource(fixture);
    const file = await openTorch(source);
    expect(source.reads.length).toBeLessThanOrEqual(7);
    const total = source.reads.reduce((sum, { length }) => sum + length, 0);
    expect(total).toBeLessThan(fixture.byteLength / 2);
    source.reads.length = 0;
    const weight = tensorOf(file, "state_dict_proj.weight");
    await file.readRange(weight, 64, 32);
    await file.readRange(weight, 0, 16);
    // The local header once, then the ranges, which begin at multiples of 64 bytes in such files.
    expect(source.reads.map(({ length }) => length)).toEqual([
      30 + "rcod_o/data/396".length,
      32,
      16,
    ]);
    const [, first, second] = source.reads;
    expect(second?.offset).toBe((first?.offset ?? 0) - 64);
    expect((second?.offset ?? 1) % 64).toBe(0);
    await file.close();
    expect(source.isClosed()).toBe(true);
  });

  test("an aborted signal ends it with its reason", async () => {
    const reason = new Error("stop");
    const signal = AbortSignal.abort(reason);
    await expect(openTorch(bytesSource("x", fixture), signal)).rejects.toBe(reason);
    const file = await open(fixture);
    const weight = tensorOf(file, "state_dict_proj.weight");
    await expect(file.readRange(weight, 0, 2, signal)).rejects.toBe(reason);
  });

  test("a store gives names, infos and ranges, and closes the file", async () => {
    const source = recordingSource(
      archiveOf(named({ a: tensor(storage("Float", "0", 2), [2]) }), {
        0: floats(1, 2),
      }),
    );
    const store = torchStore(await openTorch(source));
    expect([...store.names()]).toEqual(["a"]);
    expect(store.info("a")).toEqual({
      name: "a",
      dtype: "F32",
      shape: [2],
      byteOffset: 0,
      byteLength: 8,
      file: "sample.safetensors",
    });
    expect([...(await store.read("a"))]).toEqual([...floats(1, 2)]);
    expect([...(await store.readRange("a", 4, 4))]).toEqual([...floats(2)]);
    expect(await failureOf(() => store.readRange("a", 4, 5))).toMatch(/range must lie inside/);
    await store.close();
    expect(source.isClosed()).toBe(true);
  });
});

/** Both forms of one value. */
const forms: readonly [string, (value: (view?: Code) => Code, data: Uint8Array) => Uint8Array][] = [
  ["archive", (value, data) => archiveOf(value(), { 0: data })],
  [
    "older form",
    (value, data) => legacyOf(value(NONE), { 0: { count: data.byteLength / 4, data } }),
  ],
];

describe.each(forms)("tensors in the %s", (_name, save) => {
  const six = floats(0, 1, 2, 3, 4, 5);
  const float6 = (view?: Code): Code => storage("Float", "0", 6, view);
  const read = async (
    shape: number[],
    stride: number[] | undefined,
    offset: number,
  ): Promise<number[]> => {
    const file = await open(save((view) => tensor(float6(view), shape, stride, offset), six));
    return [...(await valuesOf(file, ""))];
  };

  test.each<[string, number[], number[] | undefined, number, number[]]>([
    ["contiguous", [2, 3], undefined, 0, [0, 1, 2, 3, 4, 5]],
    ["transposed", [3, 2], [1, 3], 0, [0, 3, 1, 4, 2, 5]],
    ["a view", [2], [1], 3, [3, 4]],
    ["a column", [2, 1], [3, 1], 2, [2, 5]],
    ["every second", [3], [2], 1, [1, 3, 5]],
    ["repeated", [2, 2], [0, 1], 4, [4, 5, 4, 5]],
    ["a scalar", [], [], 5, [5]],
    ["empty", [0, 3], [3, 1], 6, []],
    ["sizes of one with any stride", [1, 3, 1], [77, 1, 99], 1, [1, 2, 3]],
    ["permuted", [2, 1, 3], [1, 6, 2], 0, [0, 2, 4, 1, 3, 5]],
  ])("%s", async (_case, shape, stride, offset, expected) => {
    expect(await read(shape, stride, offset)).toEqual(expected);
  });

  test("any range of a strided tensor", async () => {
    const file = await open(save((view) => tensor(float6(view), [3, 2], [1, 3]), six));
    const whole = [...floats(0, 3, 1, 4, 2, 5)];
    for (let start = 0; start <= 24; start++) {
      for (let length = 0; length <= 24 - start; length++) {
        const bytes = await file.readRange(tensorOf(file, ""), start, length);
        expect([...bytes]).toEqual(whole.slice(start, start + length));
      }
    }
  });

  test.each<[string, number[], number[], number, RegExp]>([
    ["an element too far", [2, 3], [3, 1], 1, /inside its storage of 6 elements, got element 6 /],
    ["a huge stride", [2], [2 ** 31 - 1], 0, /got element 2147483647 /],
    ["an offset behind the end", [], [], 6, /got element 6 /],
    ["an empty tensor behind the end", [0], [1], 7, /got element 6 /],
    ["too few strides", [2, 3], [3], 0, /one stride per size/],
    ["65 dimensions", Array<number>(65).fill(1), Array<number>(65).fill(1), 0, /up to 64/],
    ["a negative size", [-1], [1], 0, /arguments that torch.save writes/],
    ["a negative stride", [2], [-1], 1, /arguments that torch.save writes/],
    ["a negative offset", [2], [1], -1, /arguments that torch.save writes/],
    ["more elements than a file", [2 ** 30, 4], [0, 1], 0, /not be larger than its file of \d+/],
    ["more than 2^53", [2 ** 30, 2 ** 30, 2 ** 30], [0, 0, 0], 0, /got Infinity bytes/],
  ])("refuses %s", async (_case, shape, stride, offset, message) => {
    expect(await failureOf(() => read(shape, stride, offset))).toMatch(message);
  });

  test("several share a storage", async () => {
    const value = (view?: Code): Code =>
      named({ a: tensor(float6(view), [2], [1], 1), b: tensor(float6(view), [2], [1], 2) });
    const file = await open(save(value, six));
    expect([...(await valuesOf(file, "a"))]).toEqual([1, 2]);
    expect([...(await valuesOf(file, "b"))]).toEqual([2, 3]);
    expect(tensorOf(file, "a").storage).toBe(tensorOf(file, "b").storage);
  });

  test("a storage is the same wherever it is named", async () => {
    const pair = (other: (view?: Code) => Code) => (view?: Code) =>
      named({ a: tensor(float6(view), [1]), b: tensor(other(view), [1]) });
    const shorter = pair((view) => storage("Float", "0", 5, view));
    expect(await failure(save(shorter, six))).toMatch(/must be the same/);
    const integers = pair((view) => storage("Int", "0", 6, view));
    expect(await failure(save(integers, six))).toMatch(
      /storage "0" must be the same wherever it is named, got 6 elements of I32 after 6 of F32/,
    );
  });

  test("a parameter is its tensor", async () => {
    const file = await open(save((view) => parameter(tensor(float6(view), [6])), six));
    expect([...(await valuesOf(file, ""))]).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe("element types", () => {
  test.each<[string, TensorDtype, number]>([
    ["Double", "F64", 8],
    ["Float", "F32", 4],
    ["Half", "F16", 2],
    ["BFloat16", "BF16", 2],
    ["Long", "I64", 8],
    ["Int", "I32", 4],
    ["Short", "I16", 2],
    ["Char", "I8", 1],
    ["Byte", "U8", 1],
    ["Bool", "BOOL", 1],
  ])("%s is %s", async (type, dtype, size) => {
    const value = tensor(storage(type, "0", 2), [2]);
    const data = Uint8Array.from({ length: 2 * size }, (_, i) => i);
    const reversed = [data.slice(0, size).toReversed(), data.slice(size).toReversed()];
    const swapped = Uint8Array.from(reversed.flatMap((part) => [...part]));
    const little = await open(archiveOf(value, { 0: data }, { byteorder: "little" }));
    const big = await open(archiveOf(value, { 0: swapped }, { byteorder: "big" }));
    expect(tensorOf(little, "").dtype).toBe(dtype);
    for (const file of [little, big]) {
      const bytes = await file.readRange(tensorOf(file, ""), 0, 2 * size);
      expect([...bytes]).toEqual([...data]);
      const part = await file.readRange(tensorOf(file, ""), 1, size);
      expect(part).toEqual(data.subarray(1, 1 + size));
    }
    // The file's own bytes are as before.
    expect([...swapped]).toEqual(reversed.flatMap((part) => [...part]));
  });
});

describe("names", () => {
  const scalar = tensor(storage("Byte", "0", 1), []);
  const one = { 0: Uint8Array.of(7) };

  test("are joined with dots; lists of plain values stay whole", async () => {
    const { tensors, values } = await open(
      archiveOf(
        dict(
          [text("net"), named({ "a.b": scalar, c: named({ d: scalar }) })],
          [text("items"), list(scalar, tuple(scalar, int(3)))],
          [int(5), text("five")],
          [text("list"), list(int(1), text("x"), NONE, [0x88], float(0.5))],
          [text("__proto__"), text("a key like others")],
          [text("none"), list()],
          [text("empty"), ORDERED_DICT],
        ),
        one,
      ),
    );
    expect([...tensors.keys()]).toEqual(["net.a.b", "net.c.d", "items.0", "items.1.0"]);
    expect([...values]).toEqual([
      ["items.1.1", 3],
      ["5", "five"],
      ["list", [1, "x", null, true, 0.5]],
      ["__proto__", "a key like others"],
      ["none", []],
    ]);
  });

  test("must be unique", async () => {
    const value = named({ "a.b": scalar, a: named({ b: int(1) }) });
    expect(await failure(archiveOf(value, one))).toMatch(/must be unique, got "a\.b" twice/);
  });

  test("cannot be blown up by a long prefix", async () => {
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}`, NONE]));
    const value = named({ ["k".repeat(1000)]: named(many) });
    expect(await failure(archiveOf(value))).toMatch(/names .* characters together, got more/);
  });
});

describe("refused files", () => {
  const value = tensor(storage("Float", "0", 1), [1]);

  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /must begin with the bytes 50 4b 03 04 or 80 02, got nothing/],
    ["a text", utf8("hello"), /got 68 65 6c 6c .*Is it another kind of file/],
    ["no pickle", archiveOf(value, {}, { top: "a/b" }), /needs the entry data.pkl/],
    ["another byte order", archiveOf(value, {}, { byteorder: "middle" }), /got "middle"/],
    ["a long byte order", archiveOf(value, {}, { byteorder: "x".repeat(17) }), /may have 16 bytes/],
    ["a storage that is not there", archiveOf(value, { 1: floats(1) }), /got no such entry/],
    ["a short storage", archiveOf(value, { 0: new Uint8Array(3) }), /takes 4 bytes, got 3/],
    ["a long storage", archiveOf(value, { 0: new Uint8Array(5) }), /takes 4 bytes, got 5/],
    [
      "bytes behind the pickle",
      archiveOf(Uint8Array.of(...pickle(NONE), 0)),
      /the pickle must end at byte 5, got 4/,
    ],
    [
      "an id of the older form",
      archiveOf(tensor(storage("Float", "0", 1, NONE), [1]), { 0: floats(1) }),
      /a storage's id of 5 parts/,
    ],
  ])("%s", async (_name, bytes, message) => {
    expect(await failure(bytes)).toMatch(message);
    expect(await failure(bytes)).toMatch(/"x\.pkl"/);
  });

  const older = tensor(storage("Float", "0", 1, NONE), [1]);
  const held = { 0: { count: 1, data: floats(7) } };

  test.each<[string, Uint8Array, RegExp]>([
    ["another pickle", pickle(int(3)), /must begin with its magic number and the version 1001/],
    ["a big-endian machine", legacyOf(older, held, { littleEndian: false }), /little-endian/],
    ["no keys", legacyOf(older, held, { keys: [] }), /got 0 keys for 1 storages/],
    ["a key twice", legacyOf(older, held, { keys: ["0", "0"] }), /got 2 keys for 1 storages/],
    ["another key", legacyOf(older, held, { keys: ["1"] }), /got 1 keys for 1 storages/],
    ["a cut file", legacyOf(older, held).slice(0, -1), /last storage must end at byte \d+, got/],
    ["a longer file", Uint8Array.of(...legacyOf(older, held), 0), /last storage must end at byte/],
    [
      "a view of a storage",
      legacyOf(tensor(storage("Float", "0", 1, int(0)), [1]), held),
      /a storage's id of 6 parts/,
    ],
    [
      "a storage larger than the file",
      legacyOf(tensor(storage("Float", "0", 2 ** 30, NONE), [1]), held),
      /takes 4294967296 bytes, the file has \d+/,
    ],
  ])("in the older form: %s", async (_name, bytes, message) => {
    expect(await failure(bytes)).toMatch(message);
  });

  test("in the older form: another count in front of a storage", async () => {
    expect(await failure(legacyOf(older, { 0: { count: 2, data: floats(7) } }))).toMatch(
      /storage "0" must have 1 elements, got 2 at byte \d+/,
    );
  });

  test("in the older form: another count behind what opening reads, when it is read", async () => {
    const long = 2 ** 22;
    const pair = list(
      tensor(storage("Float", "0", long, NONE), [long]),
      tensor(storage("Float", "1", 1, NONE), [1]),
    );
    const [head, tail] = [legacyOf(pair, {}, { keys: ["0", "1"] }), new Uint8Array(4 * long + 20)];
    const sizes = new DataView(tail.buffer);
    sizes.setBigInt64(0, BigInt(long), true);
    sizes.setBigInt64(8 + 4 * long, 2n, true);
    const start = head.byteLength - 2 * 8; // without the two empty storages
    const bytes = new Uint8Array(start + tail.byteLength);
    bytes.set(head.subarray(0, start));
    bytes.set(tail, start);
    const file = await open(bytes);
    expect(await failureOf(() => file.readRange(tensorOf(file, "1"), 0, 4))).toMatch(
      /storage "1" must have 1 elements, got 2 at byte \d+/,
    );
  });
});

/** make-harmless.py wrote both. */
describe("what torch 2.13 writes beside tensors", () => {
  test.each(["harmless.pkl", "harmless_legacy.pkl"])("%s", async (name) => {
    const file = await open(torchFixture(name));
    expect([...(await valuesOf(file, "net.weight"))]).toEqual([1, 2, 3, 4]);
    expect([...(await valuesOf(file, "parameter"))]).toEqual([1, 2]);
    expect([...(await valuesOf(file, "attributed"))]).toEqual([3]);
    const types = ["complex", "quantised"].map((key) => tensorOf(file, key).dtype);
    expect(types).toEqual(["C64", "QI8"]);
    expect(Object.fromEntries(file.values)).toMatchObject({
      sparse: "<torch._utils._rebuild_sparse_tensor>",
      device: "cuda:1",
      dtype: "torch.float16",
      size: [2, 3],
      layout: "torch.strided",
      names: ["only_one"],
      frozen: [7],
      bytes: "<bytes>",
      complex_number: "<__builtin__.complex>",
      "counter.a": 1,
      "by_name.a": [1],
      deque: [1, 2],
      path: "/data/run",
      "args.lr": 0.5,
      "args.out": "out",
      when: "<datetime.datetime>",
      rank: 4,
      loss: 0.25,
      flag: true,
      array: "<numpy.ndarray>",
      None: "key",
    });
    expect(file.values.get('("a", 1)')).toBeNull();
  });

  test("tensors of bytes have the type that they stand for", async () => {
    const file = await open(torchFixture("harmless.pkl"));
    const types = ["float8", "uint16"].map((key) => tensorOf(file, key).dtype);
    expect(types).toEqual(["F8_E4M3", "U16"]);
    const uint16 = await file.readRange(tensorOf(file, "uint16"), 0, 4);
    expect([...uint16]).toEqual([1, 0, 255, 255]);
  });
});
