/** Small pictures of large values: the directions of most variance, and which channels are shown. */
import { describe, expect, it } from "vitest";
import { captureView, mapOf } from "../../demo/worker/inside/capture-view.ts";
import { principalComponents } from "../../demo/worker/inside/principal-components.ts";
import { uniformArray } from "../support/random.ts";

const dot = (a: Float64Array, b: Float64Array): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);

describe("principalComponents", () => {
  it("finds the directions that the data was made of", () => {
    // Three orthogonal directions with standard deviations 5, 2 and 1, and a mean.
    const directions = [
      [0.6, 0.8, 0, 0, 0],
      [0, 0, 1, 0, 0],
      [0, 0, 0, 0.8, -0.6],
    ].map((values) => Float64Array.from(values));
    const rows = 500;
    const noise = uniformArray(3 * rows, 7, 1);
    const data = new Float32Array(rows * 5);
    for (let row = 0; row < rows; row++) {
      directions.forEach((direction, k) => {
        const along = [5, 2, 1][k]! * noise[3 * row + k]!;
        direction.forEach((d, c) => (data[row * 5 + c]! += along * d));
      });
      data[row * 5]! += 10;
    }
    const { axes, shares, mean } = principalComponents({ data, rows, channels: 5 }, 3);
    axes.forEach((axis, k) => {
      expect(Math.abs(dot(axis, directions[k]!)), `axis ${k}`).toBeGreaterThan(0.99);
      expect(dot(axis, axis)).toBeCloseTo(1, 9);
    });
    expect(dot(axes[0]!, axes[1]!)).toBeCloseTo(0, 6);
    expect(mean[0]).toBeGreaterThan(9);
    expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
    expect(shares[0]! / shares[1]!).toBeGreaterThan(4);
  });

  it("makes nothing of nothing", () => {
    const { axes, shares } = principalComponents(
      { data: new Float32Array(12).fill(3), rows: 4, channels: 3 },
      3,
    );
    expect(axes.flatMap((axis) => [...axis]).every(Number.isFinite)).toBe(true);
    expect(shares).toEqual([0, 0, 0]);
  });
});

describe("captureView", () => {
  it("shows every channel of a small map between its ends", () => {
    const data = Float32Array.from([1, 10, 2, 10, 3, 10, 5, 10]);
    const view = captureView({ name: "a", stage: "unet", shape: [1, 2, 2, 2], data }, 1);
    expect([view.width, view.height, view.channels.length]).toEqual([2, 2, 2]);
    expect(view.channels[0]).toMatchObject({ index: 0, low: 1, high: 5 });
    expect([...view.channels[0]!.grey]).toEqual([0, 64, 128, 255]);
    expect([...view.channels[1]!.grey]).toEqual([128, 128, 128, 128]);
    expect(view.explained).toBeCloseTo(1, 6);
    // Alpha is full; the colours follow the only direction there is.
    expect(view.rgb.filter((_, i) => i % 4 === 3).every((alpha) => alpha === 255)).toBe(true);
    expect(view.rgb[0]!).toBeLessThan(view.rgb[12]!);
  });

  it("takes the channels that vary most and averages large maps", () => {
    const [size, channels] = [256, 20];
    const data = Float32Array.from({ length: size * size * channels }, (_, i) => {
      const channel = i % channels;
      return (
        channel * (Math.floor(i / channels) % 2 === 0 ? 1 : -1) +
        (Math.floor(i / channels) < 4 ? channel : 0)
      );
    });
    const view = captureView(
      { name: "a", stage: "decode", shape: [1, size, size, channels], data },
      1,
    );
    expect([view.width, view.height]).toEqual([128, 128]);
    expect(view.channels.map(({ index }) => index)).toEqual([
      8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ]);
    // The alternation along x is gone, what the first pixels have more is halved twice.
    expect(view.channels.at(-1)).toMatchObject({ low: 0, high: 9.5 });
  });

  it("puts tokens back into rows", () => {
    const tokens = (count: number, stage = "unet") => ({
      stage,
      shape: [1, count, 2],
      data: new Float32Array(2 * count),
    });
    expect(mapOf(tokens(257, "tokens"), 1)).toMatchObject({ width: 16, height: 16 });
    expect(mapOf(tokens(257, "tokens"), 1).data).toHaveLength(512);
    expect(mapOf(tokens(6 * 4), 1.5)).toMatchObject({ width: 6, height: 4 });
    expect(mapOf(tokens(5 * 2), 2.5)).toMatchObject({ width: 5, height: 2 });
    expect(mapOf(tokens(32 * 32), 1)).toMatchObject({ width: 32, height: 32 });
  });
});
