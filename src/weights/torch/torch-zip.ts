/**
 * The archive form of torch.save: a zip of stored (uncompressed) entries in one top folder.
 *
 * Sizes come from the central directory, because torch writes zeros in the local headers and appends
 * them to the data. Only the start of the data is known to the local header alone: its padding
 * differs from the directory's. It is read when an entry's data is, so that listing a file of
 * hundreds of entries takes three reads.
 *
 * Checksums are not compared: torch can be told to write archives without them
 * (`torch.serialization.set_crc32_options`), and reads of ranges could not be checked anyway.
 */
import { quoted, WeightsError } from "../errors.ts";
import { isRelativePath } from "../sources/files.ts";
import type { ByteSource } from "../sources/source.ts";
import { decodeUtf8 } from "../utf8.ts";

/** One stored entry of an archive. */
export interface ZipEntry {
  /** Path in the archive, with its top folder. */
  readonly path: string;
  /** First byte of the local header in front of the data. */
  readonly headerOffset: number;
  readonly byteLength: number;
  /** Where the next entry or the directory begins: the data ends before it. */
  readonly limit: number;
}

/** Longest central directory, in bytes; 100,000 entries have about 10 MiB. */
const MAX_DIRECTORY_BYTES = 16 * 2 ** 20;

const END_LENGTH = 22;
const END64_LENGTH = 56;
const LOCATOR64_LENGTH = 20;
const MAX_COMMENT_LENGTH = 0xffff;
const DIRECTORY_ENTRY_LENGTH = 46;
const LOCAL_HEADER_LENGTH = 30;

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const LOCATOR64_SIGNATURE = 0x07064b50;
const DIRECTORY_ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_HEADER_SIGNATURE = 0x04034b50;

/** Flag bits 0, 6 and 13: encrypted data, encrypted names. */
const ENCRYPTED = 0x2041;
const ZIP64_EXTRA = 1;
/** 32-bit and 16-bit fields of this value stand for a 64-bit field elsewhere. */
const IN_ZIP64 = 0xffffffff;
const IN_ZIP64_SHORT = 0xffff;

/** What the end record says of the central directory. */
interface Directory {
  readonly count: number;
  readonly byteLength: number;
  readonly offset: number;
}

/**
 * The entries of an archive by their path inside its top folder, checked as far as the directory
 * goes: names are plain and unique, data is stored as it is, and no two entries overlap.
 * @throws WeightsError naming the entry and the broken rule
 */
export async function readZipDirectory(
  source: ByteSource,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const directory = await findDirectory(source, signal);
  const bytes = await source.read(directory.offset, directory.byteLength, signal);
  const entries = parseDirectory(bytes, directory, quoted(source.name));
  const top = `${entries[0]?.path.split("/", 1)[0]}/`;
  const byName = new Map<string, ZipEntry>();
  for (const entry of entries) {
    const name = entry.path.slice(top.length);
    if (!entry.path.startsWith(top)) {
      throw new WeightsError(
        `weights: all entries of a torch file must lie in one folder, got ${quoted(entry.path)} ` +
          `beside ${quoted(top)} (${quoted(source.name)}). Is it another kind of archive?`,
      );
    }
    if (byName.has(name)) {
      throw new WeightsError(
        `weights: entry ${quoted(entry.path)} is twice in the archive (${quoted(source.name)})`,
      );
    }
    byName.set(name, entry);
  }
  return byName;
}

/**
 * First byte of an entry's data, from its local header.
 * @throws WeightsError when the header is another entry's, or its data would reach into the next
 */
export async function zipDataOffset(
  source: ByteSource,
  entry: ZipEntry,
  signal?: AbortSignal,
): Promise<number> {
  const { path, headerOffset, byteLength, limit } = entry;
  const where = `entry ${quoted(path)} of ${quoted(source.name)}`;
  const name = new TextEncoder().encode(path);
  const length = LOCAL_HEADER_LENGTH + name.byteLength;
  const bytes = await source.read(headerOffset, length, signal);
  const view = viewOf(bytes);
  const isSame =
    view.getUint32(0, true) === LOCAL_HEADER_SIGNATURE &&
    view.getUint16(26, true) === name.byteLength &&
    name.every((byte, i) => bytes[LOCAL_HEADER_LENGTH + i] === byte);
  if (!isSame) {
    throw new WeightsError(
      `weights: byte ${headerOffset} must begin the local header that the directory names ` +
        `(${where}). The file is damaged; download it again`,
    );
  }
  checkStored(view.getUint16(6, true), view.getUint16(8, true), where);
  for (const size of [view.getUint32(18, true), view.getUint32(22, true)]) {
    // Zero where the sizes follow the data, as torch writes them; the escape where they are in the extra field.
    if (size === 0 || size === IN_ZIP64 || size === byteLength) continue;
    throw new WeightsError(
      `weights: the local header must give the directory's ${byteLength} bytes, got ${size} ` +
        `(${where}). The file is damaged; download it again`,
    );
  }
  const dataOffset = headerOffset + length + view.getUint16(28, true);
  if (dataOffset + byteLength > limit) {
    throw new WeightsError(
      `weights: data must end before byte ${limit}, got bytes ${dataOffset} + ${byteLength} ` +
        `(${where}). The file is damaged; download it again`,
    );
  }
  return dataOffset;
}

