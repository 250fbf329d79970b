/**
 * `npm run reliability:fuzz [-- FILES [SEED [NAME]]]`: 10,000 spoiled files of every target, or as many as asked, of
 * the targets whose name begins with NAME. Prints a row of a table each; exit code 1 when a file broke a rule.
 */
import { fuzz } from "./fuzz.ts";
import type { FuzzTarget } from "./target.ts";
import { WEIGHT_TARGETS } from "./weights.ts";

/** All readers that are fuzzed. */
export const TARGETS: readonly FuzzTarget[] = [...WEIGHT_TARGETS];

export async function main([
  files = "10000",
  seed = "1",
  name = "",
]: readonly string[]): Promise<number> {
  console.log("| reader | files | read | refused | slowest | buffers per byte of the file |");
  console.log("|---|---|---|---|---|---|");
  let failed = 0;
  for (const target of TARGETS.filter((one) => one.name.startsWith(name))) {
    const { opened, slowestMs, growth, failures } = await fuzz(target, Number(files), Number(seed));
    const refused = Number(files) - opened;
    console.log(
      `| ${target.name} | ${files} | ${opened} | ${refused} | ${slowestMs.toFixed(0)} ms | ${growth.toFixed(2)} |`,
    );
    for (const failure of failures.slice(0, 10)) console.log(`${target.name}, ${failure}`);
    failed += failures.length;
  }
  return failed === 0 ? 0 : 1;
}
