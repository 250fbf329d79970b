/** What of the picture is on the stage. */
import type { Size } from "../protocol.ts";
import { toPicture, transform } from "../view-transform.ts";
import type { Rectangle } from "./crop-geometry.ts";
import type { Stage } from "./stage.ts";

/** In pixels of a region of the file, which the picture on the stage shows. */
export function seenPart(
  region: Size,
  { viewport, picture }: NonNullable<ReturnType<Stage["viewport"]>>,
): Rectangle {
  const matrix = toPicture(viewport);
  const start = transform([0, 0], matrix);
  const end = transform([viewport.width, viewport.height], matrix);
  /** Along one axis: first place and length. */
  const span = (axis: 0 | 1, length: number): readonly [number, number] => {
    const inRegion = (place: number): number =>
      Math.min(1, Math.max(0, place / picture[axis])) * length;
    const first = inRegion(start[axis]);
    return [first, inRegion(end[axis]) - first];
  };
  const [x, width] = span(0, region.width);
  const [y, height] = span(1, region.height);
  return { x, y, width, height };
}
