/** Some of the faults that `npm run reliability:faults` tries, of each method and phase. */
import { describe, expect, it } from "vitest";
import { useGpu } from "../support/gpu.ts";
import { PHASES, injectFaults } from "./injection.ts";
import { scenarios } from "./scenarios.ts";

const setup = useGpu();

describe("faults of the device", async () => {
  it.each(await scenarios())("$name: all are survived", async (scenario) => {
    const { tried, problems } = await injectFaults(setup.gpu.device, scenario, {
      phases: scenario.name === "plain" ? PHASES : ["call afresh", "next call"], // all load alike
      every: scenario.name === "plain" ? 1499 : 2399,
      limitMs: 20_000, // the machine runs other tests
    });
    process.stdout.write(`${scenario.name}: ${tried} faults tried\n`);
    expect(problems).toEqual([]);
    expect(tried).toBeGreaterThan(1);
  });
});
