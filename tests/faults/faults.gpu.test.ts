/** Some of the faults that `npm run reliability:faults` tries, of each method and phase. */
import { describe, expect, it } from "vitest";
import { useGpu } from "../support/gpu.ts";
import { injectFaults } from "./injection.ts";
import { scenarios } from "./scenarios.ts";

const setup = useGpu();

describe("faults of the device", async () => {
  it.each(await scenarios())("$name: all are survived", async (scenario) => {
    const { tried, problems } = await injectFaults(setup.gpu.device, scenario, { every: 499 });
    process.stdout.write(`${scenario.name}: ${tried} faults tried\n`);
    expect(problems).toEqual([]);
    expect(tried).toBeGreaterThan(10);
  });
});
