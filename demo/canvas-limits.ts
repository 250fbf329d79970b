/** How large a picture this browser can put into a file. */

/** Pixels of a canvas in Chrome and Safari; Firefox has more. */
const MAX_PIXELS = 16_384 ** 2;
/** Sides that every browser has on a desktop. */
const SURE_SIDE = 16_384;

const sides = new Map<number, boolean>();

/** Whether a picture of so many pixels can be saved. */
export function canBeSaved(width: number, height: number): boolean {
  const longest = Math.max(width, height);
  if (width * height > MAX_PIXELS) return false;
  if (longest <= SURE_SIDE) return true;
  const known = sides.get(longest) ?? hasSide(longest);
  sides.set(longest, known);
  return known;
}

/** Canvases that are too long are made, but nothing can be drawn on them. */
function hasSide(length: number): boolean {
  try {
    const context = new OffscreenCanvas(length, 1).getContext("2d");
    context?.fillRect(length - 1, 0, 1, 1);
    return context?.getImageData(length - 1, 0, 1, 1).data[3] === 255;
  } catch {
    return false;
  }
}
