/** What TypeScript compilers of users say of the package's declarations. */
import { cp, mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root, run } from "./support.ts";

/** How a user's project is set up. */
export interface Setup {
  readonly lib: string;
  /** `module` and `moduleResolution`. */
  readonly modules: readonly [module: string, resolution: string];
  /** Packages of types that it has; none of them is needed. */
  readonly types: readonly ("@webgpu/types" | "node")[];
}

/** Pages, workers and Node, under every resolution that knows `exports`. The oldest library has what the package runs on. */
export const SETUPS: readonly Setup[] = [
  { lib: "es2022,dom", modules: ["nodenext", "nodenext"], types: [] },
  { lib: "es2022", modules: ["node16", "node16"], types: ["node"] },
  { lib: "es2022,webworker", modules: ["esnext", "bundler"], types: [] },
  { lib: "es2022", modules: ["nodenext", "nodenext"], types: [] },
  { lib: "esnext,dom,dom.iterable", modules: ["node16", "node16"], types: ["@webgpu/types"] },
  { lib: "esnext,dom", modules: ["esnext", "bundler"], types: ["@webgpu/types", "node"] },
];

const STRICT = {
  noEmit: true,
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  target: "es2022",
};

/**
 * Errors of one compiler in a project with `types-project` and the package. The compiler reads all declarations. Errors within
 * `@types/node` and `@webgpu/types` are left out, and those that the latter makes in the compiler's own libraries: from
 * TypeScript 6 on both declare WebGPU, and not alike.
 */
export async function typeErrors(
  compiler: string,
  project: string,
  { lib, modules: [module, moduleResolution], types }: Setup,
): Promise<readonly string[]> {
  const compilerOptions = { ...STRICT, module, moduleResolution, lib: lib.split(","), types };
  const files = ["every-entry.ts", ...(types.includes("node") ? ["node-entry.ts"] : [])];
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  const tsc = join(compiler, "bin", "tsc");
  const { stdout, stderr } = await run(project, process.execPath, [tsc, "-p", project]);
  const lines = `${stdout}\n${stderr}`.split("\n").filter((line) => line.includes("error TS"));
  const foreign = /node_modules\/(@types|@webgpu|undici-types)\//;
  const known = types.includes("@webgpu/types") ? /node_modules\/@?typescript.*\/lib\./ : foreign;
  return lines.filter((line) => !foreign.test(line) && !known.test(line));
}

/** A project in a folder of its own within `place`: `types-project`, the package, and types that a setup may name. */
export async function typesProject(place: string, installed: string): Promise<string> {
  const project = await mkdtemp(join(place, "types-"));
  await cp(join(root, "tests", "package", "types-project"), project, { recursive: true });
  const modules = join(project, "node_modules");
  for (const name of ["@types", "@webgpu"]) await mkdir(join(modules, name), { recursive: true });
  await cp(installed, join(modules, "rcod-webgpu"), { recursive: true });
  for (const name of ["@types/node", "@webgpu/types"])
    await symlink(join(root, "node_modules", name), join(modules, name), "junction");
  return project;
}
