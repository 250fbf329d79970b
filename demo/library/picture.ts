/** A picture in the queue, and what was made of it. Plain data. */
import type { Problem } from "../problems.ts";
import type { ImageCut, ResultBegun, ResultInfo } from "../protocol.ts";

/** `waiting`: no result yet, or another one is asked for. */
export type PictureStatus = "waiting" | "running" | "done" | "failed";

type Size = readonly [width: number, height: number];

export interface Picture {
  readonly id: string;
  readonly name: string;
  /** The file as it came. */
  readonly blob: Blob;
  /** When the file was changed last, where its source says: tells files of one name apart. */
  readonly modified: number | null;
  /** What of the file is looked at and upscaled; null: all of it. */
  readonly cut: ImageCut | null;
  /** Of the file; null until it was decoded. */
  readonly size: Size | null;
  readonly status: PictureStatus;
  /** Why it failed. */
  readonly problem: Problem | null;
  readonly thumbnail: Blob | null;
  /** The result that is being made, where it comes in parts. */
  readonly begun: ResultBegun | null;
  /** Oldest first, of all its cuts. */
  readonly results: readonly PictureResult[];
  /** Whether a reload brings it back; null until that is known. */
  readonly isKept: boolean | null;
}

export interface PictureResult {
  readonly info: ResultInfo;
  /** The part of the file that it was made of. */
  readonly cut: ImageCut | null;
  /** All its pixels as a PNG; null until it is encoded, or where the browser cannot. */
  readonly file: Blob | null;
  readonly thumbnail: Blob | null;
  /** Whether a reload brings it back; null until that is known. */
  readonly isKept: boolean | null;
}

export function newPicture(blob: Blob, name: string): Picture {
  return {
    id: crypto.randomUUID(),
    name,
    blob,
    modified: modifiedOf(blob),
    cut: null,
    size: null,
    status: "waiting",
    problem: null,
    thumbnail: null,
    begun: null,
    results: [],
    isKept: null,
  };
}

const modifiedOf = (blob: Blob): number | null => (blob instanceof File ? blob.lastModified : null);

/** The picture of the same file, so that a file that comes twice makes no twin. */
export const pictureOf = (
  pictures: readonly Picture[],
  blob: Blob,
  name: string,
): Picture | undefined =>
  pictures.find(
    (picture) =>
      picture.blob === blob ||
      (picture.name === name &&
        picture.blob.size === blob.size &&
        picture.modified === modifiedOf(blob)),
  );

/** A cut that leaves nothing out is none. */
export function normalCut(cut: ImageCut | null, size: Size | null): ImageCut | null {
  if (cut === null || size === null) return cut;
  const [width, height] = size;
  const isWhole = cut.x === 0 && cut.y === 0 && cut.width === width && cut.height === height;
  const isFull = (cut.maxSide ?? Infinity) >= Math.max(width, height);
  return isWhole && isFull ? null : cut;
}

/** A cut in words that are equal only for equal cuts. */
export function cutKey(cut: ImageCut | null): string {
  if (cut === null) return "whole";
  const { x, y, width, height, maxSide = Infinity } = cut;
  const reduced = maxSide < Math.max(width, height) ? ` to ${maxSide}` : "";
  return `${x},${y} ${width}×${height}${reduced}`;
}

export const isSameCut = (a: ImageCut | null, b: ImageCut | null): boolean =>
  cutKey(a) === cutKey(b);

/** What was made of the part that is looked at now; other results are stale. */
export const freshResults = ({ results, cut }: Picture): readonly PictureResult[] =>
  results.filter((result) => isSameCut(result.cut, cut));

/** The status of a picture that does not run. */
export const restingStatus = (picture: Picture): PictureStatus =>
  freshResults(picture).length > 0 ? "done" : "waiting";
