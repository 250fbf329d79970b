/** The package as users get it: packed, installed into an empty project, imported, type-checked, bundled. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join, parse, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What `prepack` needs, and what the package is made of. */
const SOURCES = [
  "package.json",
  "README.md",
  "LICENSE",
  "bin",
  "models",
  "src",
  "tsconfig.json",
  "tsconfig.build.json",
];

interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in `cwd` to its end, whatever that is. */
async function run(cwd: string, command: string, args: readonly string[]): Promise<Finished> {
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

async function mustRun(cwd: string, command: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(cwd, command, args);
  expect(exitCode, `${command} ${args.join(" ")}\n${stdout}\n${stderr}`).toBe(0);
  return stdout;
}

/** A folder above which no `node_modules` lies, so that a project there sees only what it has installed. */
async function emptyPlace(): Promise<string> {
  const isBare = (folder: string): boolean =>
    !existsSync(join(folder, "node_modules")) &&
    (folder === parse(folder).root || isBare(dirname(folder)));
  const base = [tmpdir(), "/var/tmp", homedir()].find((path) => existsSync(path) && isBare(path));
  if (base === undefined) throw new Error(`a node_modules lies above ${tmpdir()} and ${homedir()}`);
  return mkdtemp(join(base, "rcod-pack-"));
}

let folder = "";
let project = "";
let installed = "";

beforeAll(async () => {
  folder = await emptyPlace();
  // Packed from a copy, so that a dist/ in use is not replaced under anybody's feet.
  const stage = join(folder, "stage");
  await mkdir(stage);
  for (const name of SOURCES) await cp(join(root, name), join(stage, name), { recursive: true });
  await symlink(join(root, "node_modules"), join(stage, "node_modules"), "junction");
  await mustRun(stage, "npm", "pack", "--pack-destination", folder);
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw new Error("npm pack made no .tgz");

  project = join(folder, "project");
  await mkdir(project);
  await writeFile(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  const flags = ["--omit=optional", "--omit=dev", "--no-audit", "--no-fund", "--offline"];
  await mustRun(project, "npm", "install", join(folder, tarball), ...flags);
  installed = join(project, "node_modules", "rcod-webgpu");
  const page = join(root, "tests", "package", "vite-page");
  for (const name of await readdir(page)) await cp(join(page, name), join(project, name));
}, 300_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Modules that an emitted module imports, in any form. */
function importsOf(code: string): string[] {
  const withoutComments = code.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const pattern = /\bfrom\s*["']([^"'\n]+)["']|\bimport\s*\(?\s*["']([^"'\n]+)["']/g;
  return Array.from(withoutComments.matchAll(pattern), ([, from, bare]) => from ?? bare ?? "");
}

describe("the package", () => {
  it("holds what it needs and nothing else", async () => {
    const entries = await readdir(installed);
    expect(entries.toSorted()).toEqual(
      ["LICENSE", "README.md", "bin", "dist", "models", "package.json"].toSorted(),
    );
    const files = await readdir(join(installed, "dist"), { recursive: true });
    expect(files.filter((name) => /\.(test|spec)\./.test(name))).toEqual([]);
    expect(files).toContain("index.js");
    expect(files).toContain("index.d.ts");
  });

  it("brings no other package along", async () => {
    const entries = await readdir(join(project, "node_modules"));
    expect(entries.filter((name) => !name.startsWith("."))).toEqual(["rcod-webgpu"]);
  });

  it("has a library entry that imports only its own files", async () => {
    const seen = new Set<string>();
    const bare: string[] = [];
    const visit = async (path: string): Promise<void> => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const name of importsOf(await readFile(path, "utf8"))) {
        if (name.startsWith("./") || name.startsWith("../")) await visit(join(dirname(path), name));
        else bare.push(`${path}: ${name}`);
      }
    };
    for (const entry of ["", "gpu", "graph", "kernels", "weights", "bench", "verify"]) {
      await visit(join(installed, "dist", entry, "index.js"));
    }
    expect(bare).toEqual([]);
    expect(seen.size).toBeGreaterThan(60); // the walk has gone through the library
  });

  it("is imported in Node, whole and by layer", async () => {
    const expected: Readonly<Record<string, readonly string[]>> = {
      "rcod-webgpu": ["loadModel", "requestGpu", "DeviceError", "ShapeError", "WeightsError"],
      "rcod-webgpu/gpu": ["requestGpu", "adoptDevice", "readBytes"],
      "rcod-webgpu/graph": ["GraphBuilder", "Program", "planGraph"],
      "rcod-webgpu/kernels": ["conv2d", "attention", "elementwise"],
      "rcod-webgpu/weights": ["openSafetensors", "bytesSource", "urlFiles"],
      "rcod-webgpu/bench": ["runKernelSuite", "CASES", "QUICK_CASES", "rooflineSvg"],
      "rcod-webgpu/verify": ["verifyFiles"],
      "rcod-webgpu/node": ["requestNodeGpu", "folderFiles"],
    };
    const code = `
      const exported = {};
      for (const name of ${JSON.stringify(Object.keys(expected))}) {
        exported[name] = Object.keys(await import(name));
      }
      console.log(JSON.stringify(exported));`;
    const exported = JSON.parse(
      await mustRun(project, process.execPath, "--input-type=module", "-e", code),
    ) as Record<string, readonly string[]>;
    for (const [name, names] of Object.entries(expected)) {
      expect(exported[name], name).toEqual(expect.arrayContaining([...names]));
    }
  });

  it.each([
    ["bundler", "esnext"],
    ["nodenext", "nodenext"],
  ])("has types under moduleResolution %s", async (moduleResolution, module) => {
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const flags = ["--noEmit", "--strict", "--target", "es2023", "--types", ""];
    const lib = ["--lib", "es2024,dom,dom.iterable,dom.asynciterable"];
    const resolution = ["--module", module, "--moduleResolution", moduleResolution];
    const files = ["main.ts", "layers.ts"];
    await mustRun(project, process.execPath, tsc, ...flags, ...lib, ...resolution, ...files);
  });

  it("is bundled into a page by Vite, without Node modules", async () => {
    const built = await build({ root: project, configFile: false, logLevel: "silent" });
    if (!("output" in built)) throw new Error("not one build");
    const chunks = built.output.filter((output) => output.type === "chunk");
    // A Node module would be among them as "__vite-browser-external:fs", or an import of the bundle.
    const foreign = chunks
      .flatMap(({ moduleIds, imports }) => [...moduleIds, ...imports])
      .filter((id) => !/^\0(vite|rolldown)\//.test(id)) // helpers of the bundler
      .map((id) => relative(project, id).replaceAll("\\", "/"))
      .filter((id) => !/^(node_modules\/rcod-webgpu\/|main\.ts$|index\.html)/.test(id));
    expect(foreign).toEqual([]);
    expect(chunks.map(({ code }) => code).join("\n")).toContain("workgroup_size"); // kernels are in
  });

  it("has a binary that says what to install where the optional packages are absent", async () => {
    const rcod = join(installed, "bin", "rcod.js");
    expect(await run(project, process.execPath, [rcod, "doctor"])).toEqual({
      exitCode: 1,
      stdout: "",
      stderr:
        "rcod: the command line needs packages that are not installed. " +
        "Run: npm install commander sharp cli-progress tinyglobby webgpu\n",
    });
  });
});
