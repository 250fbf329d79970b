/** Targets of the fuzzer: safetensors, and torch.save's files in both of their forms. */
import { WeightsError } from "../../../src/weights/errors.ts";
import { writeSafetensors } from "../../../src/weights/safetensors-write.ts";
import { openSafetensors } from "../../../src/weights/safetensors.ts";
import { bytesSource } from "../../../src/weights/sources/source.ts";
import { openTorch } from "../../../src/weights/torch/torch-file.ts";
import {
  archiveOf,
  floats,
  named,
  storage,
  tensor,
  torchFixture,
} from "../../weights/torch/torch-samples.ts";
import type { FuzzTarget, Random } from "./target.ts";
import { joined, mutateBytes } from "./target.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const isTyped = (error: unknown): boolean => error instanceof WeightsError;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

async function readTorch(bytes: Bytes): Promise<string> {
  const file = await openTorch(bytesSource("fuzz.pkl", bytes));
  const tensors: unknown[] = [];
  for (const [name, of] of file.tensors) {
    const { dtype, shape, byteLength } = of;
    tensors.push([name, dtype, shape, hex(await file.readRange(of, 0, byteLength))]);
  }
  return JSON.stringify([tensors, [...file.values]]);
}

async function readSafetensors(bytes: Bytes): Promise<string> {
  const file = await openSafetensors(bytesSource("fuzz.safetensors", bytes));
  const tensors: unknown[] = [];
  for (const { name, dtype, shape } of file.tensors.values()) {
    tensors.push([name, dtype, shape, hex(await file.read(name))]);
  }
  return JSON.stringify([tensors, [...file.metadata]]);
}

/** Opcodes that are read, and some that are not. */
const OPCODES = [
  0x80, 0x2e, 0x28, 0x7d, 0x5d, 0x29, 0x71, 0x72, 0x68, 0x6a, 0x58, 0x4a, 0x4b, 0x4d, 0x8a, 0x47,
  0x88, 0x89, 0x4e, 0x85, 0x86, 0x87, 0x74, 0x61, 0x65, 0x73, 0x75, 0x63, 0x52, 0x62, 0x51, 0x55,
  0x81, 0x8f, 0x93, 0x69, 0x82, 0x50, 0x30, 0x32, 0x95,
];

const GLOBALS = [
  "torch\n_utils._rebuild_tensor_v2\n",
  "torch._utils\n_rebuild_tensor_v3\n",
  "torch\nFloatStorage\n",
  "torch.storage\nUntypedStorage\n",
  "torch\nfloat8_e4m3fn\n",
  "collections\nCounter\n",
  "__builtin__\nset\n",
  "pathlib\nPosixPath\n",
  "_codecs\nencode\n",
  "os\nsystem\n",
];

/** Places of a byte sequence in a file. */
function placesOf(bytes: Bytes, wanted: string): number[] {
  const places: number[] = [];
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = buffer.indexOf(wanted, 0, "latin1"); at >= 0;) {
    places.push(at);
    at = buffer.indexOf(wanted, at + 1, "latin1");
  }
  return places;
}

/** Spoils what the parts of a pickle or an archive mean: opcodes, globals, memo, numbers, records. */
function mutateTorch(seed: Bytes, random: Random): Bytes {
  if (random(3) === 0) return mutateBytes(seed, random);
  const bytes = seed.slice();
  const view = new DataView(bytes.buffer);
  const near = (text: string): number => {
    const places = placesOf(bytes, text);
    return places.length === 0
      ? random(bytes.byteLength - 8)
      : (places[random(places.length)] as number);
  };
  const numbers = [0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, random(1 << 16)];
  const number = (): number => numbers[random(numbers.length)] as number;
  const last = bytes.byteLength - 8;
  switch (random(8)) {
    case 0: // an opcode
      bytes[near("q") - 1 + random(4)] = OPCODES[random(OPCODES.length)] as number;
      break;
    case 1: {
      // another global
      const at = near("ctorch");
      const text = Buffer.from(`c${GLOBALS[random(GLOBALS.length)]}`);
      const end = bytes.indexOf(0x0a, bytes.indexOf(0x0a, at) + 1) + 1;
      return joined(bytes.slice(0, at), text, bytes.slice(end));
    }
    case 2: // an entry of the memo
      bytes[Math.min(near("h") + 1, last)] = random(256);
      break;
    case 3: // an integer: a count, a size, a stride, an offset
      view.setUint32(
        Math.min(near(["K", "M", "J"][random(3)] as string) + 1, last),
        number(),
        true,
      );
      break;
    case 4: // a record of the archive
      view.setUint32(
        Math.min(
          near(
            ["PK\u0003\u0004", "PK\u0001\u0002", "PK\u0005\u0006", "PK\u0006\u0006"][
              random(4)
            ] as string,
          ) +
            4 +
            random(44),
          last,
        ),
        number(),
        true,
      );
      break;
    case 5: // a part of the file again, or without it
      return random(2) === 0
        ? joined(bytes.slice(0, near("q")), bytes.slice(near("q")))
        : joined(bytes, bytes.slice(near("PK")));
    case 6: // a text
      bytes[Math.min(near("X") + 1 + random(8), last)] = random(256);
      break;
    default: // the ends of the older form: counts in front of storages
      view.setUint32(Math.max(0, bytes.byteLength - 8 - random(200)), number(), true);
  }
  return bytes;
}

