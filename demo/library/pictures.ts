/** The queue in the page's state: changes of it, and what follows from them for the picture that is open. */
import type { AppState } from "../app-state.ts";
import type { PictureSource } from "../protocol.ts";
import type { Store } from "../store.ts";
import type { Picture, PictureResult } from "./picture.ts";
import { cutKey, freshResults, restingStatus } from "./picture.ts";

/** Sets the pictures, and with them the results and the part of a result that the open one has. */
export function setPictures(
  store: Store<AppState>,
  pictures: readonly Picture[],
  more: Partial<AppState> = {},
): void {
  const { image, results: before } = { ...store.get(), ...more };
  const open = pictures.find(({ id }) => id === image?.id);
  const results = open ? freshResults(open).map(({ info }) => info) : [];
  const isSame = results.length === before.length && results.every((one, i) => one === before[i]);
  store.set({
    ...more,
    pictures,
    partial: open?.begun ?? null,
    // The same array where nothing has changed: others look whether it is another one.
    results: isSame ? before : results,
  });
}

export function patchPicture(
  store: Store<AppState>,
  id: string,
  patch: Partial<Picture>,
  more: Partial<AppState> = {},
): void {
  const { pictures } = store.get();
  setPictures(
    store,
    pictures.map((picture) => (picture.id === id ? { ...picture, ...patch } : picture)),
    more,
  );
}

/** Changes or, where `change` gives null, removes results. */
export function changeResults(
  store: Store<AppState>,
  change: (result: PictureResult) => PictureResult | null,
): void {
  const { pictures } = store.get();
  setPictures(
    store,
    pictures.map((picture) => {
      const results = picture.results.map(change).filter((result) => result !== null);
      const isSame =
        results.length === picture.results.length &&
        results.every((result, i) => result === picture.results[i]);
      if (isSame) return picture;
      const changed = { ...picture, results };
      return picture.status === "done" ? { ...changed, status: restingStatus(changed) } : changed;
    }),
  );
}

export const pictureById = ({ pictures }: AppState, id: string): Picture | undefined =>
  pictures.find((picture) => picture.id === id);

/** The picture that has a result. */
export const pictureOfResult = (
  { pictures }: Pick<AppState, "pictures">,
  id: number,
): Picture | undefined =>
  pictures.find(({ results }) => results.some(({ info }) => info.id === id));

export const sourceOf = ({ id, blob }: Picture, cut: Picture["cut"]): PictureSource => ({
  key: `${id} ${cutKey(cut)}`,
  blob,
  cut,
});
