/** Seeded numbers for tests: the same on every machine. */

/** mulberry32: uniform in [0, 1). */
export function uniformSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `count` values uniform in [-scale, scale), plus `offset`. */
export function uniformArray(count: number, seed: number, scale = 1, offset = 0): Float64Array {
  const next = uniformSource(seed);
  return Float64Array.from({ length: count }, () => (next() * 2 - 1) * scale + offset);
}

/** `count` bytes. */
export function noiseBytes(count: number, seed: number): Uint8Array<ArrayBuffer> {
  const next = uniformSource(seed);
  return Uint8Array.from({ length: count }, () => Math.floor(next() * 256));
}
