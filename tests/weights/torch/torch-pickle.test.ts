import { describe, expect, test } from "vitest";
import { readPickle } from "../../../src/weights/torch/torch-pickle.ts";
import type { TorchStorage } from "../../../src/weights/torch/torch-tensor.ts";
import type { TorchValue } from "../../../src/weights/torch/torch-value.ts";
import { failureOf, utf8 } from "../samples.ts";
import type { Code } from "./torch-samples.ts";
import {
  FALSE,
  NONE,
  ORDERED_DICT,
  call,
  dict,
  float,
  get,
  global,
  int,
  list,
  named,
  parameter,
  pickle,
  put,
  storage,
  tensor,
  text,
  tuple,
} from "./torch-samples.ts";

function read(bytes: Uint8Array, start = 0): TorchValue {
  const storages = new Map<string, TorchStorage>();
  const checkStorage = (): void => undefined;
  const context = {
    where: '"x"',
    storageIdLength: 5,
    fileByteLength: 1000,
    storages,
    checkStorage,
  } as const;
  return readPickle(bytes, start, context).value;
}

const valueOf = (code: Code): TorchValue => read(pickle(code));
const failure = (code: Code): Promise<string> => failureOf(() => valueOf(code));

const listOf = (...items: TorchValue[]) => ({ kind: "list", items });
const tupleOf = (...items: TorchValue[]) => ({ kind: "tuple", items });
const dictOf = (...entries: [string | number, TorchValue][]) => ({
  kind: "dict",
  entries: new Map(entries),
});

describe("values", () => {
  test.each<[string, Code, unknown]>([
    ["NONE", NONE, null],
    ["NEWTRUE", [0x88], true],
    ["NEWFALSE", [0x89], false],
    ["BININT1", [0x4b, 255], 255],
    ["BININT2", [0x4d, 1, 2], 513],
    ["BININT", int(-2), -2],
    ["LONG1 of no bytes", [0x8a, 0], 0],
    ["LONG1", [0x8a, 3, 1, 0, 0x80], -8388607],
    ["LONG1 of a large number", [0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0x40], 2n ** 62n],
    ["BINFLOAT", float(-0.1), -0.1],
    ["BINUNICODE", text("Größe"), "Größe"],
    ["EMPTY_TUPLE", [0x29], tupleOf()],
    ["TUPLE1", [...int(1), 0x85], tupleOf(1)],
    ["TUPLE2", [...int(1), ...int(2), 0x86], tupleOf(1, 2)],
    ["TUPLE3", [...int(1), ...int(2), ...int(3), 0x87], tupleOf(1, 2, 3)],
    ["TUPLE", tuple(int(1), tuple(), int(2)), tupleOf(1, tupleOf() as TorchValue, 2)],
    ["EMPTY_LIST", [0x5d], listOf()],
    ["APPEND", [0x5d, ...int(1), 0x61, ...int(2), 0x61], listOf(1, 2)],
    ["APPENDS", list(int(1), int(2)), listOf(1, 2)],
    ["EMPTY_DICT", [0x7d], dictOf()],
    ["SETITEM", [0x7d, ...text("a"), ...int(1), 0x73], dictOf(["a", 1])],
    ["SETITEMS", dict([int(3), int(1)], [text("b"), NONE]), dictOf([3, 1], ["b", null])],
    ["OrderedDict", [...ORDERED_DICT, ...text("a"), ...int(1), 0x73], dictOf(["a", 1])],
    [
      "_metadata",
      [...ORDERED_DICT, ...named({ _metadata: named({ version: int(1) }) }), 0x62],
      dictOf(),
    ],
    ["Size", call(global("torch", "Size"), tuple(int(2), int(3))), tupleOf(2, 3)],
    ["SHORT_BINSTRING", [0x55, 2, ...utf8("ab")], "ab"],
    ["EMPTY_SET", [0x8f], listOf()],
    ["a set", call(global("__builtin__", "set"), list(int(1), int(2))), listOf(1, 2)],
    ["a device", call(global("torch", "device"), text("cuda"), int(1)), "cuda:1"],
    ["a dtype", global("torch", "float16"), "torch.float16"],
    ["a path", call(global("pathlib", "PosixPath"), text("/"), text("a"), text("b")), "/a/b"],
    [
      "Counter, defaultdict",
      list(call(global("collections", "Counter"), named({ a: int(1) })), [
        ...call(global("collections", "defaultdict"), global("__builtin__", "list")),
        ...text("b"),
        ...int(2),
        0x73,
      ]),
      listOf(dictOf(["a", 1]) as TorchValue, dictOf(["b", 2]) as TorchValue),
    ],
    [
      "OrderedDict of pairs, as Python 2 writes it",
      call(global("collections", "OrderedDict"), list(list(text("a"), int(1)))),
      dictOf(["a", 1]),
    ],
    [
      "a Namespace",
      [...global("argparse", "Namespace"), 0x29, 0x81, ...named({ lr: float(0.5) }), 0x62],
      dictOf(["lr", 0.5]),
    ],
    [
      "a number of numpy",
      call(
        global("numpy._core.multiarray", "scalar"),
        call(global("numpy", "dtype"), text("i8"), FALSE, [0x88]),
        call(global("_codecs", "encode"), text("\u0004\0\0\0\0\0\0\u0000"), text("latin1")),
      ),
      4,
    ],
    ["an array of numpy", call(global("numpy.core.multiarray", "_reconstruct")), "<numpy.ndarray>"],
    [
      "other keys",
      dict([NONE, int(1)], [tuple(int(1), text("a")), int(2)], [float(0.5), int(3)]),
      dictOf(["None", 1], ['(1, "a")', 2], ["0.5", 3]),
    ],
    ["attributes that are dropped", [...ORDERED_DICT, ...named({ x: NONE }), 0x62], dictOf()],
    ["BINPUT, BINGET", [0x28, ...text("a"), ...put(7), ...get(7), 0x74], tupleOf("a", "a")],
    [
      "LONG_BINPUT, LONG_BINGET",
      [0x28, ...text("a"), 0x72, 1, 0, 0, 0xff, 0x6a, 1, 0, 0, 0xff, 0x74],
      tupleOf("a", "a"),
    ],
    [
      "MARK inside MARK",
      tuple(tuple(int(1)), tuple()),
      tupleOf(tupleOf(1) as TorchValue, tupleOf() as TorchValue),
    ],
  ])("%s", (_name, code, expected) => {
    expect(valueOf(code)).toEqual(expected);
  });

  test("a tensor describes itself", () => {
    expect(valueOf(parameter(tensor(storage("Half", "k", 9), [2, 3], [1, 2], 3)))).toEqual({
      kind: "tensor",
      dtype: "F16",
      shape: [2, 3],
      stride: [1, 2],
      offset: 3,
      byteLength: 12,
      storage: { kind: "storage", key: "k", dtype: "F16", elementCount: 9 },
    });
  });

  test("several follow each other", () => {
    const bytes = Uint8Array.of(...pickle(int(1)), ...pickle(text("b")));
    expect(read(bytes, pickle(int(1)).byteLength)).toBe("b");
  });
});

