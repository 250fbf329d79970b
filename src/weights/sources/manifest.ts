/** `manifest.json` of a converted folder: all files with their sizes and checksums. */
import type { JsonObject, JsonValue } from "../strict-json.ts";
import { parseStrictJson } from "../strict-json.ts";
import { isCount } from "../tensor-info.ts";
import { decodeText } from "../utf8.ts";

/** Files are checked, downloaded and stored in pieces of this length; `rcod convert` writes a checksum of each. */
export const PIECE_BYTES = 4 * 2 ** 20;

export interface ManifestFile {
  readonly byteLength: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
  /** Of each piece; null where the manifest has none, or of another length than `PIECE_BYTES`. */
  readonly pieces: readonly string[] | null;
}

/** The files by path, or null where these bytes are no manifest of ours: web apps have files of that name too. */
export function parseManifestText(
  bytes: Uint8Array,
  where: string,
): ReadonlyMap<string, ManifestFile> | null {
  try {
    return parseManifest(parseStrictJson(decodeText(bytes, where), where));
  } catch {
    return null;
  }
}

/** The files by path, or null where this is some other kind of manifest. */
export function parseManifest(json: JsonValue): ReadonlyMap<string, ManifestFile> | null {
  const { files, piece_bytes } = asObject(json);
  if (!Array.isArray(files)) return null;
  const parsed = new Map<string, ManifestFile>();
  for (const file of files as readonly JsonValue[]) {
    const { path, bytes, sha256, pieces } = asObject(file);
    const isListed = typeof path === "string" && isCount(bytes) && isHash(sha256);
    if (!isListed) return null;
    const byteLength = bytes;
    const count = Math.ceil(byteLength / PIECE_BYTES);
    const listed = count === 1 ? [sha256] : piece_bytes === PIECE_BYTES ? pieces : null;
    const isWhole = Array.isArray(listed) && listed.length === count && listed.every(isHash);
    parsed.set(path, { byteLength, sha256, pieces: isWhole ? listed : null });
  }
  return parsed;
}

function isHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

function asObject(json: JsonValue | undefined): Partial<JsonObject> {
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  return isObject ? (json as JsonObject) : {};
}