/** Spoils a header: numbers, names and types in it, and its length. */
function mutateSafetensors(seed: Bytes, random: Random): Bytes {
  if (random(3) === 0) return mutateBytes(seed, random);
  const length = Number(new DataView(seed.buffer).getBigUint64(0, true));
  let header = Buffer.from(seed.subarray(8, 8 + length)).toString("latin1");
  const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
  const replaceOne = (pattern: RegExp, by: string): void => {
    const found = [...header.matchAll(pattern)];
    if (found.length === 0) return;
    const { index, 0: text } = pick(found);
    header = header.slice(0, index) + by + header.slice(index + text.length);
  };
  for (let left = 1 + random(2); left > 0; left--) {
    switch (random(6)) {
      case 0:
        replaceOne(/\d+/g, pick(["0", "1", "-1", "4", "1e9", "9007199254740993", "0.5", "8", ""]));
        break;
      case 1:
        replaceOne(
          /"(?:F32|F16|I64|BF16|U8)"/g,
          pick(['"F4"', '"F8_E4M3"', '"I4"', '"F64"', '"f32"', "1"]),
        );
        break;
      case 2:
        replaceOne(/"[\w.]+":/g, pick(['"a":', '"__metadata__":', '"__proto__":', '"dtype":']));
        break;
      case 3:
        replaceOne(/[{}[\],:]/g, pick(["{", "}", "[", "]", ",", "", " "]));
        break;
      case 4:
        header = `${header}${" ".repeat(random(9))}`;
        break;
      default:
        header = header.slice(0, random(header.length)) + header.slice(random(header.length));
    }
  }
  const body = Buffer.from(header, "latin1");
  const start = new Uint8Array(8);
  const claimed = random(4) === 0 ? body.byteLength + random(9) - 4 : body.byteLength;
  new DataView(start.buffer).setBigUint64(0, BigInt(Math.max(0, claimed)), true);
  return joined(start, body, seed.slice(8 + length));
}

const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i);

/** Tensors that are put in order when they are read, one of which repeats its elements. */
const STRIDED = archiveOf(
  named({
    turned: tensor(storage("Float", "0", 6), [3, 2], [1, 3]),
    repeated: tensor(storage("Float", "0", 6), [8, 2], [0, 2], 1),
  }),
  { 0: floats(1, 2, 3, 4, 5, 6) },
);

/** In the order of the table in docs/reliability.md. */
export const WEIGHT_TARGETS: readonly FuzzTarget[] = [
  {
    name: "safetensors",
    seeds: [
      writeSafetensors(
        [
          { name: "conv_in.weight", dtype: "F32", shape: [2, 1, 3], data: counting(24) },
          { name: "conv_in.bias", dtype: "F16", shape: [2], data: counting(4) },
          { name: "scale", dtype: "BF16", shape: [], data: counting(2) },
          { name: "ids", dtype: "I64", shape: [1, 2], data: counting(16) },
        ],
        [["rank_unet", "4"]],
      ),
    ],
    mutate: mutateSafetensors,
    read: readSafetensors,
    isTyped,
  },
  {
    name: "torch.save, archive",
    seeds: [...["harmless.pkl", "rcod_s_mem.pkl"].map(torchFixture), STRIDED],
    mutate: mutateTorch,
    read: readTorch,
    isTyped,
  },
  {
    name: "torch.save, older form",
    seeds: ["harmless_legacy.pkl"].map(torchFixture),
    mutate: mutateTorch,
    read: readTorch,
    isTyped,
  },
];
