/** How busy the machine is: its cores share caches and units, so that work takes the processor longer beside other work. */

/** What `work` takes at least on the machine that these tests were made on: two cores of an AMD EPYC, Node 20, 30 November 2026. */
const REST_MS = 0.18;
const EVERY_MS = 500;
/** The shortest of them has not been interrupted. */
const ROUNDS = 5;
/** Around a moment, in which its slowness is looked for. */
const SPAN_US = 5_000_000;

export interface ProcessorPace {
  /** How many times as long as at rest work takes, 1 at least. `ts` in µs of `process.hrtime`. */
  slownessAt(ts: number): number;
  stop(): void;
}

/** Samples from now on. */
export function watchProcessor(): ProcessorPace {
  const samples: { readonly ts: number; readonly slowness: number }[] = [];
  const sample = (): void => {
    const ts = Number(process.hrtime.bigint() / 1000n);
    samples.push({ ts, slowness: workMs() / REST_MS });
  };
  for (let i = 0; i < 20; i++) work(); // compiled
  sample();
  const timer = setInterval(sample, EVERY_MS);
  timer.unref();
  return {
    slownessAt(ts) {
      const near = samples
        .filter((one) => Math.abs(one.ts - ts) < SPAN_US)
        .map(({ slowness }) => slowness)
        .toSorted((a, b) => a - b);
      // Of the slower moments: the task may have been in one.
      return Math.max(1, near[Math.floor(near.length * 0.75)] ?? 1);
    },
    stop: () => clearInterval(timer),
  };
}

function workMs(): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const begun = performance.now();
    work();
    return performance.now() - begun;
  });
  return Math.min(...rounds);
}

/** Objects, text and sorting: what pages do. */
function work(): number {
  const rows = Array.from({ length: 700 }, (_, i) => ({ id: (i * 7919) % 701, name: `row ${i}` }));
  const sorted = rows.toSorted((a, b) => a.id - b.id);
  return JSON.stringify(sorted).length + new Map(sorted.map(({ id, name }) => [id, name])).size;
}
