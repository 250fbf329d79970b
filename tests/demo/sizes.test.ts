/** Sizes of results, of parts and of what is decoded: pure arithmetic. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectedTime, timeWords } from "../../demo/estimate.ts";
import { isForbidden, obstacleOf } from "../../demo/obstacle.ts";
import type { Estimate } from "../../demo/protocol.ts";
import { resultSize, upscaleSettings } from "../../demo/request.ts";
import { DEFAULT_SETTINGS, fromHash, toHash } from "../../demo/settings.ts";
import { HANDLES, firstFrame, moved, resized } from "../../demo/stage/crop-geometry.ts";
import { fittingCut } from "../../demo/worker/decode-plan.ts";
import { callSizes } from "../../src/rcod/images/result-size.ts";

const photo = { width: 2400, height: 1600 };
const wishes = { settings: DEFAULT_SETTINGS, model: null, image: photo, mask: null };
const aimed = (side: "width" | "height", pixels: number): typeof wishes => ({
  ...wishes,
  settings: { ...DEFAULT_SETTINGS, target: { side, pixels } },
});

describe("a size that is aimed at", () => {
  it("is the engine's to the pixel", () => {
    const side = fc.integer({ min: 1, max: 3000 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 1, max: 12_000 }), (width, height, pixels) => {
        const of = { ...aimed("width", pixels), image: { width, height } };
        const { scale, size } = upscaleSettings(of);
        const { result } = callSizes({ width, height }, size ? { size } : { scale }, 4);
        expect(resultSize(of)).toEqual([result.width, result.height]);
      }),
    );
  });

  it("is never more than the model enlarges", () => {
    expect(resultSize(aimed("width", 99_999))).toEqual([9600, 6400]);
    expect(upscaleSettings(aimed("height", 99_999))).toMatchObject({ scale: 4, size: null });
    expect(upscaleSettings(aimed("height", 800))).toMatchObject({
      scale: 0.5,
      size: { height: 800 },
    });
  });

  it("goes with a link", () => {
    const { settings } = aimed("height", 1080);
    expect(toHash(settings)).toBe("height=1080");
    expect(fromHash("#height=1080").target).toEqual({ side: "height", pixels: 1080 });
    for (const hash of ["width=0", "width=-3", "width=x", "height=1e9", "width="]) {
      expect(fromHash(hash).target).toBeNull();
    }
  });
});

const estimate: Estimate = {
  width: 9600,
  height: 6400,
  regions: 24,
  work: 1e13,
  timeMs: null,
  peakBytes: 1e9,
  advice: [],
};
const software = { isSoftware: true } as Parameters<typeof expectedTime>[1];
const hardware = { isSoftware: false } as Parameters<typeof expectedTime>[1];

describe("the time of a run", () => {
  it("is the model's, or else a class and no figure", () => {
    const of = (given: Partial<Estimate>): string => {
      const time = expectedTime({ ...estimate, ...given }, software);
      return time ? timeWords(time) : "";
    };
    expect(of({ timeMs: 65_000 })).toBe("about 1 min 5 s");
    expect(of({ timeMs: 3.6e6 * 5.5 })).toBe("about 5.5 h");
    expect(of({})).toMatch(/^(a|less|some|half|hours)/);
    expect(of({ work: 1e20 })).toBe("hours");
    expect(expectedTime(null, software)).toBeNull();
    expect(expectedTime(estimate, hardware)).toBeNull();
  });
});

describe("what stands against a run", () => {
  const outlook = {
    picture: photo,
    result: [9600, 6400],
    estimate,
    refusal: null,
    device: software,
  } as const;
  const kindOf = (given: Partial<Parameters<typeof obstacleOf>[0]>): string | null =>
    obstacleOf({ ...outlook, ...given }, 8)?.kind ?? null;

  it("is that it cannot be saved, is refused, or takes too much memory", () => {
    expect(kindOf({ estimate: { ...estimate, timeMs: 1000 } })).toBeNull();
    expect(kindOf({ result: [20_000, 20_000] })).toBe("unsavable");
    expect(kindOf({ refusal: "geometry: …" })).toBe("refused");
    expect(kindOf({ estimate: { ...estimate, peakBytes: 1e12 } })).toBe("memory");
    for (const kind of ["unsavable", "refused"] as const) expect(isForbidden({ kind })).toBe(true);
  });

  it("is hours, which nothing forbids, but not on a GPU that has not run yet", () => {
    const hours = { ...estimate, timeMs: 3 * 3.6e6 };
    const slow = obstacleOf({ ...outlook, estimate: hours }, 8);
    expect(slow?.kind).toBe("slow");
    expect(isForbidden(slow)).toBe(false);
    const unknown = { ...estimate, work: 1e16 };
    expect(kindOf({ estimate: unknown })).toBe("slow");
    expect(kindOf({ estimate: unknown, device: hardware })).toBeNull();
  });
});

describe("a part of a picture", () => {
  const sides = fc.record({
    width: fc.integer({ min: 1, max: 5000 }),
    height: fc.integer({ min: 1, max: 5000 }),
  });
  const by = fc.tuple(
    fc.double({ min: -9000, max: 9000, noNaN: true }),
    fc.double({ min: -9000, max: 9000, noNaN: true }),
  );

  it("stays in whole pixels within the picture, whatever drags it", () => {
    fc.assert(
      fc.property(
        sides,
        fc.array(fc.tuple(fc.integer({ min: -1, max: 7 }), by)),
        (within, drags) => {
          let frame = firstFrame({ x: 0, y: 0, ...within }, within);
          for (const [index, way] of drags) {
            const handle = HANDLES[index];
            frame = handle ? resized(frame, handle, way, within) : moved(frame, way, within);
            for (const value of Object.values(frame)) expect(Number.isInteger(value)).toBe(true);
            expect(Math.min(frame.x, frame.y)).toBeGreaterThanOrEqual(0);
            expect(frame.x + frame.width).toBeLessThanOrEqual(within.width);
            expect(frame.y + frame.height).toBeLessThanOrEqual(within.height);
            expect(Math.min(frame.width, frame.height)).toBeGreaterThanOrEqual(1);
          }
        },
      ),
    );
  });

  it("moves only the edges that its handle holds", () => {
    const frame = { x: 100, y: 200, width: 300, height: 400 };
    const pull = (name: string): object => {
      const handle = HANDLES.find((each) => each.name === name);
      if (!handle) throw new Error(name);
      return resized(frame, handle, [10, 20], photo);
    };
    expect(pull("Top left corner")).toEqual({ x: 110, y: 220, width: 290, height: 380 });
    expect(pull("Bottom right corner")).toEqual({ x: 100, y: 200, width: 310, height: 420 });
    expect(pull("Right edge")).toEqual({ ...frame, width: 310 });
    expect(pull("Top edge")).toEqual({ ...frame, y: 220, height: 380 });
  });

  it("begins as what is seen, or as the middle", () => {
    const seen = { x: 10.4, y: 20.6, width: 100.2, height: 50 };
    expect(firstFrame(seen, photo)).toEqual({ x: 10, y: 21, width: 100, height: 50 });
    expect(firstFrame({ x: 0, y: 0, ...photo }, photo)).toEqual({
      x: 600,
      y: 400,
      width: 1200,
      height: 800,
    });
  });
});

describe("a file", () => {
  it("is decoded as it is while memory allows, then smaller, then not", () => {
    expect(fittingCut(photo, null, 4)).toBeNull();
    const cut = { x: 5, y: 6, width: 700, height: 800, maxSide: 512 };
    expect(fittingCut(photo, cut, 4)).toEqual(cut);
    const smaller = fittingCut({ width: 20_000, height: 10_000 }, null, 4);
    expect(smaller).toMatchObject({ x: 0, y: 0, width: 20_000, height: 10_000 });
    expect(smaller?.maxSide).toBeLessThan(14_000);
    expect(smaller?.maxSide).toBeGreaterThan(10_000);
    expect(() => fittingCut({ width: 40_000, height: 30_000 }, null, 8)).toThrow(
      "40000×30000 pixels are more than",
    );
  });
});
