/** Mutations of good torch files end with a WeightsError or with tensors, and never cost more than the file. */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { WeightsError } from "../../../src/weights/errors.ts";
import { openTorch } from "../../../src/weights/torch/torch-file.ts";
import type { TorchFile } from "../../../src/weights/torch/torch-file.ts";
import { recordingSource } from "../samples.ts";
import type { Code } from "./torch-samples.ts";
import {
  NONE,
  archiveOf,
  floats,
  int,
  legacyOf,
  list,
  named,
  ORDERED_DICT,
  parameter,
  pickle,
  put,
  storage,
  tensor,
  text,
  torchFixture,
} from "./torch-samples.ts";

const DATA = { 0: floats(1, 2, 3, 4, 5, 6), 1: new Uint8Array(8).fill(9) };

/** One of each form of tensor, with values beside them. */
const sample = (view?: Code): Code =>
  named({
    net: [
      ...ORDERED_DICT,
      ...put(0),
      0x28,
      ...text("a.weight"),
      ...parameter(tensor(storage("Float", "0", 6, view), [2, 3])),
      ...text("a.bias"),
      ...tensor(storage("Float", "0", 6, view), [3, 2], [1, 3]),
      0x75,
      ...named({ _metadata: ORDERED_DICT }),
      0x62,
    ],
    scalar: tensor(storage("Long", "1", 1, view), []),
    rank: int(4),
    modules: list(text("conv_in"), text("conv_out"), NONE),
  });

const PICKLE = pickle(sample());
const ARCHIVE = archiveOf(PICKLE, DATA, { byteorder: "little" });
const LEGACY = legacyOf(sample(NONE), {
  0: { count: 6, data: DATA[0] },
  1: { count: 1, data: DATA[1] },
});

interface Outcome {
  readonly tensors: ReadonlyMap<string, readonly number[]>;
  readonly file: TorchFile;
}

/** Opens and reads a file; null when it is refused. Checks what both may cost and give. */
async function outcomeOf(bytes: Uint8Array): Promise<Outcome | null> {
  const source = recordingSource(bytes);
  const tensors = new Map<string, number[]>();
  const cost = (): number => source.reads.reduce((sum, { length }) => sum + length, 0);
  try {
    const file = await openTorch(source);
    expect(cost()).toBeLessThanOrEqual(4 * bytes.byteLength);
    expect(JSON.stringify([...file.values]).length).toBeLessThan(10 * bytes.byteLength);
    for (const [name, of] of file.tensors) {
      source.reads.length = 0;
      const read = await file.readRange(of, 0, of.byteLength);
      expect(read.byteLength).toBe(of.byteLength);
      expect(of.byteLength).toBeLessThanOrEqual(bytes.byteLength);
      const steps = of.shape.map((size, d) => (size - 1) * of.stride[d]!);
      const last = steps.reduce((sum, step) => sum + step, of.offset);
      if (of.byteLength > 0) expect(last).toBeLessThan(of.storage.elementCount);
      expect(cost() + read.byteLength).toBeLessThanOrEqual(4 * bytes.byteLength);
      tensors.set(name, [...read]);
    }
    return { tensors, file };
  } catch (error) {
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message.length).toBeLessThan(1000);
    return null;
  }
}

interface Edit {
  readonly at: number;
  readonly byte: number;
  readonly kind: "set" | "remove" | "insert" | "cut" | "copy";
}

const editOf = (length: number, bytes: fc.Arbitrary<number>): fc.Arbitrary<Edit> =>
  fc.record({
    at: fc.nat(length - 1),
    byte: bytes,
    kind: fc.constantFrom("set", "set", "set", "set", "remove", "insert", "cut", "copy"),
  });

