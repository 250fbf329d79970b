import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/weights/safetensors-write.ts";
import type { NamedTensorData } from "../../src/weights/safetensors-write.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { bytesSource } from "../../src/weights/sources/source.ts";
import { elementByteLength } from "../../src/weights/tensor-info.ts";
import type { TensorDtype } from "../../src/weights/tensor-info.ts";
import { failureOf } from "./samples.ts";

const DTYPES: readonly TensorDtype[] = [
  ...(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "F16", "BF16"] as const),
  ...(["I32", "U32", "F32", "F64", "I64", "U64"] as const),
];

const tensor: fc.Arbitrary<NamedTensorData> = fc
  .record({
    name: fc.string({ unit: "binary", maxLength: 12 }),
    dtype: fc.constantFrom(...DTYPES),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    fill: fc.nat(255),
  })
  .map(({ name, dtype, shape, fill }) => {
    const byteLength = shape.reduce((a, b) => a * b, 1) * elementByteLength(dtype);
    const data = Uint8Array.from({ length: byteLength }, (_, i) => fill + i * 7);
    return { name, dtype, shape, data };
  });
const tensors = fc
  .uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 8 })
  .map((all) => all.filter(({ name }) => name !== "__metadata__"));
const metadata = fc.uniqueArray(
  fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })),
  { selector: ([key]) => key, maxLength: 4 },
);

const u8 = (name: string, ...data: number[]): NamedTensorData => ({
  name,
  dtype: "U8",
  shape: [data.length],
  data: Uint8Array.from(data),
});

describe("writeSafetensors", () => {
  test("writes what the reader reads", async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (all, texts) => {
        const file = await openSafetensors(bytesSource("x", writeSafetensors(all, texts)));
        expect(file.tensors.size).toBe(all.length);
        expect([...file.metadata]).toEqual(texts);
        for (const { name, dtype, shape, data } of all) {
          expect(file.tensors.get(name)).toMatchObject({ name, dtype, shape });
          expect(await file.read(name)).toEqual(data);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("aligns the data and every tensor, and does not depend on the order given", () => {
    fc.assert(
      fc.property(tensors, (all) => {
        const bytes = writeSafetensors(all);
        const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
        expect(headerLength % 8).toBe(0);
        const header = JSON.parse(
          new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)),
        ) as object;
        for (const { dtype, data_offsets } of Object.values(header)) {
          expect(data_offsets[0] % elementByteLength(dtype)).toBe(0);
        }
        expect(writeSafetensors(all.toReversed())).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });

  test("gives the bytes of the reference writer", () => {
    const bytes = writeSafetensors(
      [
        u8("b", 1, 2),
        { name: "z", dtype: "F32", shape: [1], data: Uint8Array.of(9, 9, 9, 9) },
        u8("a", 3),
      ],
      new Map([["format", "pt"]]),
    );
    const header =
      '{"__metadata__":{"format":"pt"},' +
      '"z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
      '"a":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},' +
      '"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8, " ");
    const text = new TextDecoder().decode(bytes.subarray(8, 8 + padded.length));
    expect(text).toBe(padded);
    expect([...bytes.subarray(0, 8)]).toEqual([padded.length, 0, 0, 0, 0, 0, 0, 0]);
    expect([...bytes.subarray(8 + padded.length)]).toEqual([9, 9, 9, 9, 3, 1, 2]);
  });

  test("sorts by dtype rank, then by the UTF-8 bytes of names", async () => {
    const names = ["\u{1f600}", "\uffee", "z", "za", "\u{10000}", "", "é"];
    const ranked = DTYPES.map((dtype, i): NamedTensorData => {
      const data = new Uint8Array(elementByteLength(dtype));
      return { name: `rank ${String(i)}`, dtype, shape: [], data };
    });
    const bytes = writeSafetensors([...names.map((name) => u8(name, 0)), ...ranked]);
    const order = [...(await openSafetensors(bytesSource("x", bytes))).tensors.values()];
    expect(order.filter(({ shape }) => shape.length > 0).map(({ name }) => name)).toEqual(
      names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    );
    expect(order.filter(({ shape }) => shape.length === 0).map(({ dtype }) => dtype)).toEqual(
      DTYPES.toReversed(),
    );
  });

  test("writes an empty file", () => {
    expect([...writeSafetensors([])]).toEqual([8, 0, 0, 0, 0, 0, 0, 0, ...Buffer.from("{}      ")]);
  });

  test.each<[string, NamedTensorData[], [string, string][], RegExp]>([
    ["equal names", [u8("a"), u8("a", 1)], [], /names must be unique .* got "a"/],
    ["the metadata key", [u8("__metadata__")], [], /not __metadata__, got "__metadata__"/],
    ["a lone surrogate", [u8("\ud800")], [], /must be well-formed text/],
    ["a lone surrogate in metadata", [], [["a", "\udc00"]], /must be well-formed text/],
    [
      "equal metadata keys",
      [],
      [
        ["a", "1"],
        ["a", "2"],
      ],
      /metadata key "a" given twice/,
    ],
    [
      "too few bytes",
      [{ ...u8("a", 1), shape: [2] }],
      [],
      /U8 \[2\] takes 2 bytes, got 1 \(tensor "a"\)/,
    ],
    ["a negative size", [{ ...u8("a"), shape: [-1] }], [], /non-negative integers, got \[-1\]/],
    ["a fractional size", [{ ...u8("a"), shape: [0.5] }], [], /non-negative integers/],
    ["an overflow", [{ ...u8("a"), shape: [2 ** 30, 2 ** 30] }], [], /takes more than 2\^53 bytes/],
    ["an unknown dtype", [{ ...u8("a"), dtype: "I4" as TensorDtype }], [], /unknown dtype "I4"/],
  ])("refuses %s", async (_, all, texts, message) => {
    expect(await failureOf(() => writeSafetensors(all, texts))).toMatch(message);
  });
});
