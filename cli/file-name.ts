/**
 * File names as the system has them. A name is bytes; those that are no UTF-8 have no string of their own. Here each
 * stray byte is a lone surrogate U+DC80 … U+DCFF, so that `join`, `dirname` and `extname` work on any name.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { lstat, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const STRAY = 0xdc00;
const STRAY_PATTERN = /[\udc80-\udcff]/;
/** What Node makes of bytes that are no UTF-8, as in `process.argv`. */
const REPLACEMENT = "\ufffd";

/** The string for a name's bytes. */
export function nameFromBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return Buffer.from(bytes).toString("utf8");
  let name = "";
  for (let at = 0; at < bytes.length;) {
    const size = utf8Size(bytes, at);
    name +=
      size === 0
        ? String.fromCharCode(STRAY + (bytes[at] as number))
        : Buffer.from(bytes.subarray(at, at + size)).toString("utf8");
    at += Math.max(1, size);
  }
  return name;
}

/** Bytes of the well-formed character at `at`; 0 where there is none. */
function utf8Size(bytes: Uint8Array, at: number): number {
  for (let size = 1; size <= 4 && at + size <= bytes.length; size++) {
    if (isUtf8(bytes.subarray(at, at + size))) return size;
  }
  return 0;
}

/** The path as calls of `node:fs` take it. */
export function systemPath(path: string): string | Buffer {
  if (!STRAY_PATTERN.test(path)) return path;
  const parts: Buffer[] = [];
  for (const part of path.split(/([\udc80-\udcff])/)) {
    parts.push(
      STRAY_PATTERN.test(part)
        ? Buffer.from([part.charCodeAt(0) - STRAY])
        : Buffer.from(part, "utf8"),
    );
  }
  return Buffer.concat(parts);
}

/**
 * The paths that a word of the command line may mean whose stray bytes Node has replaced: itself where it exists, else
 * every file of its folder that reads the same.
 */
export async function namesOfWord(word: string): Promise<readonly string[]> {
  if (!word.includes(REPLACEMENT)) return [word];
  if ((await lstat(word).catch(() => undefined)) !== undefined) return [word];
  const paths: string[] = [];
  for (const folder of await namesOfWord(dirname(word))) {
    const entries = await readdir(systemPath(folder), { encoding: "buffer" }).catch(() => []);
    for (const entry of entries) {
      if (entry.toString("utf8") === basename(word)) paths.push(join(folder, nameFromBytes(entry)));
    }
  }
  return paths.length === 0 ? [word] : paths;
}
