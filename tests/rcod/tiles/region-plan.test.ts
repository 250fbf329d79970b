/** Regions of a picture: where they lie, in which order they come, and how they are put together. */
import { describe, expect, it } from "vitest";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import type { FinishedPart } from "../../../src/rcod/tiles/region-blend.ts";
import { RegionBlend } from "../../../src/rcod/tiles/region-blend.ts";
import type { RegionPlan, RegionSpan } from "../../../src/rcod/tiles/region-plan.ts";
import {
  axisPart,
  madeRectangle,
  orderedRegions,
  planRegions,
  readRectangle,
  segmentsOf,
} from "../../../src/rcod/tiles/region-plan.ts";

/** Work pixels on each side that Lanczos reads to reduce ×4 to ×1. */
const LANCZOS_REACH = 12;

/** What is wrong with the regions of an axis. */
function problemOf(
  spans: readonly RegionSpan[],
  size: number,
  out: number,
  side: number,
): string | undefined {
  const segments = segmentsOf(spans);
  let end = 0;
  for (const { from, to } of segments) {
    if (from !== end || to < from) return `a segment from ${from} to ${to} after ${end}`;
    end = to;
  }
  if (end !== out) return `the last segment ends at ${end}`;
  const length = (spans[0] as RegionSpan).readTo;
  for (const [k, { readFrom, readTo, from, to }] of spans.entries()) {
    if (readTo - readFrom !== length || length > side) return `a region of ${readTo - readFrom}`;
    if (readFrom < 0 || readTo > size) return `a region from ${readFrom} to ${readTo}`;
    const { wholeIn, wholeOut } = axisPart(spans, k, 4);
    const first = (from / wholeOut) * wholeIn - LANCZOS_REACH;
    const last = (to / wholeOut) * wholeIn + LANCZOS_REACH;
    if (k > 0 && first < 4 * readFrom) return `Lanczos needs pixels from ${first} on`;
    if (k < spans.length - 1 && last > 4 * readTo) return `Lanczos needs pixels up to ${last}`;
  }
  return undefined;
}

describe("planRegions", () => {
  it.each([64, 70, 128, 300])("covers pictures of all sizes with regions of %i pixels", (side) => {
    const problems: string[] = [];
    for (let size = 1; size <= 1200; size++) {
      for (const scale of [1, 1.37, 2, 4]) {
        const out = Math.round(size * scale);
        const { columns } = planRegions(
          { width: size, height: 1 },
          { width: out, height: 1 },
          side,
        );
        const problem = problemOf(columns, size, out, side);
        if (problem !== undefined) problems.push(`${size} × ${scale}: ${problem}`);
      }
    }
    expect(problems).toEqual([]);
  });

  it("computes little twice where regions are large", () => {
    const plan = planRegions({ width: 6000, height: 4000 }, { width: 24_000, height: 16_000 }, 512);
    const read = orderedRegions(plan, "rows").map((place) => readRectangle(plan, place));
    const pixels = read.reduce((sum, { width, height }) => sum + width * height, 0);
    expect(pixels / 24e6).toBeLessThan(1.13);
  });
});

describe("orderedRegions", () => {
  const plan = planRegions({ width: 300, height: 200 }, { width: 1200, height: 800 }, 100);
  const places = (order: Parameters<typeof orderedRegions>[1]): string[] =>
    orderedRegions(plan, order).map(({ column, row }) => `${column} ${row}`);

  it("goes row by row, or from a point outwards", () => {
    const [columns, rows] = [plan.columns.length, plan.rows.length];
    expect([columns, rows]).toEqual([4, 3]);
    expect(places("rows").slice(0, 5)).toEqual(["0 0", "1 0", "2 0", "3 0", "0 1"]);
    expect(places("middle")[0]).toMatch(/^[12] 1$/);
    expect(places({ x: 1, y: 0 })[0]).toBe("3 0");
    expect(places({ x: 1, y: 0 }).at(-1)).toBe("0 2");
    for (const order of ["middle", { x: 0.2, y: 0.9 }] as const) {
      expect(places(order).toSorted()).toEqual(places("rows").toSorted());
    }
  });
});

