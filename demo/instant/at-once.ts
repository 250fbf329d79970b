/** What can be shown of a place on the slider without computing it: a blend of the nearest two results. */
import type { Blend, Realism, ResultInfo } from "../protocol.ts";

/** A blend, and the place that it is a preview of. */
export interface PlacedBlend extends Blend {
  readonly realism: number;
}

/** Of results that differ in realism alone; null where none are on both sides. */
export function blendOf(results: readonly ResultInfo[], realism: Realism): PlacedBlend | null {
  if (realism === "auto") return null;
  const inOrder = results.toSorted((a, b) => placeOf(a) - placeOf(b));
  const from = inOrder.findLast((result) => placeOf(result) <= realism);
  const to = inOrder.find((result) => placeOf(result) >= realism);
  if (!from || !to) return null;
  const span = placeOf(to) - placeOf(from);
  const share = span === 0 ? 0 : (realism - placeOf(from)) / span;
  return { from: from.id, to: to.id, share, realism };
}

/** Where on the slider a result is: as asked for, or as "auto" chose. */
export function placeOf({ settings, realism }: ResultInfo): number {
  return settings.realism === "auto" ? realism : settings.realism;
}
