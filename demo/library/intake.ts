/** Files from a drop, the clipboard or a dialog: which are pictures, and what to say of the others. */
import { listed } from "./listed.ts";

/** Files that systems put into folders, for themselves. */
const HIDDEN = /^(\.|~\$|thumbs\.db$|desktop\.ini$)/i;
/** Bytes that tell a format. */
const HEAD_BYTES = 16;

export interface Intake {
  readonly pictures: readonly File[];
  /** Names of what was left out. */
  readonly others: readonly string[];
}

/** Sorts files by what they say they are, and those that say nothing by their first bytes. */
export async function sortFiles(files: readonly File[]): Promise<Intake> {
  const pictures: File[] = [];
  const others: string[] = [];
  for (const file of files) {
    if (await isPicture(file)) pictures.push(file);
    else others.push(file.name);
  }
  return { pictures, others };
}

async function isPicture(file: File): Promise<boolean> {
  if (file.type.startsWith("image/")) return true;
  // Systems give no type, or a general one, for endings that they do not know.
  if (file.type !== "" && file.type !== "application/octet-stream") return false;
  return looksLikePicture(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));
}

/** Whether a file begins as a format that browsers read. */
export function looksLikePicture(head: Uint8Array): boolean {
  const text = String.fromCharCode(...head);
  return (
    text.startsWith("\u0089PNG") ||
    text.startsWith("\u00FF\u00D8\u00FF") || // JPEG
    text.startsWith("GIF8") ||
    text.startsWith("BM") ||
    text.startsWith("\u0000\u0000\u0001\u0000") || // ICO
    (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") ||
    // AVIF and its family
    (text.slice(4, 8) === "ftyp" && /^(avi|hei|mif|msf)/.test(text.slice(8, 12))) ||
    text.startsWith("\u00FF\u000A") || // JPEG XL
    text.slice(4, 8) === "JXL "
  );
}

/** One sentence for all that was left out; null where nothing was. */
export function skippedNote({ pictures, others }: Intake): string | null {
  if (others.length > 0) {
    const rest = pictures.length > 0 ? " The pictures are here." : "";
    return others.length === 1
      ? `${listed(others)} is not a picture and was left out.${rest}`
      : `${listed(others)} are not pictures and were left out.${rest}`;
  }
  return pictures.length === 0 ? "There was no picture in it." : null;
}

/**
 * All files of a drop, those in folders too. To be called in the event itself: afterwards the browser has closed the list.
 */
export function droppedFiles(transfer: DataTransfer): Promise<readonly File[]> {
  const entries = [...transfer.items]
    .filter(({ kind }) => kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  return Promise.all(
    entries.map(async ({ entry, file }) => {
      if (entry?.isDirectory) return filesIn(entry as FileSystemDirectoryEntry);
      return file ? [file] : [];
    }),
  ).then((lists) => lists.flat());
}

async function filesIn(folder: FileSystemDirectoryEntry): Promise<readonly File[]> {
  const entries = await entriesOf(folder);
  const lists: (readonly File[])[] = [];
  for (const entry of entries.toSorted((a, b) => a.name.localeCompare(b.name))) {
    if (HIDDEN.test(entry.name)) continue;
    if (entry.isDirectory) lists.push(await filesIn(entry as FileSystemDirectoryEntry));
    else lists.push([await fileOf(entry as FileSystemFileEntry)]);
  }
  return lists.flat();
}

/** A reader gives at most a hundred at a time, and an empty list at the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<readonly FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (some.length === 0) return all;
    all.push(...some);
  }
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => entry.file(resolve, reject));
