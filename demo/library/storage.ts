/** Pictures, results and settings on the visitor's disk, in IndexedDB. */
import type { DBSchema, IDBPDatabase } from "idb";
import { openDB } from "idb";
import type { ImageCut, ModelChoice, ResultInfo } from "../protocol.ts";
import type { Settings } from "../settings.ts";
import type { Picture } from "./picture.ts";

const NAME = "rcod-library";
const VERSION = 1;

/** A picture but for its file and its results. */
export interface PictureRecord extends Pick<
  Picture,
  "id" | "name" | "modified" | "cut" | "size" | "thumbnail"
> {
  /** Ascending in the queue. */
  readonly order: number;
  readonly byteLength: number;
  /** Why it cannot be read. */
  readonly problem: Picture["problem"];
}

export interface ResultRecord {
  readonly id: number;
  readonly picture: string;
  readonly info: ResultInfo;
  readonly cut: ImageCut | null;
  readonly thumbnail: Blob | null;
  readonly byteLength: number;
}

/** What of the page is neither picture nor result. */
export interface PageRecord {
  readonly settings: Settings;
  /** Null where it cannot be kept. */
  readonly modelChoice: ModelChoice | null;
  /** Name of a folder with a model that the browser cannot give again. */
  readonly lostFolder?: string | null;
  readonly open: string | null;
}

export interface KeptLibrary {
  readonly pictures: readonly { readonly record: PictureRecord; readonly file: Blob }[];
  readonly results: readonly { readonly record: ResultRecord; readonly file: Blob }[];
  readonly page: PageRecord | null;
}

export interface LibraryStorage {
  load(): Promise<KeptLibrary>;
  /** Without a file: the one that is there stays. */
  putPicture(record: PictureRecord, file?: Blob): Promise<void>;
  putResult(record: ResultRecord, file: Blob): Promise<void>;
  deletePicture(id: string): Promise<void>;
  deleteResult(id: number): Promise<void>;
  putPage(page: PageRecord): Promise<void>;
  clear(): Promise<void>;
}

interface Schema extends DBSchema {
  pictures: { key: string; value: PictureRecord };
  results: { key: number; value: ResultRecord };
  /** Apart from the records, which change: a file is written once. */
  files: { key: string; value: Blob };
  page: { key: "page"; value: PageRecord };
}

/** Under which a file is kept. */
export const pictureKey = (id: string): string => `picture ${id}`;
export const resultKey = (id: number): string => `result ${id}`;

/** @throws DOMException where the browser keeps nothing */
export async function openStorage(): Promise<LibraryStorage> {
  const database = await openDB<Schema>(NAME, VERSION, {
    upgrade(fresh) {
      fresh.createObjectStore("pictures", { keyPath: "id" });
      fresh.createObjectStore("results", { keyPath: "id" });
      fresh.createObjectStore("files");
      fresh.createObjectStore("page");
    },
  });
  return storageOf(database);
}

function storageOf(database: IDBPDatabase<Schema>): LibraryStorage {
  return {
    async load() {
      const read = database.transaction(["pictures", "results", "files", "page"]);
      const [pictures, results, keys, files, page] = await Promise.all([
        read.objectStore("pictures").getAll(),
        read.objectStore("results").getAll(),
        read.objectStore("files").getAllKeys(),
        read.objectStore("files").getAll(),
        read.objectStore("page").get("page"),
      ]);
      const byKey = new Map(keys.map((key, i) => [key, files[i]]));
      const withFile = <T>(record: T, key: string): readonly { record: T; file: Blob }[] => {
        const file = byKey.get(key);
        return file ? [{ record, file }] : [];
      };
      return {
        pictures: pictures
          .toSorted((a, b) => a.order - b.order)
          .flatMap((record) => withFile(record, pictureKey(record.id))),
        results: results.flatMap((record) => withFile(record, resultKey(record.id))),
        page: page ?? null,
      };
    },
    async putPicture(record, file) {
      const write = database.transaction(["pictures", "files"], "readwrite");
      await Promise.all([
        write.objectStore("pictures").put(record),
        file && write.objectStore("files").put(file, pictureKey(record.id)),
        write.done,
      ]);
    },
    async putResult(record, file) {
      const write = database.transaction(["results", "files"], "readwrite");
      await Promise.all([
        write.objectStore("results").put(record),
        write.objectStore("files").put(file, resultKey(record.id)),
        write.done,
      ]);
    },
    async deletePicture(id) {
      const write = database.transaction(["pictures", "files"], "readwrite");
      await Promise.all([
        write.objectStore("pictures").delete(id),
        write.objectStore("files").delete(pictureKey(id)),
        write.done,
      ]);
    },
    async deleteResult(id) {
      const write = database.transaction(["results", "files"], "readwrite");
      await Promise.all([
        write.objectStore("results").delete(id),
        write.objectStore("files").delete(resultKey(id)),
        write.done,
      ]);
    },
    async putPage(page) {
      await database.put("page", page, "page");
    },
    async clear() {
      const write = database.transaction(["pictures", "results", "files", "page"], "readwrite");
      await Promise.all([
        write.objectStore("pictures").clear(),
        write.objectStore("results").clear(),
        write.objectStore("files").clear(),
        write.objectStore("page").clear(),
        write.done,
      ]);
    },
  };
}
