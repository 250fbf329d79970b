import { describe, expect, it } from "vitest";
import { realismAt, timestepAt } from "../../../src/rcod/settings/realism-table.ts";

const TABLE = [249, 549, 649, 699, 749];

describe("timestepAt", () => {
  it.each([
    [0, 249],
    [0.125, 399],
    [0.25, 549],
    [0.5, 649],
    [0.625, 674],
    [1, 749],
  ])("%d is %d", (realism, timestep) => {
    expect(timestepAt(TABLE, realism)).toBe(timestep);
  });

  it("is one straight line by two entries", () => {
    expect([0, 0.1, 0.5, 1].map((realism) => timestepAt([249, 749], realism))).toEqual([
      249, 299, 499, 749,
    ]);
  });
});

describe("realismAt", () => {
  it("is the other way round", () => {
    for (let step = 0; step <= 40; step++) {
      expect(realismAt(TABLE, timestepAt(TABLE, step / 40))).toBeCloseTo(step / 40, 12);
    }
  });

  it("goes straight on beyond both ends", () => {
    expect(realismAt(TABLE, 849)).toBe(1.5);
    expect(realismAt(TABLE, 129)).toBe(-0.1);
  });
});
