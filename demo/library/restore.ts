/** Brings back what an earlier visit left, and keeps what this one makes. */
import type { AppState } from "../app-state.ts";
import type { WorkerClient } from "../client.ts";
import { DEFAULT_SETTINGS, hasSettings } from "../settings.ts";
import type { Store } from "../store.ts";
import { keepLibrary } from "./keeper.ts";
import type { Opener } from "./open.ts";
import type { Picture } from "./picture.ts";
import { restingStatus } from "./picture.ts";
import { setPictures } from "./pictures.ts";
import type { KeptLibrary, LibraryStorage } from "./storage.ts";
import { openStorage } from "./storage.ts";

const LOCK = "rcod-library";
/** A page that is reloaded may hold the lock for a moment still. */
const LOCK_MS = 1500;

const NOT_KEPT = "This browser keeps nothing of this visit: save your results before you leave.";
const OTHER_TAB =
  "This page is open in another tab, which keeps its pictures. What you do here is not kept: save it.";

const lostFolder = (name: string): string =>
  `This browser does not remember folders: choose the model “${name}” again under Model.`;

export interface Restored {
  /** Null where nothing is kept. */
  readonly storage: LibraryStorage | null;
}

export async function restoreLibrary(
  store: Store<AppState>,
  client: Pick<WorkerClient, "call">,
  opener: Opener,
  address: string,
): Promise<Restored> {
  // Two pages that write would each delete what only the other one knows.
  if (!(await isOnlyPage())) {
    tellOnceNeeded(store, OTHER_TAB);
    return { storage: null };
  }
  let storage: LibraryStorage;
  let kept: KeptLibrary;
  try {
    storage = await openStorage();
    kept = await storage.load();
  } catch {
    tellOnceNeeded(store, NOT_KEPT);
    return { storage: null };
  }
  await show(store, client, opener, kept, address);
  keepLibrary(store, storage, kept);
  return { storage };
}

async function show(
  store: Store<AppState>,
  client: Pick<WorkerClient, "call">,
  opener: Opener,
  { pictures, results, page }: KeptLibrary,
  address: string,
): Promise<void> {
  if (page && !hasSettings(address)) {
    // An older page knew fewer settings.
    store.set({ settings: { ...DEFAULT_SETTINGS, ...page.settings } });
  }
  // No address tells of a model.
  if (page?.modelChoice) store.set({ modelChoice: page.modelChoice });
  if (page?.lostFolder) store.set({ notice: lostFolder(page.lostFolder) });
  if (results.length > 0) {
    const files = results.map(({ record, file }) => [record.id, file] as const);
    await client.call("restoreResults", { files });
  }
  const restored = pictures.map(({ record, file }): Picture => {
    const { id, name, modified, cut, size, thumbnail, problem } = record;
    const own = results.filter(({ record: { picture } }) => picture === id);
    const picture: Picture = {
      id,
      name,
      modified,
      cut,
      size,
      thumbnail,
      problem,
      blob: file,
      status: "waiting",
      begun: null,
      isKept: true,
      results: own.map((result) => ({
        info: result.record.info,
        cut: result.record.cut,
        thumbnail: result.record.thumbnail,
        file: result.file,
        isKept: true,
      })),
    };
    return { ...picture, status: problem ? "failed" : restingStatus(picture) };
  });
  setPictures(store, [...restored, ...store.get().pictures]);
  const open = restored.find(({ id }) => id === page?.open) ?? restored.find(({ size }) => size);
  const { image, settings } = store.get();
  // A link to a bundled photo opens that one.
  const isLinked = settings.photo !== null && settings.photo !== open?.name;
  if (open && image === null && !isLinked) await opener.open(open.id);
  opener.drawThumbnails(restored.filter(({ status }) => status !== "failed").map(({ id }) => id));
}

function isOnlyPage(): Promise<boolean> {
  // Absent where the page is not secure, as is IndexedDB's neighbour WebGPU.
  if (!("locks" in navigator)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(LOCK_MS);
    navigator.locks
      .request(LOCK, { signal }, () => {
        resolve(true);
        return new Promise<never>(() => undefined); // held until the page goes
      })
      .catch(() => resolve(false));
  });
}

/** With the first picture: before that there is nothing to lose. */
function tellOnceNeeded(store: Store<AppState>, notice: string): void {
  const stop = store.subscribe(({ pictures }) => {
    if (pictures.length === 0) return;
    queueMicrotask(() => {
      stop();
      store.set({ notice });
    });
  });
}
