/**
 * Which versions of TypeScript read the package's declarations: `npm run build && node bench/run.mjs ../scripts/compilers`
 * fetches each from the registry and prints a line for it. `-- 5.8 next` asks others.
 */
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SETUPS, typeErrors, typesProject } from "../tests/package/compilers.ts";
import { emptyPlace, mustRun, root } from "../tests/package/support.ts";

const VERSIONS = ["5.4", "5.5", "5.6", "5.7", "5.8", "5.9", "6.0", "latest"];

export async function main(args: readonly string[]): Promise<number> {
  const place = await emptyPlace();
  let failures = 0;
  try {
    const built = join(place, "built");
    for (const name of ["package.json", "dist"])
      await cp(join(root, name), join(built, name), { recursive: true });
    const project = await typesProject(place, built);
    for (const version of args.length > 0 ? args : VERSIONS) {
      const folder = join(place, version);
      await mkdir(folder);
      await writeFile(join(folder, "package.json"), '{ "private": true }');
      await mustRun(folder, "npm", "install", "--no-audit", "--no-fund", `typescript@${version}`);
      const compiler = join(folder, "node_modules", "typescript");
      const errors: string[] = [];
      for (const setup of SETUPS) errors.push(...(await typeErrors(compiler, project, setup)));
      process.stdout.write(
        `typescript ${version}: ${SETUPS.length} setups, ${errors.length} errors\n`,
      );
      for (const error of errors) process.stdout.write(`  ${error}\n`);
      failures += errors.length;
    }
  } finally {
    await rm(place, { recursive: true, force: true });
  }
  return failures === 0 ? 0 : 1;
}
