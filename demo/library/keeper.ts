/** Writes to disk what changes in the library, within limits, and says what it cannot keep. */
import type { AppState } from "../app-state.ts";
import type { Store } from "../store.ts";
import { bytes } from "../ui/format.ts";
import type { KeptItem } from "./limits.ts";
import { MAX_BYTES, MAX_FILE_BYTES, itemsToDrop } from "./limits.ts";
import type { Picture, PictureResult } from "./picture.ts";
import { changeResults, patchPicture, pictureById, pictureOfResult } from "./pictures.ts";
import type { KeptLibrary, LibraryStorage, PageRecord, PictureRecord } from "./storage.ts";
import { pictureKey, resultKey } from "./storage.ts";

export interface Keeper {
  /** Resolves when what has changed until now is on disk, or will not be. */
  settled(): Promise<void>;
}

export interface KeeperLimits {
  readonly maxBytes: number;
  readonly maxFileBytes: number;
}

const LIMITS: KeeperLimits = { maxBytes: MAX_BYTES, maxFileBytes: MAX_FILE_BYTES };

/** Follows the state from now on; `kept` is what the storage has already. */
export function keepLibrary(
  store: Store<AppState>,
  storage: LibraryStorage,
  kept: KeptLibrary,
  { maxBytes, maxFileBytes }: KeeperLimits = LIMITS,
): Keeper {
  /** What is on disk, oldest first. */
  const items = new Map<string, KeptItem>();
  /** The last record of each picture that is on disk. */
  const records = new Map<string, PictureRecord>();
  let nextOrder = 1;
  let page: PageRecord | null = kept.page;
  let isFull = false;
  for (const { record } of kept.pictures) {
    const { id, byteLength, order } = record;
    items.set(pictureKey(id), { key: pictureKey(id), kind: "picture", byteLength });
    records.set(id, record);
    nextOrder = Math.max(nextOrder, order + 1);
  }
  for (const { record } of kept.results) {
    const key = resultKey(record.id);
    items.set(key, { key, kind: "result", byteLength: record.byteLength });
  }

  /** The next thing that disk and state disagree in; null where they agree. */
  function nextWrite(state: AppState): (() => Promise<void>) | null {
    for (const key of items.keys()) {
      const [kind, id = ""] = key.split(" ");
      if (kind === "picture" && !pictureById(state, id)) return () => deletePicture(id);
      if (kind === "result" && !pictureOfResult(state, Number(id))) {
        return () => deleteResult(Number(id));
      }
    }
    for (const picture of state.pictures) {
      if (picture.isKept === false) continue;
      if (!isSameRecord(picture, records.get(picture.id))) return () => writePicture(picture);
      const result = picture.results.find(({ isKept, file }) => isKept === null && file);
      if (result) return () => writeResult(picture, result);
    }
    const now = pageOf(state);
    if (page && isSamePage(now, page)) return null;
    return async () => {
      page = now;
      // Private windows may refuse to keep the handle of a folder.
      await storage.putPage(now).catch(() => storage.putPage(withoutFolder(now)));
    };
  }

  async function writePicture(picture: Picture): Promise<void> {
    const { id, blob, name, modified, cut, size, thumbnail } = picture;
    const key = pictureKey(id);
    const known = records.get(id);
    const order = known?.order ?? nextOrder++;
    const problem = lastingProblem(picture);
    const byteLength = blob.size;
    const record = { id, name, modified, cut, size, thumbnail, problem, order, byteLength };
    const isWritten = await attempt(key, "picture", byteLength, known !== undefined, () =>
      storage.putPicture(record, known ? undefined : blob),
    );
    if (isWritten) records.set(id, record);
    else records.delete(id);
    if (picture.isKept !== isWritten && pictureById(store.get(), id)) {
      patchPicture(store, id, { isKept: isWritten });
    }
  }

  async function writeResult(picture: Picture, result: PictureResult): Promise<void> {
    const { info, cut, thumbnail, file } = result;
    if (!file) return;
    const { id } = info;
    const record = { id, picture: picture.id, info, cut, thumbnail, byteLength: file.size };
    const isKept = await attempt(resultKey(id), "result", file.size, false, () =>
      storage.putResult(record, file),
    );
    changeResults(store, (one) => (one.info.id === id ? { ...one, isKept } : one));
  }

  /** Writes, after making room; false where it cannot be. */
  async function attempt(
    key: string,
    kind: KeptItem["kind"],
    byteLength: number,
    isThere: boolean,
    write: () => Promise<void>,
  ): Promise<boolean> {
    if (byteLength > maxFileBytes) {
      const size = bytes(maxFileBytes);
      tell(
        `A ${kind} of more than ${size} is not kept for the next visit. Save it before you leave.`,
      );
      return false;
    }
    if (!isThere) await makeRoom(byteLength);
    try {
      await write();
    } catch (error) {
      if (!isQuotaError(error)) throw error;
      if (!isFull) {
        tell("This browser has no more room for the page: what is new stays until you leave it.");
      }
      isFull = true;
      return false;
    }
    items.set(key, { key, kind, byteLength });
    return true;
  }

  async function makeRoom(byteLength: number): Promise<void> {
    const open = store.get().image?.id;
    const spared = ({ key }: KeptItem): boolean => open !== undefined && key === pictureKey(open);
    const dropped = itemsToDrop([...items.values()], byteLength, spared, maxBytes);
    for (const { key, kind } of dropped) {
      const id = key.split(" ")[1] ?? "";
      if (kind === "picture") {
        await deletePicture(id);
        patchPicture(store, id, { isKept: false });
      } else {
        await deleteResult(Number(id));
        changeResults(store, (one) =>
          one.info.id === Number(id) ? { ...one, isKept: false } : one,
        );
      }
    }
    if (dropped.length > 0) {
      tell(
        `More than ${bytes(maxBytes)} are not kept for the next visit: the oldest made room. Save what you need.`,
      );
    }
  }

  async function deletePicture(id: string): Promise<void> {
    items.delete(pictureKey(id));
    records.delete(id);
    isFull = false;
    await storage.deletePicture(id);
  }

  async function deleteResult(id: number): Promise<void> {
    items.delete(resultKey(id));
    isFull = false;
    await storage.deleteResult(id);
  }

  const tell = (notice: string): void => store.set({ notice });

  let writing: Promise<void> | null = null;
  let isBroken = false;

  async function writeAll(): Promise<void> {
    try {
      for (;;) {
        const write = nextWrite(store.get());
        if (!write) return;
        await write();
      }
    } catch {
      isBroken = true;
      tell("This browser keeps nothing of the page any more: save your results before you leave.");
    }
  }

  const follow = (): void => {
    if (isBroken) return;
    writing ??= writeAll().finally(() => {
      writing = null;
    });
  };
  store.subscribe((state, before) => {
    const { pictures, settings, image, modelChoice } = state;
    if (
      pictures === before.pictures &&
      settings === before.settings &&
      image === before.image &&
      modelChoice === before.modelChoice
    ) {
      return;
    }
    follow();
  });
  follow();
  return {
    async settled() {
      await writing;
    },
  };
}

