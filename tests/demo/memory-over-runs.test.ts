/** What counts as memory that is left behind. */
import { expect, it } from "vitest";
import type { MemorySample } from "../../demo/memory-over-runs.ts";
import { growth } from "../../demo/memory-over-runs.ts";

const FLAT = { pageHeap: 5e6, workerHeap: 9e6, engine: 2e7, pictures: 6e5 };

/** Eight runs, of which the last five are looked at; `more` is what each of those adds. */
const samples = (more: Partial<MemorySample>): readonly MemorySample[] =>
  Array.from({ length: 8 }, (_, run) => {
    const added = (name: keyof MemorySample): number =>
      FLAT[name] + Math.max(0, run - 2) * (more[name] ?? 0);
    return {
      pageHeap: added("pageHeap") + (run === 0 ? 1e6 : 0), // not warm yet
      workerHeap: added("workerHeap"),
      engine: added("engine"),
      pictures: added("pictures"),
    };
  });

it("is nothing where a run leaves its description alone", () => {
  expect(growth(samples({ pageHeap: 20_000, workerHeap: 5000 }), 3)).toEqual([]);
});

it("is a result's pixels in a heap, and any byte on the device", () => {
  expect(growth(samples({ workerHeap: 192 * 192 * 4 }), 3)).toEqual([
    "workerHeap has grown in 5 runs from 9000000 to 9737280 bytes",
  ]);
  expect(growth(samples({ engine: 4, pictures: 147_456 }), 3)).toHaveLength(2);
});
