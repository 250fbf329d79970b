import { describe, expect, test } from "vitest";
import { MAX_HEADER_BYTES, openSafetensors } from "../../src/weights/safetensors.ts";
import { bytesSource } from "../../src/weights/sources/source.ts";
import { failureOf, fileOf, headerOf, recordingSource } from "./samples.ts";

const open = (file: Uint8Array) => openSafetensors(bytesSource("sample.safetensors", file));

const TWO = headerOf(["b", "F16", [2, 3], 8, 20], ["a", "F32", [2], 0, 8]);

describe("openSafetensors", () => {
  test("gives tensors in file order with absolute offsets", async () => {
    const file = await open(fileOf(TWO, 20));
    const start = 8 + TWO.length;
    expect([...file.tensors.values()]).toEqual([
      { name: "a", dtype: "F32", shape: [2], byteOffset: start, byteLength: 8 },
      { name: "b", dtype: "F16", shape: [2, 3], byteOffset: start + 8, byteLength: 12 },
    ]);
    expect(file.metadata.size).toBe(0);
    expect([...(await file.read("a"))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...(await file.readRange("b", 2, 3))]).toEqual([10, 11, 12]);
    expect((await file.readRange("b", 12, 0)).byteLength).toBe(0);
  });

  test("accepts an empty file, scalars, zero sizes, unknown fields and padding", async () => {
    expect((await open(fileOf("{}", 0))).tensors.size).toBe(0);
    const header = headerOf(
      ["empty", "F32", [0, 1e15], 0, 0],
      ["scalar", "F64", [], 0, 8],
      ["empty too", "BF16", [3, 0], 8, 8],
    );
    const file = await open(fileOf(`${header.slice(0, -1)} \n} \t  `, 8));
    expect([...file.tensors.keys()]).toEqual(["empty", "scalar", "empty too"]);
    expect((await file.read("empty")).byteLength).toBe(0);
    expect((await file.read("empty too")).byteLength).toBe(0);
    const more = '{"a":{"dtype":"U8","note":[{"x":null}],"shape":[1],"data_offsets":[0,1]}}';
    expect((await open(fileOf(more, 1))).tensors.get("a")?.shape).toEqual([1]);
  });

  test.each([
    ...["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"].map((dtype) => [dtype, 1] as const),
    ...["I16", "U16", "F16", "BF16"].map((dtype) => [dtype, 2] as const),
    ...["I32", "U32", "F32"].map((dtype) => [dtype, 4] as const),
    ...["I64", "U64", "F64"].map((dtype) => [dtype, 8] as const),
  ])("reads %s of %i bytes", async (dtype, byteLength) => {
    const file = await open(fileOf(headerOf(["t", dtype, [1], 0, byteLength]), byteLength));
    expect(file.tensors.get("t")?.byteLength).toBe(byteLength);
  });

  test("keeps metadata and odd names as plain data", async () => {
    const header =
      '{"__metadata__":{"__proto__":"x","format":"pt","":""},' +
      '"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]},' +
      '"constructor":{"shape":[],"data_offsets":[1,2],"dtype":"U8"}}';
    const file = await open(fileOf(header, 2));
    expect([...file.metadata]).toEqual([
      ["__proto__", "x"],
      ["format", "pt"],
      ["", ""],
    ]);
    expect([...file.tensors.keys()]).toEqual(["__proto__", "constructor"]);
    expect(file.tensors.has("toString")).toBe(false);
    expect([...(await file.read("constructor"))]).toEqual([1]);
  });

  test("lists tensors of types that it does not know, as bytes", async () => {
    const header = headerOf(["a", "I4", [3], 0, 2], ["b", "F4", [2], 2, 3], ["c", "U8", [1], 3, 4]);
    const file = await openSafetensors(recordingSource(fileOf(header, 4)));
    const dtypes = [...file.tensors.values()].map(({ dtype }) => dtype);
    expect(dtypes).toEqual(["unknown I4", "F4", "U8"]);
    expect([...(await file.read("a"))]).toEqual([0, 1]);
    expect([...(await file.read("c"))]).toEqual([3]);
  });

  test("reads the header only, also of a file of 8 GiB", async () => {
    const dataLength = 8 * 2 ** 30;
    const header = headerOf(["big", "F32", [2 ** 31], 0, dataLength]);
    const source = recordingSource(fileOf(header, 0), 8 + header.length + dataLength);
    const file = await openSafetensors(source);
    expect(source.reads).toEqual([
      { offset: 0, length: 8 },
      { offset: 8, length: header.length },
    ]);
    expect(file.tensors.get("big")?.byteLength).toBe(dataLength);
    await failureOf(() => file.readRange("big", dataLength - 4, 4));
    expect(source.reads.at(-1)).toEqual({ offset: source.byteLength - 4, length: 4 });
  });

  test("owns the source on success only", async () => {
    const bad = recordingSource(fileOf("[]", 0));
    await failureOf(() => openSafetensors(bad));
    expect(bad.isClosed()).toBe(false);
    const good = recordingSource(fileOf("{}", 0));
    await (await openSafetensors(good)).close();
    expect(good.isClosed()).toBe(true);
  });

  test("names unknown tensors and bad ranges", async () => {
    const file = await open(fileOf(TWO, 20));
    expect(await failureOf(() => file.read("c"))).toMatch(/no tensor "c" \("sample.safetensors"\)/);
    for (const [start, length] of [
      [0, 9],
      [9, 0],
      [-1, 1],
      [0.5, 1],
      [0, NaN],
      [Infinity, 0],
    ] as const) {
      expect(await failureOf(() => file.readRange("a", start, length))).toMatch(
        /range must lie inside the tensor, got bytes .* of 8 \(tensor "a"\)/,
      );
    }
  });

  test("an aborted signal stops it with its reason", async () => {
    const reason = new Error("stop");
    const source = bytesSource("x", fileOf(TWO, 20));
    await expect(openSafetensors(source, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe("openSafetensors refuses", () => {
  const tensor = (fields: string): string => `{"a":{${fields}}}`;
  const good = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';
  test.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /must have 8 bytes or more, got 0/],
    ["seven bytes", new Uint8Array(7), /must have 8 bytes or more, got 7.*reload/],
    [
      "a header length of 2^63",
      fileOf("{}", 0, 2n ** 63n),
      /may have 100000000 bytes, got 9223372/,
    ],
    [
      "a header just too large",
      fileOf("{}", 0, BigInt(MAX_HEADER_BYTES + 1)),
      /may have 100000000 bytes, got 100000001/,
    ],
    [
      "a header of the most bytes that is not there",
      fileOf("{}", 0, BigInt(MAX_HEADER_BYTES)),
      /header ends at byte 100000008, file has 10/,
    ],
    ["a header beyond the end", fileOf("{}", 0, 3n), /header ends at byte 11, file has 10/],
    ["no header", fileOf("", 0), /must begin with "{" \(0x7b\), got nothing/],
    ["leading space", fileOf(" {}", 0), /must begin with "{" \(0x7b\), got 0x20/],
    ["a byte order mark", fileOf("\ufeff{}", 0), /must begin with "{" \(0x7b\), got 0xef/],
    ["an array", fileOf("[]", 0), /must begin with "{"/],
    [
      "bad UTF-8",
      fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22), 0),
      /header .* must be UTF-8|must be UTF-8/,
    ],
    ["broken JSON", fileOf('{"a"', 0), /expected ":", got the end \(header of "sample/],
    ["text behind the header", fileOf("{}x", 0), /expected the end, got "x"/],
    ["NUL padding", fileOf("{}\0\0", 0), /expected the end/],
    ["a tensor that is no object", fileOf('{"a":[]}', 0), /expected an object, got "\[\]}"/],
    ["equal tensor names", fileOf(`{"a":{${good}},"a":{${good}}}`, 4), /key "a" appears twice/],
    ["equal names by escape", fileOf(`{"a":{${good}},"\\u0061":{${good}}}`, 4), /appears twice/],
    ["an equal field", fileOf(tensor(`${good},"dtype":"F32"`), 4), /key "dtype" appears twice/],
    [
      "equal unknown fields",
      fileOf(tensor(`${good},"x":{"y":1,"y":2}`), 4),
      /key "y" appears twice/,
    ],
    ["deep unknown fields", fileOf(tensor(`${good},"x":${"[".repeat(99)}`), 4), /nested deeper/],
    [
      "equal metadata keys",
      fileOf('{"__metadata__":{"a":"1","a":"2"}}', 0),
      /key "a" appears twice/,
    ],
    ["metadata twice", fileOf('{"__metadata__":{},"__metadata__":{}}', 0), /appears twice/],
    ["metadata that is no object", fileOf('{"__metadata__":"x"}', 0), /expected an object/],
    ["metadata that is null", fileOf('{"__metadata__":null}', 0), /expected an object/],
    ["a metadata number", fileOf('{"__metadata__":{"a":1}}', 0), /expected a string, got "1}}"/],
    ["no dtype", fileOf(tensor('"shape":[1],"data_offsets":[0,4]'), 4), /"a" needs dtype, shape/],
    ["no shape", fileOf(tensor('"dtype":"F32","data_offsets":[0,4]'), 4), /"a" needs dtype, shape/],
    ["no offsets", fileOf(tensor('"dtype":"F32","shape":[1]'), 4), /two data_offsets/],
    [
      "one offset",
      fileOf(tensor('"dtype":"F32","shape":[1],"data_offsets":[0]'), 4),
      /two data_off/,
    ],
    [
      "three offsets",
      fileOf(tensor('"dtype":"F32","shape":[1],"data_offsets":[0,4,4]'), 4),
      /two data_offsets, got 3/,
    ],
    [
      "what is no dtype",
      fileOf(headerOf(["a", "f4", [2], 0, 1]), 1),
      /"a" has unsupported dtype "f4"/,
    ],
    [
      "half a byte",
      fileOf(headerOf(["a", "F4", [3], 0, 1]), 1),
      /F4 \[3\] takes 1.5 bytes \(0.5 each\)/,
    ],
    [
      "a hole behind a tensor of unknown dtype",
      fileOf(headerOf(["a", "I4", [3], 0, 1], ["b", "U8", [1], 2, 3]), 3),
      /"b" must begin at data byte 1, got 2/,
    ],
    ["a dtype from a prototype", fileOf(headerOf(["a", "toString", [], 0, 1]), 1), /unsupported/],
    [
      "a numeric dtype",
      fileOf(tensor('"dtype":1,"shape":[1],"data_offsets":[0,4]'), 4),
      /a string/,
    ],
    [
      "a scalar shape",
      fileOf(tensor('"dtype":"F32","shape":1,"data_offsets":[0,4]'), 4),
      /an array/,
    ],
    ...["-1", "-0", "1.0", "1.5", "1e0", "1e400", '"1"', "null", "9007199254740993"].map(
      (size): [string, Uint8Array, RegExp] => [
        `the size ${size}`,
        fileOf(tensor(`"dtype":"F32","shape":[${size}],"data_offsets":[0,4]`), 4),
        /expected a (plain|non-negative) integer/,
      ],
    ),
    [
      "an offset that is not plain",
      fileOf(tensor('"dtype":"F32","shape":[1],"data_offsets":[0.0,4]'), 4),
      /expected a plain integer from 0 to 2\^53 - 1, got "0\.0"/,
    ],
    [
      "a product overflow",
      fileOf(headerOf(["a", "U8", [2 ** 40, 2 ** 40, 0], 0, 0]), 0),
      /"a" of U8 \[1099511627776, 1099511627776, 0\] has more than 2\^53 bytes/,
    ],
    [
      "a byte overflow",
      fileOf(headerOf(["a", "F64", [2 ** 52], 0, 0]), 0),
      /more than 2\^53 bytes/,
    ],
    ["an end before the begin", fileOf(headerOf(["a", "U8", [0], 4, 0]), 4), /must end behind/],
    [
      "12 bytes declared as 8",
      fileOf(headerOf(["a", "F32", [3], 0, 8]), 8),
      /"a" of F32 \[3\] takes 12 bytes \(4 each\), its data_offsets span 8/,
    ],
    [
      "overlapping tensors",
      fileOf(headerOf(["a", "F32", [2], 0, 8], ["b", "F32", [2], 4, 12]), 12),
      /"b" must begin at data byte 8, got 4 .* overlapping/,
    ],
    [
      "two names for the same bytes",
      fileOf(headerOf(["a", "F32", [2], 0, 8], ["b", "F32", [2], 0, 8]), 8),
      /overlapping/,
    ],
    ["a hole at the start", fileOf(headerOf(["a", "U8", [1], 1, 2]), 2), /byte 0, got 1 .* a hole/],
    [
      "a hole in the middle",
      fileOf(headerOf(["a", "U8", [1], 0, 1], ["b", "U8", [1], 2, 3]), 3),
      /"b" must begin at data byte 1, got 2 .* a hole/,
    ],
    [
      "a file that is cut",
      fileOf(headerOf(["a", "F32", [4], 0, 16]), 12),
      /tensor "a" ends at byte 79, file has 75 .* looks truncated; reload it/,
    ],
    ["trailing bytes", fileOf(TWO, 21), /data must end at byte \d+, file has \d+/],
    ["data without tensors", fileOf("{}", 1), /data must end at byte 10, file has 11/],
  ])("%s", async (_, file, message) => {
    const source = recordingSource(file);
    expect(await failureOf(() => openSafetensors(source))).toMatch(message);
    for (const { offset, length } of source.reads) {
      expect(offset + length).toBeLessThanOrEqual(file.byteLength);
    }
  });

  test("an over-long name with a short message", async () => {
    const header = headerOf(["n".repeat(100_000), "F32", [3], 0, 8]);
    const message = await failureOf(() => open(fileOf(header, 8)));
    expect(message.length).toBeLessThan(400);
  });

  test("a shape of very many sizes with a short message", async () => {
    const header = headerOf(["a", "F32", Array.from({ length: 50_000 }, () => 1), 0, 8]);
    const message = await failureOf(() => open(fileOf(header, 8)));
    expect(message).toContain("50000 sizes");
    expect(message.length).toBeLessThan(400);
  });
});
