import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WeightsError } from "../../src/weights/errors.ts";
import { writeSafetensors } from "../../src/weights/safetensors-write.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { fileOf, recordingSource } from "./samples.ts";

/** Opens a file; checks that it is refused with the right error or that its tensors tile the data. */
async function opensOrRefuses(file: Uint8Array): Promise<boolean> {
  const source = recordingSource(file);
  let tensors;
  try {
    ({ tensors } = await openSafetensors(source));
  } catch (error) {
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message.length).toBeLessThan(1000);
    return false;
  } finally {
    expect(source.reads.length).toBeLessThanOrEqual(2);
    for (const { offset, length } of source.reads) {
      expect(offset + length).toBeLessThanOrEqual(file.byteLength);
    }
  }
  const headerLength = Number(new DataView(file.buffer).getBigUint64(0, true));
  let end = 8 + headerLength;
  let misplaced = 0;
  for (const info of tensors.values()) {
    if (info.byteOffset !== end) misplaced++;
    end += info.byteLength;
  }
  expect(misplaced).toBe(0);
  expect(end).toBe(file.byteLength);
  return true;
}

const seed = writeSafetensors(
  [
    { name: "conv_in.weight", dtype: "F32", shape: [2, 1, 3], data: new Uint8Array(24) },
    { name: "conv_in.bias", dtype: "F16", shape: [2], data: new Uint8Array(4) },
    { name: "scalar", dtype: "I64", shape: [], data: new Uint8Array(8) },
  ],
  [["format", "pt"]],
);

describe("openSafetensors on hostile input", () => {
  test("any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        await opensOrRefuses(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  test("a good file with a few bytes changed, cut or repeated", async () => {
    const edit = fc.record({
      at: fc.nat(seed.byteLength - 1),
      byte: fc.oneof(
        fc.nat(255),
        // Bytes that keep the header close to JSON.
        fc.constantFrom(...'{}[],:"\\0123456789-.eE _aF'.split("").map((c) => c.charCodeAt(0))),
      ),
      kind: fc.constantFrom("set", "set", "set", "remove", "insert", "cut"),
    });
    let opened = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        let bytes = [...seed];
        for (const { at, byte, kind } of edits) {
          if (kind === "set") bytes[at] = byte;
          else if (kind === "cut") bytes = bytes.slice(0, at);
          else if (kind === "remove") bytes.splice(at, 1);
          else bytes.splice(at, 0, byte);
        }
        if (await opensOrRefuses(Uint8Array.from(bytes, (byte) => byte ?? 0))) opened++;
      }),
      { numRuns: 4000 },
    );
    // Changes in names and data leave a valid file, so both outcomes are exercised.
    expect(opened).toBeGreaterThan(50);
  });

  test("headers of the right grammar with any values", async () => {
    const integer = fc.oneof(
      fc.nat(9).map(String),
      fc.constantFrom("-1", "-0", "1.5", "1e2", "1e400", "4294967296", "9007199254740993", '"1"'),
    );
    const list = (max: number) => fc.array(integer, { maxLength: max }).map((all) => `[${all}]`);
    const field = fc.oneof(
      fc.constantFrom("F32", "F16", "U8", "F4", "__proto__").map((dtype) => `"dtype":"${dtype}"`),
      list(3).map((shape) => `"shape":${shape}`),
      list(3).map((offsets) => `"data_offsets":${offsets}`),
      fc.json({ maxDepth: 2 }).map((value) => `"other":${value}`),
    );
    const name = fc.constantFrom("a", "b", "c", "__proto__", "__metadata__", "\\u0061");
    const tensor = fc.tuple(name, fc.array(field, { maxLength: 5 }));
    await fc.assert(
      fc.asyncProperty(fc.array(tensor, { maxLength: 4 }), fc.nat(40), async (all, dataLength) => {
        const fields = all.map(([key, parts]) => `"${key}":{${parts.join(",")}}`);
        await opensOrRefuses(fileOf(`{${fields.join(",")}}`, dataLength));
      }),
      { numRuns: 4000 },
    );
  });

  test("headers of the right grammar with small plain values", async () => {
    let opened = 0;
    const tensor = fc.record({
      dtype: fc.constantFrom("U8", "F16"),
      shape: fc.array(fc.nat(2), { maxLength: 2 }),
      shift: fc.constantFrom(0, 0, 0, 0, 0, 1, -1),
      stretch: fc.constantFrom(0, 0, 0, 0, 0, 1, -1),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(tensor, { maxLength: 4 }),
        fc.constantFrom(0, 0, 0, 1, -1),
        async (all, extra) => {
          let position = 0;
          const fields = all.map(({ dtype, shape, shift, stretch }, i) => {
            const begin = Math.max(0, position + shift);
            const size = shape.reduce((a, b) => a * b, 1) * (dtype === "U8" ? 1 : 2);
            position = Math.max(0, begin + size + stretch);
            return `"t${i}":{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${position}]}`;
          });
          const file = fileOf(`{${fields.join(",")}}`, Math.max(0, position + extra));
          if (await opensOrRefuses(file)) opened++;
        },
      ),
      { numRuns: 3000 },
    );
    expect(opened).toBeGreaterThan(200);
  });

  test("a header of many small tensors is read in linear time", async () => {
    const count = 50_000;
    const fields: string[] = [];
    for (let i = 0; i < count; i++) {
      fields.push(`"layer.${i}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`);
    }
    const start = performance.now();
    expect(await opensOrRefuses(fileOf(`{${fields.join(",")}}`, count))).toBe(true);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});