const RESULT = { width: 521, height: 390 };

/** The pixels that a region makes of a picture whose pixel (x, y, c) is `at`. */
function made(
  plan: RegionPlan,
  place: { readonly column: number; readonly row: number },
  channels: RawImage["channels"],
  at: (x: number, y: number, c: number) => number,
  isDeep = false,
): RawImage {
  const { x: left, y: top, width, height } = madeRectangle(plan, place);
  const values = Array.from({ length: width * height * channels }, (_, i) => {
    const pixel = Math.floor(i / channels);
    return at(left + (pixel % width), top + Math.floor(pixel / width), i % channels);
  });
  const data = isDeep ? Uint16Array.from(values) : Uint8Array.from(values);
  return { width, height, channels, data };
}

/** Parts put into one map; every pixel once. */
function assembled(parts: readonly FinishedPart[], channels: number): Int32Array {
  const whole = new Int32Array(RESULT.width * RESULT.height * channels).fill(-1);
  let twice = 0;
  for (const { x, y, width, height, data } of parts) {
    expect(data.length).toBe(width * height * channels);
    for (let row = 0; row < height; row++) {
      for (let i = 0; i < width * channels; i++) {
        const to = ((y + row) * RESULT.width + x) * channels + i;
        if (whole[to] !== -1) twice++;
        whole[to] = data[row * width * channels + i] as number;
      }
    }
  }
  expect([twice, whole.includes(-1)]).toEqual([0, false]);
  return whole;
}

describe("RegionBlend", () => {
  const plan = planRegions({ width: 200, height: 150 }, RESULT, 80);
  const orders = ["rows", "middle", { x: 0, y: 1 }] as const;

  it.each([
    [1, false],
    [3, false],
    [4, true],
  ] as const)("gives equal pictures back, in %i channels, of 16 bits: %s", (channels, isDeep) => {
    const at = (x: number, y: number, c: number): number =>
      (x * 7 + y * 131 + c * 57) % (isDeep ? 65_536 : 256);
    for (const order of orders) {
      const blend = new RegionBlend(plan);
      const parts = orderedRegions(plan, order).flatMap((place) =>
        blend.add(place, made(plan, place, channels, at, isDeep)),
      );
      const whole = assembled(parts, channels);
      expect(
        whole.every((value, i) => {
          const pixel = Math.floor(i / channels);
          return value === at(pixel % RESULT.width, Math.floor(pixel / RESULT.width), i % channels);
        }),
      ).toBe(true);
    }
  });

  it("gives parts out as soon as nothing can change them", () => {
    const blend = new RegionBlend(plan);
    const [first, second] = orderedRegions(plan, "rows") as [
      { column: number; row: number },
      { column: number; row: number },
    ];
    expect(
      blend.add(
        first,
        made(plan, first, 1, () => 0),
      ),
    ).toHaveLength(1);
    expect(
      blend.add(
        second,
        made(plan, second, 1, () => 0),
      ),
    ).toHaveLength(2);
  });

  it("goes from one region to the next without a step, and in any order to the same pixels", () => {
    const results = orders.map((order) => {
      const blend = new RegionBlend(plan);
      const parts = orderedRegions(plan, order).flatMap((place) => {
        const level = (place.column % 2) * 40 + (place.row % 2) * 20;
        return blend.add(
          place,
          made(plan, place, 1, () => 100 + level),
        );
      });
      return assembled(parts, 1);
    });
    const [rows, ...others] = results as [Int32Array, ...Int32Array[]];
    for (const other of others) expect(other).toEqual(rows);
    let most = 0;
    for (let i = 1; i < rows.length; i++) {
      if (i % RESULT.width > 0) {
        most = Math.max(most, Math.abs((rows[i] as number) - (rows[i - 1] as number)));
      }
    }
    // 40 levels over some 52 pixels; the slope of a smooth step is at most 1.5 times the mean.
    expect(most).toBeLessThanOrEqual(2);
  });
});
