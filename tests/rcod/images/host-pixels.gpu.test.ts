import { describe, expect, it } from "vitest";
import { withChannels } from "../../../src/rcod/images/host-pixels.ts";

describe("withChannels", () => {
  it.each([
    [[0, 0, 1], 0],
    [[0, 1, 1], 1],
    [[255, 255, 254], 255],
    [[10, 20, 30], 20],
  ])("grey of %j is the nearest level to the mean, %i", (color, grey) => {
    const rgba = Uint8Array.from([...color, 77]);
    expect([...withChannels(rgba, 1)]).toEqual([grey]);
    expect([...withChannels(rgba, 2)]).toEqual([grey, 77]);
    expect([...withChannels(rgba, 3)]).toEqual(color);
    expect(withChannels(rgba, 4)).toBe(rgba);
  });
});
