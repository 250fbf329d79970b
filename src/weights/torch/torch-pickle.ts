/**
 * The pickles in torch.save's files, read by an interpreter that can only build data.
 *
 * A pickle is a program: it may name any Python function and call it. Here the opcodes are those
 * that torch.save writes for dictionaries of tensors, and the only globals are the element types,
 * constructors and harmless classes of `torch-globals.ts`. Everything else is refused by name, and
 * nothing of it is ever looked up.
 *
 * Hostile pickles are bounded too: every opcode takes as long as what it reads and takes off the
 * stack, objects are counted, and the result is checked to be a tree of limited depth, of a size
 * that its pickle bounds. Shared containers could else stand for more values than fit into memory,
 * or contain themselves.
 */
import { quoted, WeightsError } from "../errors.ts";
import { isCount } from "../tensor-info.ts";
import { decodeUtf8 } from "../utf8.ts";
import { findGlobal } from "./torch-globals.ts";
import { REFUSED_OPCODES } from "./torch-opcodes.ts";
import type { TorchStorage } from "./torch-tensor.ts";
import { checkTree } from "./torch-tree.ts";
import { isKind, keyText, kindOf } from "./torch-value.ts";
import type { Item, TorchValue } from "./torch-value.ts";

/** Longest pickle, in bytes; those of 50,000 tensors have about 10 MiB. */
export const MAX_PICKLE_BYTES = 16 * 2 ** 20;

/** Most objects that one pickle may build: eight per tensor, each up to 200 bytes of memory. */
const MAX_OBJECTS = 400_000;

/** What the pickles of one file share. */
export interface PickleContext {
  /** Names the file in messages. */
  readonly where: string;
  /** Elements of a storage's persistent id: 5 in archives, 6 in the older form. */
  readonly storageIdLength: 5 | 6;
  readonly fileByteLength: number;
  /** Takes the storages that tensors name, by key. */
  readonly storages: Map<string, TorchStorage>;
  /** Throws where the file cannot hold a storage. */
  readonly checkStorage: (storage: TorchStorage) => void;
}

/**
 * Reads the pickle that begins at `start`, and where it ends.
 * @throws WeightsError with the opcode's position
 */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  context: PickleContext,
): { readonly value: TorchValue; readonly end: number } {
  const { value, end } = new Unpickler(bytes, start, context).read();
  return { value: checkTree(value, end - start, context.where), end };
}