function edited(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array {
  let all = [...bytes];
  for (const { at, byte, kind } of edits) {
    if (kind === "set" && at < all.length) all[at] = byte;
    else if (kind === "cut") all = all.slice(0, at);
    else if (kind === "remove") all.splice(at, 1);
    else if (kind === "copy") all.splice(at, 0, ...all.slice(Math.max(0, at - byte), at));
    else if (kind === "insert") all.splice(at, 0, byte);
  }
  return Uint8Array.from(all);
}

const OPCODES = [
  0x80, 0x2e, 0x28, 0x7d, 0x5d, 0x29, 0x71, 0x72, 0x68, 0x6a, 0x58, 0x4a, 0x4b, 0x4d, 0x8a, 0x47,
  0x88, 0x89, 0x4e, 0x85, 0x86, 0x87, 0x74, 0x61, 0x65, 0x73, 0x75, 0x63, 0x52, 0x62, 0x51, 0x93,
];
const anyByte = fc.oneof(fc.nat(255), fc.nat(3), fc.constantFrom(...OPCODES), fc.constant(255));

/** Runs edits of 1 to 3 places; gives how many files still opened. */
async function mutate(
  runs: number,
  length: number,
  check: (edits: readonly Edit[]) => Promise<boolean>,
): Promise<number> {
  let opened = 0;
  const edits = fc.array(editOf(length, anyByte), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(edits, async (all) => {
      if (await check(all)) opened++;
    }),
    { numRuns: runs },
  );
  return opened;
}

describe("mutated torch files", () => {
  let whole: Outcome;
  beforeAll(async () => {
    whole = (await outcomeOf(ARCHIVE)) ?? expect.fail("the sample is refused");
    expect([...whole.tensors.keys()]).toEqual(["net.a.weight", "net.a.bias", "scalar"]);
    const legacy = await outcomeOf(LEGACY);
    expect(legacy?.tensors).toEqual(whole.tensors);
  });

  test("any byte of an archive", async () => {
    const opened = await mutate(3000, ARCHIVE.byteLength, async (edits) => {
      return (await outcomeOf(edited(ARCHIVE, edits))) !== null;
    });
    expect(opened).toBeGreaterThan(100);
  });

  test("records of an archive: refused, or the same tensors", async () => {
    // All bytes but the entries' data, and the lengths of the padding in front of it, which say
    // where it begins and are nowhere else in the file.
    const isRecord = new Uint8Array(ARCHIVE.byteLength).fill(1);
    const view = new DataView(ARCHIVE.buffer);
    for (let at = 0; at + 4 <= ARCHIVE.byteLength; at++) {
      if (view.getUint32(at, true) !== 0x04034b50) continue;
      const start = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
      isRecord.fill(0, at + 28, at + 30);
      let end = start;
      while (view.getUint32(end, true) !== 0x08074b50) end++;
      isRecord.fill(0, start, end);
    }
    const places = [...isRecord.keys()].filter((at) => isRecord[at] === 1);
    let opened = 0;
    const edits = fc.array(fc.tuple(fc.constantFrom(...places), anyByte), {
      minLength: 1,
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(edits, async (all) => {
        const bytes = ARCHIVE.slice();
        for (const [at, byte] of all) bytes[at] = byte;
        const outcome = await outcomeOf(bytes);
        if (outcome === null) return;
        expect(outcome.tensors).toEqual(whole.tensors);
        opened++;
      }),
      { numRuns: 2000 },
    );
    expect(opened).toBeGreaterThan(100);
  });

  test("the pickle of an archive", async () => {
    const opened = await mutate(6000, PICKLE.byteLength, async (edits) => {
      const outcome = await outcomeOf(archiveOf(edited(PICKLE, edits), DATA));
      return outcome !== null;
    });
    // 120 on average, with a deviation of 11
    expect(opened).toBeGreaterThan(50);
  });

  test("the older form", async () => {
    const opened = await mutate(3000, LEGACY.byteLength, async (edits) => {
      return (await outcomeOf(edited(LEGACY, edits))) !== null;
    });
    expect(opened).toBeGreaterThan(30);
  });

  test("samples of torch itself, in single bytes", async () => {
    const small = torchFixture("rcod_s_mem_big_endian.pkl");
    const opened = await mutate(1500, small.byteLength, async (edits) => {
      return (await outcomeOf(edited(small, edits))) !== null;
    });
    expect(opened).toBeGreaterThan(50);
  });

  test("opcodes in any order", async () => {
    const code = fc.array(
      fc.oneof(
        fc.constantFrom(...OPCODES).map((opcode) => [opcode]),
        fc.nat(3).map((index) => [...put(index)]),
        fc.constantFrom(
          text("a"),
          int(1),
          ORDERED_DICT,
          storage("Float", "0", 6),
          tensor(storage("Float", "0", 6), [6]),
        ),
      ),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(code, async (parts) => {
        await outcomeOf(archiveOf(parts.flat(), DATA));
      }),
      { numRuns: 3000 },
    );
  });
});
