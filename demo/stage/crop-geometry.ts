/** A rectangle that is moved and resized within a picture. Whole pixels. */
import type { Size } from "../protocol.ts";

export interface Rectangle extends Size {
  readonly x: number;
  readonly y: number;
}

/** Edges that a handle takes along: -1 the left or upper one, 1 the right or lower one, 0 none. */
export interface Handle {
  readonly name: string;
  readonly across: -1 | 0 | 1;
  readonly down: -1 | 0 | 1;
}

/** Clockwise from the upper left. */
export const HANDLES: readonly Handle[] = [
  { name: "Top left corner", across: -1, down: -1 },
  { name: "Top edge", across: 0, down: -1 },
  { name: "Top right corner", across: 1, down: -1 },
  { name: "Right edge", across: 1, down: 0 },
  { name: "Bottom right corner", across: 1, down: 1 },
  { name: "Bottom edge", across: 0, down: 1 },
  { name: "Bottom left corner", across: -1, down: 1 },
  { name: "Left edge", across: -1, down: 0 },
];

/** Smaller parts say nothing, and their handles would lie on each other. */
const LEAST_SIDE = 16;

const clamp = (value: number, least: number, most: number): number =>
  Math.min(most, Math.max(least, value));

export function moved(
  frame: Rectangle,
  [dx, dy]: readonly [number, number],
  within: Size,
): Rectangle {
  return {
    ...frame,
    x: clamp(Math.round(frame.x + dx), 0, within.width - frame.width),
    y: clamp(Math.round(frame.y + dy), 0, within.height - frame.height),
  };
}

export function resized(
  frame: Rectangle,
  { across, down }: Handle,
  [dx, dy]: readonly [number, number],
  within: Size,
): Rectangle {
  const [x, width] = stretched(frame.x, frame.width, across, dx, within.width);
  const [y, height] = stretched(frame.y, frame.height, down, dy, within.height);
  return { x, y, width, height };
}

/** Along one axis: first pixel and length. */
function stretched(
  start: number,
  length: number,
  edge: Handle["across"],
  by: number,
  within: number,
): readonly [number, number] {
  const least = Math.min(LEAST_SIDE, length);
  const end = start + length;
  if (edge < 0) {
    const first = clamp(Math.round(start + by), 0, end - least);
    return [first, end - first];
  }
  return edge > 0
    ? [start, clamp(Math.round(length + by), least, within - start)]
    : [start, length];
}

/** Where a crop begins: what is seen of the picture, or where that is nearly all, its middle. */
export function firstFrame(seen: Rectangle, within: Size): Rectangle {
  const isPart = seen.width * seen.height < 0.8 * within.width * within.height;
  if (isPart) return clipped(seen, within);
  const width = Math.ceil(within.width / 2);
  const height = Math.ceil(within.height / 2);
  return clipped({ x: within.width / 4, y: within.height / 4, width, height }, within);
}

/** Whole pixels of the picture. */
function clipped(frame: Rectangle, within: Size): Rectangle {
  const x = clamp(Math.round(frame.x), 0, within.width - 1);
  const y = clamp(Math.round(frame.y), 0, within.height - 1);
  return {
    x,
    y,
    width: clamp(Math.round(frame.width), 1, within.width - x),
    height: clamp(Math.round(frame.height), 1, within.height - y),
  };
}
