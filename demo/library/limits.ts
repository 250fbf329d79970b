/** How much is kept for the next visit, and what goes first where that is more. */

/** Of one file, picture or result. */
export const MAX_FILE_BYTES = 256 * 2 ** 20;
/** Of all files together. */
export const MAX_BYTES = 2 ** 30;

export interface KeptItem {
  readonly key: string;
  readonly kind: "picture" | "result";
  readonly byteLength: number;
}

/**
 * The items, oldest first, that have to go before `byteLength` more fit: results before pictures, for a picture without its
 * results can be upscaled again, and not the other way round. `spared` stays.
 */
export function itemsToDrop(
  items: readonly KeptItem[],
  byteLength: number,
  spared: (item: KeptItem) => boolean,
  maxBytes = MAX_BYTES,
): readonly KeptItem[] {
  let over = items.reduce((sum, item) => sum + item.byteLength, byteLength) - maxBytes;
  const order = [
    ...items.filter(({ kind }) => kind === "result"),
    ...items.filter(({ kind }) => kind === "picture"),
  ];
  const dropped: KeptItem[] = [];
  for (const item of order) {
    if (over <= 0) break;
    if (spared(item)) continue;
    dropped.push(item);
    over -= item.byteLength;
  }
  return dropped;
}
