import { expect, it } from "vitest";
import type { Alternatives, Outlook } from "../../../src/rcod/estimate/advice.ts";
import { advise } from "../../../src/rcod/estimate/advice.ts";

const MB = 1024 * 1024;
const CALL: Outlook = { work: 100, timeMs: 200_000, peakBytes: 1000 * MB, regions: 1 };
const told = (alternatives: Partial<Alternatives>, call = CALL): string =>
  advise(call, { couldBeF16: false, ...alternatives }).join("\n");

it.each<[string, Partial<Alternatives>, string]>([
  ["nothing to say", {}, ""],
  [
    "fewer pixels",
    { half: { work: 26, timeMs: 52_000, peakBytes: 300 * MB, regions: 1 } },
    "A picture of half the width and height takes 52 s instead of 3 min and 300 MiB of the device's memory instead of 1000 MiB.",
  ],
  [
    "fewer pixels in regions of the same size",
    { half: { work: 26, timeMs: 9000, peakBytes: 1000 * MB, regions: 1 } },
    "A picture of half the width and height takes 9.0 s instead of 3 min.",
  ],
  [
    "smaller regions",
    { region: { work: 130, timeMs: 260_000, peakBytes: 300 * MB, regions: 9, side: 512 } },
    'With "region: 512" it takes 300 MiB of the device\'s memory instead of 1000 MiB, and 4 min instead of 3 min, in 9 regions.',
  ],
  [
    "smaller regions that save nothing",
    { region: { work: 130, peakBytes: 950 * MB, regions: 9, side: 512 } },
    "",
  ],
  [
    "no tiles",
    { untiled: { work: 60, timeMs: 120_000, peakBytes: 2000 * MB, regions: 1 } },
    'Without "tile" it takes 2 min instead of 3 min: tiles compute their margins too.',
  ],
  [
    "no mask",
    { unmasked: { work: 60, timeMs: 8e6, peakBytes: 1000 * MB, regions: 1 } },
    'Without "realismMask" it takes 2.2 h instead of 3 min: the UNet runs once.',
  ],
  [
    "low memory",
    { lowMemoryBytes: 5.5 * MB },
    'Loaded with "lowMemory: true" it takes 5.5 MiB of the device\'s memory instead of 1000 MiB; weights are then read again for every picture.',
  ],
  ["low memory that saves little", { lowMemoryBytes: 960 * MB }, ""],
  [
    "halves",
    { couldBeF16: true },
    'Loaded with "precision: \\"f16\\"" weights and activations take half the memory, and the call less time.',
  ],
])("%s", (_, alternatives, expected) => {
  expect(told(alternatives)).toBe(expected);
});

it("speaks of work where the time is not known", () => {
  const { timeMs: _unknown, ...call } = CALL;
  expect(told({ half: { work: 26, peakBytes: 1000 * MB, regions: 1 } }, call)).toBe(
    "A picture of half the width and height takes 26 % of the work.",
  );
});
