/** An operand or shape that breaks a rule; thrown before any GPU work. */
export class ShapeError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "ShapeError";
}

/** Channels rounded up to whole quads: the stride of the innermost axis in memory, in channels. */
export function paddedChannels(channels: number): number {
  return quadCount(channels) * 4;
}

/** Quads that hold `channels` channels. */
export function quadCount(channels: number): number {
  return Math.ceil(channels / 4);
}

/** Whether every entry is an integer ≥ 1. */
export function isShape(shape: readonly number[]): boolean {
  return shape.every((size) => Number.isSafeInteger(size) && size >= 1);
}

/** Product of the entries. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
