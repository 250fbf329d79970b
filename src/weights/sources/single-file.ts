/** One file, wherever it lies: on a web server, in a browser's hands, or (`node-source.ts`) on disk. */
import { checkOptions } from "../../options.ts";
import { quoted, reasonOf, WeightsError } from "../errors.ts";
import type { HttpOptions } from "./http-client.ts";
import { HTTP_RULES } from "./http-client.ts";
import { openUrl } from "./http-source.ts";
import { blobSource } from "./source.ts";
import type { ByteSource } from "./source.ts";

/** A file that can be opened, more than once. */
export interface SingleFile {
  /** Its name or address, for messages; its ending tells the kind of file. */
  readonly name: string;
  /**
   * The file, which the caller closes, or null when there is none.
   * @throws WeightsError when opening fails
   */
  open(signal?: AbortSignal): Promise<ByteSource | null>;
}

/** The file at a web address. A query (`?download=true`) is sent along and is not part of its name. */
export function urlFile(url: string, options: HttpOptions = {}): SingleFile {
  checkOptions("urlFile", options, HTTP_RULES);
  return {
    name: url.replace(/[?#].*$/, ""),
    open: (signal) => openUrl(url, options, signal),
  };
}

/** A browser `File`, or a `Blob` under the given name. */
export function blobFile(blob: Blob, name: string): SingleFile {
  return {
    name,
    async open(signal) {
      signal?.throwIfAborted();
      return blobSource(name, blob);
    },
  };
}

/** A file that the user gave access to (`showOpenFilePicker`, or OPFS). */
export function fileHandleFile(handle: FileSystemFileHandle): SingleFile {
  return {
    name: handle.name,
    async open(signal) {
      signal?.throwIfAborted();
      try {
        return blobSource(handle.name, await handle.getFile());
      } catch (cause) {
        if (cause instanceof Error && cause.name === "NotFoundError") return null;
        throw new WeightsError(
          `weights: file cannot be opened, got ${reasonOf(cause)} (${quoted(handle.name)}). ` +
            `Choose the file again and allow reading`,
          { cause },
        );
      }
    },
  };
}
