/** Opens pictures: new files, those of the queue, and parts of them. */
import type { AppState } from "../app-state.ts";
import type { WorkerClient } from "../client.ts";
import type { Problem } from "../problems.ts";
import { problemOf } from "../problems.ts";
import type { ImageCut, ImageInfo } from "../protocol.ts";
import type { Store } from "../store.ts";
import { listed } from "./listed.ts";
import type { Picture } from "./picture.ts";
import { isSameCut, newPicture, normalCut, pictureOf, restingStatus } from "./picture.ts";
import { patchPicture, pictureById, setPictures, sourceOf } from "./pictures.ts";
import type { Runs } from "./runs.ts";

export interface Opener {
  /** Opens a file, or a part of it; null is all of it. */
  openFile(blob: Blob, name: string, cut: ImageCut | null): Promise<void>;
  /** Adds files to the queue; opens the first that can be read, unless a run is under way. */
  add(files: readonly File[]): Promise<void>;
  /** Opens a picture of the queue, with the cut that it has or another one. */
  open(id: string, cut?: ImageCut | null): Promise<boolean>;
  /** Takes a picture out of the queue, with its results. */
  remove(id: string): Promise<void>;
  /** Small pictures for the strip, one after the other, where they are missing. */
  drawThumbnails(ids: readonly string[]): void;
  cancel(): void;
  /** Resolves when nothing is being opened. */
  idle(): Promise<void>;
}

