/** `npm run reliability:configs [-- FILES]`: all damaged texts, 10,000 of each. */
import { configTargets } from "./configs.ts";
import { tryFiles } from "./try-files.ts";

export async function main([count = "10000"]: readonly string[]): Promise<number> {
  let failed = 0;
  for (const target of configTargets) {
    const { name, files, answers, failures, slowestMs, largestBytes } = await tryFiles(
      target,
      0,
      Number(count),
    );
    const read = answers.get("read") ?? 0;
    process.stdout.write(
      `${name}: ${files} files, ${read} read, ${files - read - failures.length} refused in ${answers.size} ways, ` +
        `${failures.length} failures; slowest ${slowestMs.toFixed(0)} ms, heap + ${(largestBytes / 2 ** 20).toFixed(1)} MiB\n`,
    );
    for (const failure of failures.slice(0, 20)) process.stdout.write(`  ${failure}\n`);
    failed += failures.length;
  }
  return failed === 0 ? 0 : 1;
}