function pageOf({ settings, modelChoice, image }: AppState): PageRecord {
  const page = { settings, modelChoice, open: image?.id ?? null };
  // Files of a folder would be kept as copies: where the browser has no handle for it, only its name is.
  return modelChoice.kind === "folder" ? withoutFolder(page) : page;
}

function withoutFolder(page: PageRecord): PageRecord {
  const { modelChoice } = page;
  const isFolder = modelChoice?.kind === "folder" || modelChoice?.kind === "directory";
  return isFolder ? { ...page, modelChoice: null, lostFolder: modelChoice.name } : page;
}

const isSamePage = (a: PageRecord, b: PageRecord): boolean =>
  a.settings === b.settings &&
  a.modelChoice === b.modelChoice &&
  a.lostFolder === b.lostFolder &&
  a.open === b.open;

/** That a file cannot be read is so on the next visit, too. */
const lastingProblem = ({ size, problem }: Picture): Picture["problem"] =>
  size === null ? problem : null;

function isSameRecord(picture: Picture, record: PictureRecord | undefined): boolean {
  return (
    record !== undefined &&
    record.cut === picture.cut &&
    record.size === picture.size &&
    record.thumbnail === picture.thumbnail &&
    record.problem === lastingProblem(picture) &&
    record.name === picture.name
  );
}

/** Browsers end the transaction with it, or the request. */
const isQuotaError = (error: unknown): boolean =>
  error instanceof DOMException && error.name === "QuotaExceededError";
