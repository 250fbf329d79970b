/** All faults, and what became of them. `npm run reliability:faults`; the tests try some of them. */
import { parseArgs } from "node:util";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { PHASES, injectFaults } from "./injection.ts";
import { scenarios } from "./scenarios.ts";

export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      every: { type: "string", default: "1" },
      only: { type: "string", default: "" },
      phase: { type: "string", default: "" },
      limit: { type: "string", default: "2000" },
    },
  });
  const gpu = await requestNodeGpu();
  let isClean = true;
  for (const scenario of await scenarios()) {
    if (!scenario.name.includes(values.only)) continue;
    for (const phase of PHASES.filter((name) => name.includes(values.phase))) {
      const startedAt = performance.now();
      let shown = 0;
      const show = (lines: readonly string[]): void => {
        for (; shown < lines.length; shown++) process.stdout.write(`${lines[shown]}\n`);
      };
      const { tried, rejected, wentOn, problems } = await injectFaults(gpu.device, scenario, {
        phases: [phase],
        every: Number(values.every),
        limitMs: Number(values.limit),
        onProgress: (counts) => show(counts.problems),
      });
      show(problems);
      const failed = new Set(problems.map((text) => text.split(": ", 2).join())).size;
      isClean &&= problems.length === 0;
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
      process.stdout.write(
        `${scenario.name}, ${phase}: ${tried} faults tried, ${tried - failed} survived ` +
          `(${rejected} with a typed error, ${wentOn} with the picture), ${seconds} s\n`,
      );
    }
  }
  gpu.destroy();
  return isClean ? 0 : 1;
}