export function createOpener(
  store: Store<AppState>,
  client: Pick<WorkerClient, "call">,
  runs: Runs,
): Opener {
  let controller: AbortController | null = null;
  let opening: Promise<unknown> = Promise.resolve();
  /** One after the other: each decodes a whole file. */
  let thumbnails: Promise<unknown> = Promise.resolve();

  /** The problem where the file could not be opened; "superseded" where another one was opened meanwhile. */
  async function tryToOpen(
    picture: Picture,
    cut: ImageCut | null,
  ): Promise<Problem | "superseded" | null> {
    controller?.abort();
    const own = new AbortController();
    controller = own;
    const { id } = picture;
    const { activity } = store.get();
    // A run of the same picture is of a part that is given up.
    if (activity?.picture === id && !isSameCut(cut, picture.cut)) runs.leave(id);
    if (!activity) store.set({ activity: { kind: "image", picture: id, progress: null } });
    store.set({ problem: null, opening: picture.name });
    try {
      const { signal } = own;
      const info = await client.call("openImage", sourceOf(picture, cut), { signal });
      if (signal.aborted) return "superseded";
      show(id, cut, info);
      await client.call("readImage", null);
      return null;
    } catch (error) {
      return own.signal.aborted ? "superseded" : problemOf(error, "image");
    } finally {
      if (controller === own) {
        store.set({ opening: null });
        if (store.get().activity?.kind === "image") store.set({ activity: null });
      }
    }
  }

  function show(id: string, asked: ImageCut | null, info: ImageInfo): void {
    const state = store.get();
    const picture = pictureById(state, id);
    if (!picture) return;
    const { name, blob } = picture;
    // A large file may come as a smaller copy.
    const { width, height } = info.file ?? info;
    const size = picture.size ?? (asked === null ? ([width, height] as const) : null);
    const cut = normalCut(asked, size);
    const frame = cut ?? { x: 0, y: 0, width, height };
    const isSamePart = isSameCut(cut, picture.cut);
    const isRunning = picture.status === "running" && isSamePart;
    const status = isRunning ? "running" : restingStatus({ ...picture, cut, size });
    const mask = state.image?.id === id && isSamePart ? state.mask : null;
    const image = { ...info, id, name, blob, frame, cut };
    patchPicture(store, id, { cut, size, status, problem: null }, { image, opening: null, mask });
  }

  const open = (picture: Picture, cut: ImageCut | null): Promise<Problem | "superseded" | null> => {
    const result = tryToOpen(picture, cut);
    opening = result;
    return result;
  };

  /** A file that cannot be decoded fails here. */
  async function drawThumbnail(id: string): Promise<void> {
    const picture = pictureById(store.get(), id);
    if (!picture || picture.thumbnail) return;
    try {
      const { blob, width, height } = await client.call("thumbnail", { blob: picture.blob });
      const now = pictureById(store.get(), id);
      if (!now) return;
      const size = now.size ?? ([width, height] as const);
      const results = now.results.map((one) => ({ ...one, cut: normalCut(one.cut, size) }));
      const cut = normalCut(now.cut, size);
      patchPicture(store, id, { thumbnail: blob, size, cut, ...(now.size ? {} : { results }) });
    } catch (error) {
      const now = pictureById(store.get(), id);
      if (!now || now.size) return; // it is open all the same
      patchPicture(store, id, { status: "failed", problem: problemOf(error, "image") });
      runs.leave(id);
    }
  }
  const drawThumbnails = (ids: readonly string[]): void => {
    for (const id of ids) thumbnails = thumbnails.then(() => drawThumbnail(id));
  };

  /** Opens the first of these that can be read; what cannot be read and came alone is not worth a place. */
  async function openFirst(pictures: readonly Picture[], isAlone: boolean): Promise<void> {
    let problem: Problem | "superseded" | null = null;
    for (const picture of pictures) {
      problem = await open(picture, picture.cut);
      if (problem === null || problem === "superseded") return;
      if (isAlone) drop(picture.id);
      else patchPicture(store, picture.id, { status: "failed", problem });
    }
    store.set({ problem });
  }

  const drop = (id: string): void =>
    setPictures(
      store,
      store.get().pictures.filter((picture) => picture.id !== id),
    );

  const append = (added: readonly Picture[]): void =>
    setPictures(store, [...store.get().pictures, ...added]);

  return {
    async openFile(blob, name, cut) {
      const known = pictureOf(store.get().pictures, blob, name);
      const picture = known ?? newPicture(blob, name);
      if (!known) append([picture]);
      const problem = await open(picture, normalCut(cut, picture.size));
      if (problem !== null && problem !== "superseded") {
        if (!known) drop(picture.id);
        store.set({ problem });
        return;
      }
      drawThumbnails([picture.id]);
    },
    async add(files) {
      const { pictures, activity } = store.get();
      const known: Picture[] = [];
      const added: Picture[] = [];
      for (const file of files) {
        const name = file.name || "Pasted picture";
        const twin = pictureOf([...pictures, ...added], file, name);
        if (twin) known.push(twin);
        else added.push(newPicture(file, name));
      }
      append(added);
      const ids = added.map(({ id }) => id);
      runs.join(ids);
      // A run under way keeps the stage; a file that is there already is only looked at.
      if (activity?.kind === "upscale" && added.length > 0) {
        const text = `Added: ${listed(added.map(({ name }) => name))}.`;
        store.set({ notice: [store.get().notice, text].filter((part) => part).join(" ") });
      } else {
        await openFirst([...added, ...known], files.length === 1 && added.length === 1);
      }
      drawThumbnails(ids);
    },
    async open(id, cut) {
      const picture = pictureById(store.get(), id);
      if (!picture) return false;
      const problem = await open(picture, cut === undefined ? picture.cut : cut);
      if (problem === null) drawThumbnails([id]);
      else if (problem !== "superseded") {
        patchPicture(store, id, { status: "failed", problem }, { problem });
      }
      return problem === null;
    },
    async remove(id) {
      const { pictures, image } = store.get();
      const index = pictures.findIndex((picture) => picture.id === id);
      const picture = pictures[index];
      if (!picture) return;
      runs.leave(id);
      const next = pictures[index + 1] ?? pictures[index - 1];
      // First the next one, so that the stage is never empty in between.
      if (image?.id === id && next) await open(next, next.cut);
      const now = store.get();
      setPictures(
        store,
        now.pictures.filter((one) => one.id !== id),
        now.image?.id === id ? { image: null, mask: null, problem: null } : {},
      );
      const results = picture.results.map(({ info }) => info.id);
      void client.call("forgetResults", { results }).catch(() => undefined);
    },
    drawThumbnails,
    cancel: () => controller?.abort(),
    idle: async () => {
      await opening;
    },
  };
}
