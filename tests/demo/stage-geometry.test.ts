/** Zoom and pan: what is under the pointer stays there, and a picture cannot be lost. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Zoom } from "../../demo/stage/compare-state.ts";
import { boxOnStage, panned, viewportOf, zoomedAt } from "../../demo/stage/geometry.ts";
import type { Point, Viewport } from "../../demo/view-transform.ts";
import { toCanvas, toPicture, transform } from "../../demo/view-transform.ts";

const SIZE = { width: 900, height: 600, ratio: 1 };
const PICTURE: Point = [512, 384];

function viewport(zoom: Zoom): Viewport {
  return viewportOf(SIZE, "split", zoom, PICTURE);
}

describe("the view", () => {
  it("fits the picture with a margin, and half the stage side by side", () => {
    expect(viewport("fit").scale).toBeCloseTo((600 - 48) / 384);
    const half = viewportOf(SIZE, "side", "fit", PICTURE);
    expect(half.width).toBe(450);
    expect(half.scale).toBeCloseTo((450 - 48) / 512);
  });

  it("lays the picture's corner on a whole canvas pixel", () => {
    const odd = viewportOf({ width: 901, height: 601, ratio: 1 }, "single", "fit", PICTURE);
    const [x, y] = transform([0, 0], toCanvas({ ...odd, scale: 1 }));
    expect(x).toBeCloseTo(Math.round(x), 3);
    expect(y).toBeCloseTo(Math.round(y), 3);
  });

  it("goes from canvas to picture and back", () => {
    const view = viewport({ scale: 3.7, centre: [100, 50] });
    const there = transform([123, 45], toPicture(view));
    const [x, y] = transform(there, toCanvas(view));
    expect(x).toBeCloseTo(123, 2);
    expect(y).toBeCloseTo(45, 2);
  });

  it("says where a part of the picture lies, in CSS pixels", () => {
    const view = viewport({ scale: 2, centre: [100, 50] });
    const { x, y, width, height } = boxOnStage({ x: 100, y: 50, width: 40, height: 20 }, view, 2);
    expect([x, y, width, height].map(Math.round)).toEqual([225, 150, 40, 20]);
  });

  it("keeps the place under the pointer while zooming in", () => {
    const place = fc.tuple(fc.integer({ min: 200, max: 700 }), fc.integer({ min: 150, max: 450 }));
    fc.assert(
      fc.property(place, fc.double({ min: 1.05, max: 4, noNaN: true }), (at, factor) => {
        const before = viewport("fit");
        const after = viewport(zoomedAt(before, factor, at, PICTURE));
        const [x, y] = transform(transform(at, toPicture(before)), toCanvas(after));
        // The corner lies on whole pixels before and after: half a pixel each, the first one enlarged.
        expect(Math.hypot(x - at[0], y - at[1])).toBeLessThan(1 + factor);
      }),
    );
  });

  it("cannot be moved off the picture, nor zoomed beyond its limits", () => {
    const far = panned(viewport("fit"), [1e6, -1e6], PICTURE);
    expect(far).toMatchObject({ centre: [0, 384] });
    let view = viewport("fit");
    for (let i = 0; i < 50; i++) view = viewport(zoomedAt(view, 2, [450, 300], PICTURE));
    expect(view.scale).toBe(64);
    for (let i = 0; i < 50; i++) view = viewport(zoomedAt(view, 0.5, [450, 300], PICTURE));
    expect(view.scale).toBe(0.5);
  });
});