describe("globals", () => {
  test.each([
    ["posix", "system"],
    ["os", "system"],
    ["builtins", "eval"],
    ["torch", "load"],
    ["torch", "FloatTensor"],
    ["torch._utils", "_import_dotted_name"],
    ["collections", "namedtuple"],
    ["builtins", "getattr"],
    ["functools", "partial"],
    ["constructor", "name"],
    ["__proto__", "toString"],
    ["torch", "__proto__"],
    ["torch._utils._rebuild_tensor_v2", ""],
    ["numpy.core.multiarray", "fromstring"],
    // Pairs that read like an allowed one when a dot joins them.
    ["torch", "_utils._rebuild_tensor_v2"],
    ["torch._utils", "._rebuild_tensor_v2"],
    ["collections", "OrderedDict.fromkeys"],
    ["torch.nn", "parameter.Parameter"],
    ["", "torch.Size"],
    ["torch.storage", "FloatStorage"],
    ["torch\r", "Size"],
    ["torch", "Size\r"],
  ])("%s.%s is refused by name, called or not", async (module, name) => {
    const asked = [...global(module, name), ...text("x"), 0x85, 0x52];
    const path = `${module}.${name}`;
    const printed = /^[\w.]*$/.test(path) ? path : JSON.stringify(path);
    const message =
      `weights: pickle asks for ${printed}; refused: a checkpoint holds tensors and plain values. ` +
      `Do not use this file unless you know its origin (byte 2 of the pickle of "x")`;
    expect(await failure(asked)).toBe(message);
    expect(await failure(global(module, name))).toBe(message);
  });

  test("a name that cannot be printed is quoted", async () => {
    expect(await failure(global("a\u001b[31m", "b"))).toContain('asks for "a\\u001b[31m.b";');
    expect(await failure(global("x".repeat(1e6), "b"))).toMatch(/asks for "x{120}"… \(1000002 ch/);
  });

  test("storage types are no functions; as values all are texts", async () => {
    expect(await failure(call(global("torch", "FloatStorage"), int(9)))).toMatch(
      /a function to call, got torch.FloatStorage/,
    );
    expect(valueOf(global("torch", "FloatStorage"))).toBe("torch.FloatStorage");
    expect(valueOf(list(global("torch", "Size")))).toEqual(listOf("torch.Size"));
    expect(valueOf(storage("Float", "0", 1))).toBe("a storage");
  });
});

describe("opcodes", () => {
  const LEGAL = new Set([
    0x80, 0x2e, 0x28, 0x7d, 0x5d, 0x29, 0x71, 0x72, 0x68, 0x6a, 0x58, 0x4a, 0x4b, 0x4d, 0x8a, 0x47,
    0x88, 0x89, 0x4e, 0x85, 0x86, 0x87, 0x74, 0x61, 0x65, 0x73, 0x75, 0x63, 0x52, 0x62, 0x51, 0x55,
    0x81, 0x8f,
  ]);

  test("all others are refused, by name where they have one", async () => {
    const refused = Array.from({ length: 256 }, (_, opcode) => opcode).filter(
      (opcode) => !LEGAL.has(opcode),
    );
    for (const opcode of refused) {
      const hex = opcode.toString(16).padStart(2, "0");
      const message = await failureOf(() =>
        valueOf([...int(1), opcode, ...Array<number>(9).fill(0)]),
      );
      expect(message).toMatch(
        new RegExp(`pickle has the opcode (0x${hex}|[A-Z0-9_]+ \\(0x${hex}\\)); refused`),
      );
    }
    expect(await failure([0x93])).toContain("the opcode STACK_GLOBAL (0x93); refused");
    expect(await failure([0x69])).toContain("the opcode INST (0x69); refused");
    expect(await failure([0xff])).toContain("the opcode 0xff; refused");
  });

  test.each<[string, Code, RegExp]>([
    ["another protocol", [0x80, 4], /protocol must be 2, got 4/],
    ["an empty stack", [0x85], /stack is empty/],
    ["an empty stack at the end", [], /stack is empty \(byte 2 /],
    ["a value too many", [...int(1), ...int(2)], /one value, got 1 more/],
    ["an open mark", [...int(1), 0x28, ...int(2)], /must leave one value/],
    ["no mark", [...int(1), 0x74], /has no mark/],
    ["items below the mark", [0x5d, ...int(1), 0x28, 0x61, 0x74], /stack is empty/],
    ["a memo of nothing", put(1), /stack is empty/],
    ["a memo below the mark", [...int(1), 0x28, ...put(1), 0x74], /stack is empty/],
    ["an unknown memo entry", get(3), /memo has no entry 3/],
    ["appending to a tuple", [0x29, ...int(1), 0x61], /a list to append to, got a tuple of 0/],
    ["filling a list", [0x5d, ...int(1), ...int(1), 0x73], /a dictionary to fill, got a list/],
    ["a key without a value", [0x7d, 0x28, ...int(1), 0x75], /last key has no value/],
    ["a key twice", named({ a: NONE }).concat(text("a"), NONE, 0x73), /the key "a" twice/],
    ["a key that is a list", dict([[0x5d], NONE]), /a plain value as key, got a list/],
    [
      "a key of many",
      dict([tuple(...Array<Code>(9).fill(NONE)), NONE]),
      /as key, got a tuple of 9/,
    ],
    [
      "attributes of a list",
      [0x5d, ...named({ _metadata: NONE }), 0x62],
      /attributes of, got a list/,
    ],
    [
      "attributes that are none",
      [...ORDERED_DICT, ...NONE, 0x62],
      /a dictionary of attributes, got/,
    ],
    [
      "a call with a list",
      [...global("torch", "Size"), 0x5d, 0x52],
      /tuple of arguments, got a list/,
    ],
    ["a call of a text", call(text("f"), NONE), /a function to call, got "f"/],
    ["arguments for OrderedDict", call(global("collections", "OrderedDict"), int(1)), /writes for/],
    ["a Size of an integer", call(global("torch", "Size"), int(1)), /writes for torch.Size/],
    ["a parameter of None", parameter(NONE), /writes for torch._utils._rebuild_parameter/],
    ["a tensor of None", tensor(NONE, [1]), /writes for torch._utils._rebuild_tensor_v2/],
    ["an id that is a text", [...text("0"), 0x51], /a storage's id of 5 parts .*, got "0"/],
    [
      "an id without a type",
      [...tuple(text("storage"), NONE, text("0"), NONE, int(1)), 0x51],
      /id of/,
    ],
    ["a negative count", storage("Float", "0", -1), /a storage's id of 5 parts/],
    ["a text that is cut", [0x58, 99, 0, 0, 0, 65], /ends within an opcode/],
    ["a text that is none", [0x58, 1, 0, 0, 0, 0xff], /must be UTF-8/],
    ["a global that is cut", [0x63, ...utf8("os")], /ends within an opcode/],
  ])("refuses %s", async (_name, code, message) => {
    expect(await failure(code)).toMatch(message);
  });

  test("refuses every cut, and what is no pickle", async () => {
    const whole = pickle(list(text("ab"), tensor(storage("Float", "0", 3), [3])));
    expect(read(whole)).toMatchObject({ kind: "list" });
    for (let length = 0; length < whole.byteLength; length++) {
      await failureOf(() => read(whole.slice(0, length)));
    }
    expect(await failureOf(() => read(utf8("(lp0")))).toMatch(/must begin with PROTO/);
  });
});

describe("bounds", () => {
  // Milliseconds on an idle machine; what is not linear would take minutes or for ever.
  const MAX_MS = 20_000;
  const timed = async (code: Code | Uint8Array): Promise<string> => {
    const start = performance.now();
    const bytes = code instanceof Uint8Array ? code : pickle(code);
    const message = await failureOf(() => read(bytes));
    expect(performance.now() - start).toBeLessThan(MAX_MS);
    return message;
  };

  test("lists that contain themselves, and dictionaries", async () => {
    expect(await timed([0x5d, ...put(0), ...get(0), 0x61])).toMatch(/contains itself/);
    const self = [0x7d, ...put(0), ...text("a"), ...get(0), 0x73];
    expect(await timed(self)).toMatch(/contains itself/);
    const pair = [0x5d, ...put(0), 0x28, ...get(0), ...get(0), 0x65];
    expect(await timed(pair)).toMatch(/contains itself/);
  });

  test("tuples of tuples that stand for 2^50 values", async () => {
    const doubling = Array.from({ length: 50 }, (_, i) => [...put(i), ...get(i), 0x86]).flat();
    expect(await timed([...int(1), ...doubling])).toMatch(/repeats or contains itself/);
  });

  test("a long text many times", async () => {
    const many = Array.from({ length: 1000 }, () => get(0)).flat();
    const code = [0x28, ...text("x".repeat(10_000)), ...put(0), ...many, 0x74];
    expect(await timed(code)).toMatch(/repeats or contains itself/);
  });

  test("what calls make of shared arguments", async () => {
    // One list of pairs, made into a dictionary again and again.
    const pairs = list(...Array.from({ length: 2000 }, (_, i) => list(int(i), int(i))));
    const again = [...get(1), ...get(0), 0x85, 0x52];
    const code = [
      ...global("collections", "OrderedDict"),
      ...put(1),
      0x28,
      ...pairs,
      ...put(0),
      ...Array.from({ length: 1000 }, () => again).flat(),
    ];
    expect(await timed([...code, 0x74, 0x86])).toMatch(/may build 400000 objects/);
    const path = [...get(1), ...get(0), ...get(0), 0x86, 0x52];
    const paths = [
      ...global("pathlib", "PosixPath"),
      ...put(1),
      0x28,
      ...text("x".repeat(10_000)),
      ...put(0),
      ...Array.from({ length: 1000 }, () => path).flat(),
    ];
    expect(await timed([...paths, 0x74, 0x86])).toMatch(/may build 400000 objects/);
  });

  test("attributes of a Namespace that contain it", async () => {
    const self = [
      ...global("argparse", "Namespace"),
      0x29,
      0x81,
      ...put(0),
      ...named({ self: get(0) }),
      0x62,
    ];
    expect(await timed(self)).toMatch(/contains itself/);
  });

  test("nesting of 64 levels and no more", async () => {
    const nested = (depth: number): Code => [0x29, ...Array<number>(depth).fill(0x85)];
    expect(valueOf(nested(64))).toMatchObject({ kind: "tuple" });
    expect(await timed(nested(65))).toMatch(/up to 64 levels/);
    expect(await timed(nested(100_000))).toMatch(/up to 64 levels/);
  });

  test("the number of objects", async () => {
    const bytes = new Uint8Array(400_010).fill(0x7d);
    bytes.set([0x80, 2]);
    expect(await timed(bytes)).toMatch(/may build 400000 objects/);
  });

  test("marks, memo entries and integers by the million take linear time", async () => {
    const million = 1_000_000;
    const marks = new Uint8Array(million).fill(0x28);
    marks.set([0x80, 2]);
    expect(await timed(marks)).toMatch(/ends within an opcode/);
    const ints = new Uint8Array(2 * million).fill(0x4b);
    ints.set([0x80, 2]);
    expect(await timed(ints)).toMatch(/ends within an opcode/);
    const puts = new Uint8Array(5 * million + 3);
    const view = new DataView(puts.buffer);
    puts.set([0x80, 2, 0x4e]);
    for (let i = 0; i < million; i++) {
      view.setUint8(3 + 5 * i, 0x72);
      view.setUint32(4 + 5 * i, i, true);
    }
    expect(await timed(puts)).toMatch(/ends within an opcode/);
  });
});
