/**
 * Assigns values to few buffers by liveness. Every buffer ("slot") holds values one after another; two
 * values that are alive at the same step never share one. Slots are whole buffers and not offsets in an
 * arena, because WebGPU forbids reading and writing one buffer in a dispatch even at disjoint ranges.
 *
 * Values are placed by decreasing size, each into the first slot free over its lifetime, so a slot is as
 * large as its first value and the total is close to the peak of live bytes.
 */

/** A tensor's bytes and the steps (inclusive) between which they must survive. */
export interface Lifetime {
  readonly id: number;
  readonly byteLength: number;
  readonly firstStep: number;
  readonly lastStep: number;
}

/** Which slot each value lies in, and how large the slots are. */
export interface MemoryPlan {
  /** Bytes of each slot. */
  readonly slotByteLengths: readonly number[];
  /** Slot of each value id. */
  readonly slotOf: ReadonlyMap<number, number>;
  /** Sum of the slots: what the plan allocates. */
  readonly totalBytes: number;
  /** Largest sum of live values at any step: what no plan can go below. */
  readonly peakLiveBytes: number;
}

/** Where to put values of these lifetimes. The order of slots is that of their size. */
export function planMemory(lifetimes: readonly Lifetime[]): MemoryPlan {
  const order = lifetimes.toSorted(
    (a, b) => b.byteLength - a.byteLength || a.firstStep - b.firstStep,
  );
  const slots: { byteLength: number; values: Lifetime[] }[] = [];
  const slotOf = new Map<number, number>();
  for (const value of order) {
    let index = slots.findIndex(({ values }) => values.every((other) => !overlap(value, other)));
    if (index < 0) index = slots.push({ byteLength: value.byteLength, values: [] }) - 1;
    slots[index]?.values.push(value);
    slotOf.set(value.id, index);
  }
  const slotByteLengths = slots.map(({ byteLength }) => byteLength);
  return {
    slotByteLengths,
    slotOf,
    totalBytes: slotByteLengths.reduce((sum, bytes) => sum + bytes, 0),
    peakLiveBytes: peakLive(lifetimes),
  };
}

/** Makes every slot of `pool` as large as the largest of that number: what programs need that run one after another. */
export function growSlots(pool: number[], byteLengths: readonly number[]): void {
  byteLengths.forEach((bytes, i) => (pool[i] = Math.max(pool[i] ?? 0, bytes)));
}

function overlap(a: Lifetime, b: Lifetime): boolean {
  return a.firstStep <= b.lastStep && b.firstStep <= a.lastStep;
}

function peakLive(lifetimes: readonly Lifetime[]): number {
  const steps = new Map<number, number>();
  for (const { firstStep, lastStep, byteLength } of lifetimes) {
    steps.set(firstStep, (steps.get(firstStep) ?? 0) + byteLength);
    steps.set(lastStep + 1, (steps.get(lastStep + 1) ?? 0) - byteLength);
  }
  let live = 0;
  let peak = 0;
  for (const step of [...steps.keys()].toSorted((a, b) => a - b)) {
    live += steps.get(step) as number;
    peak = Math.max(peak, live);
  }
  return peak;
}
