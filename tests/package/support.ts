/** Programs run to their end, and the package as npm makes it. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, symlink } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join, parse } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The repository. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** What `prepack` needs, and what the package is made of. */
const SOURCES = [
  "package.json",
  "README.md",
  "LICENSE",
  "bin",
  "cli",
  "fleet",
  "goldens",
  "models",
  "scripts",
  "src",
  "tsconfig.json",
  "tsconfig.build.json",
  "tsconfig.models.json",
];

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in `cwd` to its end, whatever that is. */
export async function run(
  cwd: string,
  command: string,
  args: readonly string[],
): Promise<Finished> {
  try {
    const shell = process.platform === "win32"; // npm is a .cmd there
    const { stdout, stderr } = await promisify(execFile)(command, [...args], { cwd, shell });
    return { exitCode: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (typeof code !== "number") throw error;
    return { exitCode: code, stdout, stderr };
  }
}

/** Its output; throws unless it succeeds. */
export async function mustRun(
  cwd: string,
  command: string,
  ...args: readonly string[]
): Promise<string> {
  const { exitCode, stdout, stderr } = await run(cwd, command, args);
  if (exitCode === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")}: exit code ${exitCode}\n${stdout}\n${stderr}`);
}

/** A folder above which no `node_modules` lies, so that a project there sees only what it has installed. */
export async function emptyPlace(): Promise<string> {
  const isBare = (folder: string): boolean =>
    !existsSync(join(folder, "node_modules")) &&
    (folder === parse(folder).root || isBare(dirname(folder)));
  const base = [tmpdir(), "/var/tmp", homedir()].find((path) => existsSync(path) && isBare(path));
  if (base === undefined) throw new Error(`a node_modules lies above ${tmpdir()} and ${homedir()}`);
  return mkdtemp(join(base, "rcod-pack-"));
}

/** Packs the repository as `npm publish` does; gives the path of the archive in `folder`. */
export async function packTo(folder: string): Promise<string> {
  // From a copy, so that a dist/ in use is not replaced under anybody's feet.
  const stage = join(folder, "stage");
  await mkdir(stage);
  for (const name of SOURCES) await cp(join(root, name), join(stage, name), { recursive: true });
  await symlink(join(root, "node_modules"), join(stage, "node_modules"), "junction");
  await mustRun(stage, "npm", "pack", "--pack-destination", folder);
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw new Error("npm pack made no .tgz");
  return join(folder, tarball);
}
