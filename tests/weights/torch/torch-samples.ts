/** Writes torch.save's files, good and broken ones. */
import { readFileSync } from "node:fs";
import { utf8 } from "../samples.ts";

/** A file of tests/fixtures/torch. */
export function torchFixture(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../fixtures/torch/${name}`, import.meta.url)));
}

/** Opcodes with their operands. */
export type Code = readonly number[];

const bytesOf = (length: number, write: (view: DataView) => void): number[] => {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return [...bytes];
};

export const NONE: Code = [0x4e];
export const FALSE: Code = [0x89];
export const text = (value: string): Code => {
  const bytes = utf8(value);
  return [0x58, ...bytesOf(4, (view) => view.setUint32(0, bytes.byteLength, true)), ...bytes];
};
export const int = (value: number): Code => [
  0x4a,
  ...bytesOf(4, (view) => view.setInt32(0, value, true)),
];
export const float = (value: number): Code => [
  0x47,
  ...bytesOf(8, (view) => view.setFloat64(0, value, false)),
];
export const tuple = (...items: Code[]): Code => [0x28, ...items.flat(), 0x74];
export const list = (...items: Code[]): Code => [0x5d, 0x28, ...items.flat(), 0x65];
export const dict = (...pairs: (readonly [Code, Code])[]): Code => [
  0x7d,
  0x28,
  ...pairs.flat(2),
  0x75,
];
export const named = (pairs: Record<string, Code>): Code =>
  dict(...Object.entries(pairs).map(([key, value]) => [text(key), value] as const));
export const global = (module: string, name: string): Code => [
  0x63,
  ...utf8(`${module}\n${name}\n`),
];
export const call = (callable: Code, ...args: Code[]): Code => [
  ...callable,
  ...tuple(...args),
  0x52,
];
export const put = (index: number): Code => [0x71, index];
export const get = (index: number): Code => [0x68, index];

export const ORDERED_DICT = call(global("collections", "OrderedDict"));

/** A storage's persistent id; `view` makes it that of the older form. */
export const storage = (type: string, key: string, count: number, view?: Code): Code => [
  ...tuple(
    text("storage"),
    global("torch", `${type}Storage`),
    text(key),
    text("cpu"),
    int(count),
    ...(view === undefined ? [] : [view]),
  ),
  0x51,
];

/** A tensor; strides are contiguous unless given. */
export function tensor(
  of: Code,
  shape: readonly number[],
  stride: readonly number[] = shape.map((_, d) =>
    shape.slice(d + 1).reduce((product, size) => product * size, 1),
  ),
  offset = 0,
): Code {
  const sizes = (values: readonly number[]): Code => tuple(...values.map(int));
  const rebuild = global("torch._utils", "_rebuild_tensor_v2");
  return call(rebuild, of, int(offset), sizes(shape), sizes(stride), FALSE, ORDERED_DICT);
}

export const parameter = (of: Code): Code =>
  call(global("torch._utils", "_rebuild_parameter"), of, FALSE, ORDERED_DICT);

/** A whole pickle. */
export const pickle = (value: Code): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([0x80, 2, ...value, 0x2e]);

export interface ZipOptions {
  /** zip64 end records; the classic one then holds no sizes. */
  readonly zip64?: boolean;
  readonly comment?: string;
}

/** An archive as torch lays it out: sizes behind the data, and data at multiples of 64 bytes. */
export function zipOf(
  entries: readonly (readonly [path: string, data: Uint8Array])[],
  { zip64 = false, comment = "" }: ZipOptions = {},
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let at = 0;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    at += part.byteLength;
  };
  const record = (length: number, write: (view: DataView) => void): Uint8Array =>
    Uint8Array.from(bytesOf(length, write));
  const directory: Uint8Array[] = [];
  for (const [path, data] of entries) {
    const name = utf8(path);
    const offset = at;
    const padding = 4 + ((64 - ((at + 30 + name.byteLength + 4) % 64)) % 64);
    const local = (view: DataView): void => {
      view.setUint32(0, 0x04034b50, true);
      view.setUint16(6, 0x0808, true);
      view.setUint16(26, name.byteLength, true);
      view.setUint16(28, padding, true);
    };
    add(record(30, local));
    add(name);
    add(record(padding, (view) => view.setUint32(0, 0x4246 | ((padding - 4) << 16), true)));
    add(data);
    add(record(16, (view) => view.setUint32(0, 0x08074b50, true)));
    const extra = zip64
      ? record(28, (view) => {
          view.setUint32(0, 1 | (24 << 16), true);
          view.setBigUint64(4, BigInt(data.byteLength), true);
          view.setBigUint64(12, BigInt(data.byteLength), true);
          view.setBigUint64(20, BigInt(offset), true);
        })
      : new Uint8Array(0);
    directory.push(
      record(46, (view) => {
        view.setUint32(0, 0x02014b50, true);
        view.setUint16(8, 0x0808, true);
        view.setUint32(20, zip64 ? 0xffffffff : data.byteLength, true);
        view.setUint32(24, zip64 ? 0xffffffff : data.byteLength, true);
        view.setUint16(28, name.byteLength, true);
        view.setUint16(30, extra.byteLength, true);
        view.setUint32(42, zip64 ? 0xffffffff : offset, true);
      }),
      name,
      extra,
    );
  }
  const start = at;
  for (const part of directory) add(part);
  const size = at - start;
  if (zip64) {
    const end64 = at;
    add(
      record(56, (view) => {
        view.setUint32(0, 0x06064b50, true);
        view.setBigUint64(4, 44n, true);
        view.setBigUint64(24, BigInt(entries.length), true);
        view.setBigUint64(32, BigInt(entries.length), true);
        view.setBigUint64(40, BigInt(size), true);
        view.setBigUint64(48, BigInt(start), true);
      }),
    );
    add(
      record(20, (view) => {
        view.setUint32(0, 0x07064b50, true);
        view.setBigUint64(8, BigInt(end64), true);
        view.setUint32(16, 1, true);
      }),
    );
  }
  const note = utf8(comment);
  add(
    record(22, (view) => {
      view.setUint32(0, 0x06054b50, true);
      view.setUint16(8, zip64 ? 0xffff : entries.length, true);
      view.setUint16(10, zip64 ? 0xffff : entries.length, true);
      view.setUint32(12, zip64 ? 0xffffffff : size, true);
      view.setUint32(16, zip64 ? 0xffffffff : start, true);
      view.setUint16(20, note.byteLength, true);
    }),
  );
  add(note);
  const file = new Uint8Array(at);
  let to = 0;
  for (const part of parts) {
    file.set(part, to);
    to += part.byteLength;
  }
  return file;
}

export interface ArchiveOptions extends ZipOptions {
  readonly byteorder?: string;
  readonly top?: string;
}

/** A torch file of a pickle and the storages by key. */
export function archiveOf(
  value: Code | Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
  { byteorder, top = "archive", ...zip }: ArchiveOptions = {},
): Uint8Array<ArrayBuffer> {
  const entries: [string, Uint8Array][] = [
    [`${top}/data.pkl`, value instanceof Uint8Array ? value : pickle(value)],
  ];
  if (byteorder !== undefined) entries.push([`${top}/byteorder`, utf8(byteorder)]);
  for (const [key, data] of Object.entries(storages)) entries.push([`${top}/data/${key}`, data]);
  entries.push([`${top}/version`, utf8("3\n")]);
  return zipOf(entries, zip);
}

/** A torch file in the older form. Storages follow in the order of `keys`. */
export function legacyOf(
  value: Code,
  storages: Readonly<Record<string, { readonly count: number; readonly data: Uint8Array }>> = {},
  { keys = Object.keys(storages), littleEndian = true } = {},
): Uint8Array<ArrayBuffer> {
  const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  const parts = [
    pickle(magic),
    pickle(int(1001)),
    pickle(named({ protocol_version: int(1001), little_endian: [littleEndian ? 0x88 : 0x89] })),
    pickle(value),
    pickle(list(...keys.map(text))),
    ...keys.flatMap((key) => {
      const { count, data } = storages[key] ?? { count: 0, data: new Uint8Array(0) };
      return [
        Uint8Array.from(bytesOf(8, (view) => view.setBigInt64(0, BigInt(count), true))),
        data,
      ];
    }),
  ];
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The bytes of 32-bit floats. */
export function floats(...values: number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Float32Array.from(values).buffer);
}
