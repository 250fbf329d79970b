/**
 * Files whose every wait ends with its signal, whatever they are made of: browser storage, locks, disks, other people's
 * code. What is opened too late is closed.
 */
import { abortable } from "../../abort.ts";
import type { ByteSource, FileSet } from "../../weights/index.ts";

/** The same files; opening and reading reject with the reason of their signal as soon as it is aborted. */
export function abortableFiles(files: FileSet): FileSet {
  return {
    name: files.name,
    refusal: (path) => files.refusal?.(path) ?? null,
    async open(path, signal) {
      signal?.throwIfAborted();
      const closeLate = (late: ByteSource | null): void => void late?.close().catch(() => {});
      const source = await abortable(files.open(path, signal), signal, closeLate);
      return source && abortableSource(source);
    },
  };
}

function abortableSource(source: ByteSource): ByteSource {
  return {
    name: source.name,
    byteLength: source.byteLength,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      return abortable(source.read(offset, length, signal), signal);
    },
    close: () => source.close(),
  };
}