/** Reads one pickle, opcode by opcode. */
class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #context: PickleContext;
  readonly #stack: Item[] = [];
  /** Heights of the stack at each MARK. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Item>();
  #objects = 0;
  #at: number;
  /** Position of the present opcode, for messages. */
  #opcodeAt: number;

  constructor(bytes: Uint8Array, start: number, context: PickleContext) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#context = context;
    this.#at = start;
    this.#opcodeAt = start;
  }

  read(): { readonly value: Item; readonly end: number } {
    if (this.#byte() !== 0x80) throw this.#error(`a pickle must begin with PROTO (0x80)`);
    this.#protocol();
    for (;;) {
      this.#opcodeAt = this.#at;
      const opcode = this.#byte();
      if (opcode === 0x2e) break; // STOP
      this.#execute(opcode);
    }
    const value = this.#pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) {
      throw this.#error(`a pickle must leave one value, got ${this.#stack.length} more`);
    }
    return { value, end: this.#at };
  }

  #execute(opcode: number): void {
    switch (opcode) {
      case 0x80:
        return this.#protocol();
      case 0x4e: // NONE
        return void this.#stack.push(null);
      case 0x88: // NEWTRUE
        return void this.#stack.push(true);
      case 0x89: // NEWFALSE
        return void this.#stack.push(false);
      case 0x4b: // BININT1
        return void this.#stack.push(this.#byte());
      case 0x4d: // BININT2
        return void this.#stack.push(this.#view.getUint16(this.#take(2), true));
      case 0x4a: // BININT
        return void this.#stack.push(this.#view.getInt32(this.#take(4), true));
      case 0x8a: // LONG1
        return void this.#stack.push(this.#long(this.#byte()));
      case 0x47: // BINFLOAT
        return void this.#stack.push(this.#view.getFloat64(this.#take(8), false));
      case 0x58: // BINUNICODE
        return void this.#stack.push(this.#text(this.#uint32()));
      case 0x55: // SHORT_BINSTRING, a text of Python 2
        return void this.#stack.push(this.#text(this.#byte()));
      case 0x28: // MARK
        return void this.#marks.push(this.#stack.length);
      case 0x29: // EMPTY_TUPLE
        return this.#make({ kind: "tuple", items: [] });
      case 0x85: // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        return this.#make({ kind: "tuple", items: this.#popMany(opcode - 0x84) });
      case 0x74: // TUPLE
        return this.#make({ kind: "tuple", items: this.#popToMark() });
      case 0x5d: // EMPTY_LIST
      case 0x8f: // EMPTY_SET
        return this.#make({ kind: "list", items: [] });
      case 0x61: // APPEND
        return this.#append([this.#pop()]);
      case 0x65: // APPENDS
        return this.#append(this.#popToMark());
      case 0x7d: // EMPTY_DICT
        return this.#make({ kind: "dict", entries: new Map() });
      case 0x73: // SETITEM
        return this.#setItems(this.#popMany(2));
      case 0x75: // SETITEMS
        return this.#setItems(this.#popToMark());
      case 0x71: // BINPUT
        return void this.#memo.set(this.#byte(), this.#top());
      case 0x72: // LONG_BINPUT
        return void this.#memo.set(this.#uint32(), this.#top());
      case 0x68: // BINGET
        return this.#recall(this.#byte());
      case 0x6a: // LONG_BINGET
        return this.#recall(this.#uint32());
      case 0x63:
        return this.#global();
      case 0x51: // BINPERSID
        return this.#make(this.#storage());
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        return this.#make(this.#reduce());
      case 0x62: // BUILD
        return this.#build();
      default: {
        const hex = `0x${opcode.toString(16).padStart(2, "0")}`;
        const name = REFUSED_OPCODES.get(opcode);
        throw this.#error(
          `pickle has the opcode ${name === undefined ? hex : `${name} (${hex})`}; refused: ` +
            `a checkpoint of tensors does not need it`,
        );
      }
    }
  }

  /** The bytes behind an opcode. */
  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.byteLength - at) throw this.#error("pickle ends within an opcode");
    this.#at += length;
    return at;
  }

  #byte(): number {
    return this.#view.getUint8(this.#take(1));
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #text(length: number): string {
    const at = this.#take(length);
    return decodeUtf8(
      this.#bytes.subarray(at, at + length),
      `byte ${at} of the pickle of ${this.#context.where}`,
    );
  }

  #protocol(): void {
    const version = this.#byte();
    if (version === 2) return;
    throw this.#error(
      `pickle protocol must be 2, got ${version}. Save the file with torch.save's own protocol`,
    );
  }

  /** A little-endian two's complement number of up to 255 bytes. */
  #long(length: number): number | bigint {
    const at = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(this.#bytes[at + i] as number);
    }
    value = BigInt.asIntN(length * 8, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #make(item: Item): void {
    this.#spend(1);
    this.#stack.push(item);
  }

  #spend(count: number): void {
    this.#objects += count;
    if (this.#objects <= MAX_OBJECTS) return;
    throw this.#error(`a pickle may build ${MAX_OBJECTS} objects, got more`);
  }

  /** Items below the innermost mark are out of reach until it is popped. */
  #popMany(count: number): Item[] {
    const start = this.#stack.length - count;
    if (start < (this.#marks.at(-1) ?? 0)) throw this.#error("pickle's stack is empty");
    return this.#stack.splice(start);
  }

  #pop(): Item {
    return this.#popMany(1)[0] as Item;
  }

  #popToMark(): Item[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#error("pickle's stack has no mark");
    return this.#stack.splice(mark);
  }

  #top(): Item {
    const top = this.#stack.at(-1);
    if (top === undefined || this.#stack.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.#error("pickle's stack is empty");
    }
    return top;
  }

  #recall(index: number): void {
    const item = this.#memo.get(index);
    if (item === undefined) throw this.#error(`pickle's memo has no entry ${index}`);
    this.#stack.push(item);
  }

  #append(items: readonly Item[]): void {
    const list = this.#top();
    if (!isKind(list, "list")) throw this.#unexpected("a list to append to", list);
    for (const item of items) list.items.push(item);
  }

  #setItems(items: readonly Item[]): void {
    const dict = this.#top();
    if (!isKind(dict, "dict")) throw this.#unexpected("a dictionary to fill", dict);
    if (items.length % 2 !== 0) throw this.#error("a dictionary's last key has no value");
    for (let i = 0; i < items.length; i += 2) {
      const key = keyText(items[i] as Item);
      if (key === null) throw this.#unexpected("a plain value as key", items[i] as Item);
      if (dict.entries.has(key)) {
        throw this.#error(`a dictionary has the key ${quoted(String(key))} twice`);
      }
      dict.entries.set(key, items[i + 1] as Item);
    }
  }

  #global(): void {
    const [module, name] = [this.#line(), this.#line()];
    const found = findGlobal(module, name);
    if (found !== null) return this.#make(found);
    const path = `${module}.${name}`;
    throw this.#error(
      `pickle asks for ${/^[\w.]{1,120}$/.test(path) ? path : quoted(path)}; refused: ` +
        `a checkpoint holds tensors and plain values. Do not use this file unless you know its origin`,
    );
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw this.#error("pickle ends within an opcode");
    const text = this.#text(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  /** A storage by its persistent id: ("storage", element type, key, location, count[, view]). */
  #storage(): TorchStorage {
    const id = this.#pop();
    const { storageIdLength, storages, checkStorage } = this.#context;
    const items = isKind(id, "tuple") ? id.items : [];
    const [tag, type, key, , elementCount, view = null] = items;
    if (
      items.length !== storageIdLength ||
      tag !== "storage" ||
      !isKind(type, "dtype") ||
      typeof key !== "string" ||
      !isCount(elementCount) ||
      view !== null
    ) {
      throw this.#unexpected(
        `a storage's id of ${storageIdLength} parts ("storage", type, key, location, count)`,
        id,
      );
    }
    const known = storages.get(key);
    if (known === undefined) {
      const storage: TorchStorage = { kind: "storage", key, dtype: type.dtype, elementCount };
      checkStorage(storage);
      storages.set(key, storage);
      return storage;
    }
    if (known.dtype === type.dtype && known.elementCount === elementCount) return known;
    throw this.#error(
      `storage ${quoted(key)} must be the same wherever it is named, got ${elementCount} elements ` +
        `of ${type.dtype} after ${known.elementCount} of ${known.dtype}`,
    );
  }

  #reduce(): Item {
    const [callable, args] = this.#popMany(2) as [Item, Item];
    if (!isKind(callable, "callable")) throw this.#unexpected("a function to call", callable);
    if (!isKind(args, "tuple")) throw this.#unexpected("a tuple of arguments", args);
    const { fileByteLength: maxByteLength, where } = this.#context;
    const spend = (count: number): void => this.#spend(count);
    const result = callable.call(args.items, { maxByteLength, where, spend });
    if (result !== null) return result;
    throw this.#unexpected(`the arguments that torch.save writes for ${callable.name}`, args);
  }

  /** Attributes: those of a state dict (`_metadata`) and of most other objects are dropped. */
  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    if (isKind(target, "opaque")) {
      target.state = state;
    } else if (!isKind(target, "dict")) {
      throw this.#unexpected("a dictionary to set attributes of", target);
    } else if (!isKind(state, "dict")) {
      throw this.#unexpected("a dictionary of attributes", state);
    }
  }

  #unexpected(expected: string, got: Item): WeightsError {
    return this.#error(`pickle must have ${expected}, got ${kindOf(got)}`);
  }

  #error(rule: string): WeightsError {
    const { where } = this.#context;
    return new WeightsError(`weights: ${rule} (byte ${this.#opcodeAt} of the pickle of ${where})`);
  }
}
