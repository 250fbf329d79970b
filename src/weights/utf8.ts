/** Text of files. */
import { WeightsError } from "./errors.ts";

/**
 * Decodes UTF-8; a byte order mark stays a character. `where` names the file.
 * @throws WeightsError when the bytes are not UTF-8
 */
export function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new WeightsError(`weights: text must be UTF-8 (${where}). Is it another file?`, {
      cause,
    });
  }
}

/** Decodes a text file: as `decodeUtf8`, without the byte order mark that some editors write. */
export function decodeText(bytes: Uint8Array, where: string): string {
  return decodeUtf8(bytes, where).replace(/^\ufeff/, "");
}