/** Finds the end record, which only a comment may follow, and with it the directory. */
async function findDirectory(
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<Directory> {
  const where = quoted(source.name);
  const most = MAX_COMMENT_LENGTH + END_LENGTH + LOCATOR64_LENGTH + END64_LENGTH;
  const tailLength = Math.min(source.byteLength, most);
  const tailOffset = source.byteLength - tailLength;
  const tail = viewOf(await source.read(tailOffset, tailLength, signal));
  let at = tailLength - END_LENGTH;
  const isEnd = (): boolean =>
    tail.getUint32(at, true) === END_SIGNATURE &&
    at + END_LENGTH + tail.getUint16(at + 20, true) === tailLength;
  while (at >= 0 && !isEnd()) at--;
  if (at < 0) {
    throw new WeightsError(
      `weights: archive has no end record (${where}). The download looks truncated; reload it`,
    );
  }
  const classic: Directory = {
    count: tail.getUint16(at + 10, true),
    byteLength: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const locator = at - LOCATOR64_LENGTH;
  const has64 = locator >= 0 && tail.getUint32(locator, true) === LOCATOR64_SIGNATURE;
  const directory = has64 ? parseEnd64(tail, tailOffset, locator, classic, where) : classic;
  const { count, byteLength, offset } = directory;
  const end = tailOffset + (has64 ? locator - END64_LENGTH : at);
  if (offset + byteLength !== end || count * DIRECTORY_ENTRY_LENGTH > byteLength || count === 0) {
    throw new WeightsError(
      `weights: the archive's directory must end at byte ${end}, got bytes ${offset} + ` +
        `${byteLength} for ${count} entries (${where}). The file is damaged; download it again`,
    );
  }
  if (byteLength > MAX_DIRECTORY_BYTES) {
    throw new WeightsError(
      `weights: an archive's directory may have ${MAX_DIRECTORY_BYTES} bytes, got ${byteLength} ` +
        `(${where})`,
    );
  }
  return directory;
}

/** The zip64 end record, which stands before its locator and must not contradict the classic one. */
function parseEnd64(
  tail: DataView,
  tailOffset: number,
  locator: number,
  classic: Directory,
  where: string,
): Directory {
  const at = locator - END64_LENGTH;
  const isThere =
    at >= 0 &&
    tail.getUint32(at, true) === END64_SIGNATURE &&
    integer64(tail, locator + 8) === tailOffset + at;
  const directory: Directory | null = isThere
    ? {
        count: integer64(tail, at + 32),
        byteLength: integer64(tail, at + 40),
        offset: integer64(tail, at + 48),
      }
    : null;
  const agrees = (value: number, short: number, escape: number): boolean =>
    short === escape || short === value;
  if (
    directory !== null &&
    agrees(directory.count, classic.count, IN_ZIP64_SHORT) &&
    agrees(directory.byteLength, classic.byteLength, IN_ZIP64) &&
    agrees(directory.offset, classic.offset, IN_ZIP64)
  ) {
    return directory;
  }
  throw new WeightsError(
    `weights: the archive's two end records must agree (${where}). The file is damaged; ` +
      `download it again`,
  );
}

/** The entries in the order of their bytes. */
function parseDirectory(bytes: Uint8Array, directory: Directory, where: string): ZipEntry[] {
  const view = viewOf(bytes);
  const parsed: Omit<ZipEntry, "limit">[] = [];
  let at = 0;
  while (at < bytes.byteLength) {
    const isEntry =
      at + DIRECTORY_ENTRY_LENGTH <= bytes.byteLength &&
      view.getUint32(at, true) === DIRECTORY_ENTRY_SIGNATURE;
    const nameOffset = at + DIRECTORY_ENTRY_LENGTH;
    const extraOffset = isEntry ? nameOffset + view.getUint16(at + 28, true) : Infinity;
    const extraEnd = isEntry ? extraOffset + view.getUint16(at + 30, true) : Infinity;
    const end = isEntry ? extraEnd + view.getUint16(at + 32, true) : Infinity;
    if (end > bytes.byteLength) {
      throw new WeightsError(
        `weights: the archive's directory is broken at entry ${parsed.length} (${where}). ` +
          `The file is damaged; download it again`,
      );
    }
    const path = decodeUtf8(bytes.subarray(nameOffset, extraOffset), `directory of ${where}`);
    if (!isRelativePath(path)) {
      throw new WeightsError(
        `weights: names in an archive must be relative with plain parts, got ${quoted(path)} ` +
          `(${where}). Do not use this file`,
      );
    }
    checkStored(
      view.getUint16(at + 8, true),
      view.getUint16(at + 10, true),
      `entry ${quoted(path)} of ${where}`,
    );
    const extra = new DataView(
      bytes.buffer,
      bytes.byteOffset + extraOffset,
      extraEnd - extraOffset,
    );
    parsed.push({ path, ...entryPlace(view, at, extra, `entry ${quoted(path)} of ${where}`) });
    at = end;
  }
  if (parsed.length !== directory.count) {
    throw new WeightsError(
      `weights: the archive's directory must have ${directory.count} entries, got ` +
        `${parsed.length} (${where}). The file is damaged; download it again`,
    );
  }
  return withLimits(parsed, directory.offset, where);
}

/** Size and position of an entry, from the 32-bit fields or the zip64 extra field. */
function entryPlace(
  view: DataView,
  at: number,
  extra: DataView,
  where: string,
): { readonly byteLength: number; readonly headerOffset: number } {
  const wide = zip64Fields(extra);
  const field = (value: number): number => {
    if (value !== IN_ZIP64) return value;
    const position = wide.next;
    wide.next += 8;
    if (position + 8 <= wide.end) return integer64(extra, position);
    throw new WeightsError(`weights: zip64 sizes are missing (${where}). The file is damaged`);
  };
  // The order of the zip64 fields: size, stored size, position.
  const byteLength = field(view.getUint32(at + 24, true));
  const storedLength = field(view.getUint32(at + 20, true));
  const headerOffset = field(view.getUint32(at + 42, true));
  if (byteLength !== storedLength) {
    throw new WeightsError(
      `weights: stored data must have one size, got ${byteLength} and ${storedLength} (${where})`,
    );
  }
  return { byteLength, headerOffset };
}

/** Where the zip64 fields lie in an extra field; an empty range when it has none. */
function zip64Fields(extra: DataView): { next: number; readonly end: number } {
  let at = 0;
  while (at + 4 <= extra.byteLength) {
    const end = at + 4 + extra.getUint16(at + 2, true);
    if (extra.getUint16(at, true) === ZIP64_EXTRA) {
      return { next: at + 4, end: Math.min(end, extra.byteLength) };
    }
    at = end;
  }
  return { next: 0, end: 0 };
}

/** The entries by position, with the start of the next one; refuses those that would reach into it. */
function withLimits(
  entries: readonly Omit<ZipEntry, "limit">[],
  directoryOffset: number,
  where: string,
): ZipEntry[] {
  const sorted = entries.toSorted((a, b) => a.headerOffset - b.headerOffset);
  return sorted.map((entry, i) => {
    const { path, headerOffset, byteLength } = entry;
    const limit = sorted[i + 1]?.headerOffset ?? directoryOffset;
    // In UTF-16 units, which are never more than the name's bytes.
    const least = LOCAL_HEADER_LENGTH + path.length + byteLength;
    if (headerOffset + least <= limit) return { ...entry, limit };
    throw new WeightsError(
      `weights: entry ${quoted(path)} of ${byteLength} bytes at ${headerOffset} must end before ` +
        `byte ${limit} (${where}). The file is damaged; download it again`,
    );
  });
}

function checkStored(flags: number, method: number, where: string): void {
  if (method === 0 && (flags & ENCRYPTED) === 0) return;
  throw new WeightsError(
    `weights: entries of a torch file must be stored as they are, got ` +
      `${method === 0 ? "encryption" : `compression method ${method}`} (${where}). ` +
      `torch.save never does that; save the file again`,
  );
}

/** An unsigned 64-bit number; what a double cannot hold is beyond every file and becomes infinite. */
function integer64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
