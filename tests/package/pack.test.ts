/** The package as users get it: packed, installed into an empty project, imported, type-checked, bundled. */
import { cp, mkdir, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import type { InlineConfig, Rolldown } from "vite";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SETUPS, typeErrors, typesProject } from "./compilers.ts";
import { emptyPlace, mustRun, packTo, root, run } from "./support.ts";

/**
 * Largest download of the library without a model, minified and gzipped, in bytes: what the main entry loads at once, and
 * that with what loads on demand: the reader of files of torch.save, other people's names and files, pictures of 16 bits,
 * the VAE in tiles, estimates, and closer looks at servers.
 */
const SIZE_AT_ONCE = 152_000;
const SIZE_IN_ALL = 183_000;

/** Entries of the package, with something that each exports. */
const ENTRIES: Readonly<Record<string, readonly string[]>> = {
  "rcod-webgpu": ["loadModel", "requestGpu", "DeviceError", "ShapeError", "WeightsError"],
  "rcod-webgpu/gpu": ["requestGpu", "adoptDevice", "readBytes"],
  "rcod-webgpu/graph": ["GraphBuilder", "Program", "planGraph"],
  "rcod-webgpu/kernels": ["conv2d", "attention", "elementwise", "dispatch"],
  "rcod-webgpu/weights": ["openSafetensors", "bytesSource", "urlFiles"],
  "rcod-webgpu/cache": ["cachedUrlFiles", "listCache"],
  "rcod-webgpu/worker": ["loadModelInWorker"],
  "rcod-webgpu/worker-calls": ["Connection", "CallHost", "onConnect"],
  "rcod-webgpu/worker-host": ["serveModels"],
  "rcod-webgpu/models/rcod-tiny": ["rcodTiny"],
  "rcod-webgpu/bench": ["runKernelSuite", "CASES", "QUICK_CASES", "rooflineSvg"],
  "rcod-webgpu/verify": ["verifyFiles"],
  "rcod-webgpu/node": ["requestNodeGpu", "folderFiles"],
};

let folder = "";
let tarball = "";
let project = "";
let pnpmProject = "";
let installed = "";

beforeAll(async () => {
  folder = await emptyPlace();
  tarball = await packTo(folder);
  project = await newProject("project");
  const flags = ["--omit=optional", "--omit=dev", "--no-audit", "--no-fund", "--offline"];
  await mustRun(project, "npm", "install", tarball, ...flags);
  installed = join(project, "node_modules", "rcod-webgpu");

  // As pnpm lays it out: packages in a store of the project's, links to them where they are imported.
  pnpmProject = await newProject("pnpm-project");
  const store = join(pnpmProject, "node_modules", ".pnpm", "rcod-webgpu@file", "node_modules");
  await mkdir(store, { recursive: true });
  await cp(installed, join(store, "rcod-webgpu"), { recursive: true });
  await symlink(
    join(store, "rcod-webgpu"),
    join(pnpmProject, "node_modules", "rcod-webgpu"),
    "junction",
  );
}, 300_000);

/** An empty project with the sources of `vite-page`. */
async function newProject(name: string): Promise<string> {
  const place = join(folder, name);
  await mkdir(place);
  await writeFile(join(place, "package.json"), '{ "private": true, "type": "module" }\n');
  const page = join(root, "tests", "package", "vite-page");
  for (const file of await readdir(page)) await cp(join(page, file), join(place, file));
  return place;
}

afterAll(() => rm(folder, { recursive: true, force: true }));

/** What Vite makes of a page; nothing is written. */
async function bundled(config: InlineConfig): Promise<Rolldown.RolldownOutput["output"]> {
  const built = await build({
    configFile: false,
    logLevel: "silent",
    ...config,
    build: { write: false, ...config.build },
  });
  if (!("output" in built)) throw new Error("not one build");
  return built.output;
}

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
      "LICENSE README.md bin cli dist fleet goldens models package.json src".split(" "),
    );
    const files = await readdir(join(installed, "dist"), { recursive: true });
    expect(files.filter((name) => /\.(test|spec)\./.test(name))).toEqual([]);
    expect(files).toContain("src/index.js");
    expect(files).toContain("src/index.d.ts");
    expect(await readdir(join(installed, "cli", "adapter"))).toContain("fetch-packages.sh");
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
    for (const entry of ["", "gpu", "graph", "kernels", "weights", "worker", "bench", "verify"]) {
      await visit(join(installed, "dist", "src", entry, "index.js"));
    }
    expect(bare).toEqual([]);
    expect(seen.size).toBeGreaterThan(60); // the walk has gone through the library
  });

  it("is what its manifest says, to publint and to arethetypeswrong", async () => {
    const manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as object;
    expect(manifest).toMatchObject({
      type: "module",
      sideEffects: ["./dist/src/worker/host.js", "./src/worker/host.ts"],
    });
    expect(manifest).not.toHaveProperty("dependencies");
    const { messages } = await publint({ pkgDir: installed, strict: true, pack: false });
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([]);
    const attw = join(root, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js");
    const flags = ["--profile", "esm-only", "--format", "json"];
    const found = await mustRun(project, process.execPath, attw, tarball, ...flags);
    const { analysis, problems } = JSON.parse(found) as {
      readonly analysis: { readonly entrypoints: Readonly<Record<string, unknown>> };
      readonly problems: Readonly<Record<string, readonly { readonly resolutionKind: string }[]>>;
    };
    const entries = Object.keys(ENTRIES).map((name) => name.replace("rcod-webgpu", "."));
    expect(Object.keys(analysis.entrypoints)).toEqual(expect.arrayContaining(entries));
    // The package is ESM for Node ≥ 20: what require() and the resolution of Node 10 see does not matter.
    const meant = Object.values(problems)
      .flat()
      .filter(({ resolutionKind }) => !["node10", "node16-cjs"].includes(resolutionKind));
    expect(meant).toEqual([]);
  });

  it("carries golden files where `rcod verify` looks for them, and they parse", async () => {
    const code = `
      import { readdirSync } from "node:fs";
      import { openSafetensors } from "rcod-webgpu/weights";
      import { fileSource } from "rcod-webgpu/node";
      const { BUNDLED_GOLDENS } = await import(process.argv[1]);
      let cases = 0;
      for (const name of readdirSync(BUNDLED_GOLDENS)) {
        const { metadata } = await openSafetensors(await fileSource(BUNDLED_GOLDENS + "/" + name));
        cases += Object.keys(JSON.parse(metadata.get("cases"))).length;
      }
      console.log(BUNDLED_GOLDENS, cases);`;
    const place = pathToFileURL(join(installed, "dist", "cli", "package-root.js")).href;
    const found = await mustRun(
      project,
      process.execPath,
      "--input-type=module",
      "-e",
      code,
      place,
    );
    expect(found.trim()).toBe(`${join(installed, "goldens")} 43`);
  });

  it("has source maps that lead to the sources", async () => {
    const files = await readdir(join(installed, "dist"), { recursive: true });
    const maps = files.filter((name) => name.endsWith(".map"));
    expect(maps.length).toBe(files.filter((name) => /\.(js|d\.ts)$/.test(name)).length);
    for (const name of maps) {
      const path = join(installed, "dist", name);
      const map = JSON.parse(await readFile(path, "utf8")) as {
        readonly sources: readonly string[];
      };
      for (const source of map.sources) {
        const original = await readFile(join(dirname(path), source), "utf8");
        expect(original.length, `${name}: ${source}`).toBeGreaterThan(0);
      }
      const code = await readFile(path.replace(/\.map$/, ""), "utf8");
      expect(code).toMatch(/\n\/\/# sourceMappingURL=[\w.-]+\.map\s*$/);
    }
  });

  describe.each(["npm", "pnpm"])("installed by %s", (client) => {
    const place = (): string => (client === "npm" ? project : pnpmProject);

    it("is imported in Node, whole and by layer", async () => {
      const code = `
        // A server has none of these; newer versions of Node have some.
        for (const name of ["navigator", "document", "self", "location", "Worker", "OffscreenCanvas"])
          delete globalThis[name];
        const exported = {};
        for (const name of ${JSON.stringify(Object.keys(ENTRIES))}) {
          exported[name] = Object.keys(await import(name));
        }
        console.log(JSON.stringify(exported));`;
      const exported = JSON.parse(
        await mustRun(place(), process.execPath, "--input-type=module", "-e", code),
      ) as Record<string, readonly string[]>;
      for (const [name, names] of Object.entries(ENTRIES)) {
        expect(exported[name], name).toEqual(expect.arrayContaining([...names]));
      }
    });

    it("has the types that its users write", async () => {
      const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
      const flags = ["--noEmit", "--strict", "--target", "es2023", "--types", ""];
      const lib = ["--lib", "es2024,dom,dom.iterable,dom.asynciterable"];
      const modules = ["--module", "nodenext", "--moduleResolution", "nodenext"];
      const files = ["main.ts", "layers.ts"];
      await mustRun(place(), process.execPath, tsc, ...flags, ...lib, ...modules, ...files);
    });
  });

  // The older is the one under arethetypeswrong, seconds a setup. `scripts/compilers.ts` asks all versions.
  it.each([
    ["typescript", SETUPS],
    ["@arethetypeswrong/core/node_modules/typescript", SETUPS.slice(0, 2)],
  ])(
    "has declarations without errors to %s, whatever libraries and types are there",
    async (compiler, setups) => {
      const place = await typesProject(folder, installed);
      for (const setup of setups) {
        const errors = await typeErrors(join(root, "node_modules", compiler), place, setup);
        expect(errors, JSON.stringify(setup)).toEqual([]);
      }
    },
    300_000,
  );

  it("is bundled into a page by Vite, without Node modules", async () => {
    const output = await bundled({ root: project });
    const chunks = output.filter((part) => part.type === "chunk");
    // A Node module would be among them as "__vite-browser-external:fs", or an import of the bundle.
    const foreign = chunks
      .flatMap(({ moduleIds, imports }) => [...moduleIds, ...imports])
      .filter((id) => !/^\0(vite|rolldown)\//.test(id)) // helpers of the bundler
      .filter((id) => !output.some(({ fileName }) => fileName === id)) // chunks of the bundle itself
      .map((id) => relative(project, id).replaceAll("\\", "/"))
      .filter((id) => !/^(node_modules\/rcod-webgpu\/|main\.ts$|index\.html)/.test(id));
    expect(foreign).toEqual([]);
    expect(chunks.map(({ code }) => code).join("\n")).toContain("workgroup_size"); // kernels are in
  });

  it("is small, and only readers of others' files, deep pictures, tiles, estimates and packed integers load on demand", async () => {
    const output = await bundled({
      root: installed,
      build: {
        minify: true,
        rolldownOptions: {
          input: join(installed, "dist", "src", "index.js"),
          preserveEntrySignatures: "strict",
        },
      },
    });
    const chunks = new Map(
      output.flatMap((part) => (part.type === "chunk" ? [[part.fileName, part] as const] : [])),
    );
    const atOnce = new Set([...chunks.values()].flatMap((c) => (c.isEntry ? [c.fileName] : [])));
    for (const name of atOnce)
      for (const imported of chunks.get(name)?.imports ?? []) atOnce.add(imported);
    const sizeOf = (names: Iterable<string>): number =>
      [...names].reduce(
        (sum, name) => sum + gzipSync(chunks.get(name)?.code ?? "", { level: 9 }).byteLength,
        0,
      );
    const [total, inAll] = [sizeOf(atOnce), sizeOf(chunks.keys())];
    process.stdout.write(
      `library: ${total} bytes at once, minified and gzipped, ${inAll} in all\n`,
    );
    const onDemand = [...chunks.values()]
      .filter(({ fileName }) => !atOnce.has(fileName))
      .flatMap(({ moduleIds }) => moduleIds.map((id) => relative(installed, id)))
      .map((id) => dirname(id).replaceAll("\\", "/"));
    expect([...new Set(onDemand)].toSorted()).toEqual([
      "dist/src/graph/weights", // weights of integers
      "dist/src/kernels/norm", // statistics of tiles
      "dist/src/kernels/quantized",
      "dist/src/rcod", // estimates
      "dist/src/rcod/deep",
      "dist/src/rcod/estimate",
      "dist/src/rcod/loading",
      "dist/src/rcod/stages", // the search for NaN
      "dist/src/rcod/tiles", // the VAE in tiles
      "dist/src/weights",
      "dist/src/weights/sources", // manifests, and files whose ETag changes
      "dist/src/weights/torch",
    ]);
    expect(total).toBeGreaterThan(40_000); // it is all there
    expect(total).toBeLessThanOrEqual(SIZE_AT_ONCE);
    expect(inAll).toBeLessThanOrEqual(SIZE_IN_ALL);
  });

  it("starts its worker and moves its model's files in a page built by Vite", async () => {
    await writeFile(
      join(project, "worker.html"),
      '<script type="module" src="./in-worker.js"></script>',
    );
    await writeFile(
      join(project, "in-worker.js"),
      `import { loadModelInWorker } from "rcod-webgpu/worker";
       import { rcodTiny } from "rcod-webgpu/models/rcod-tiny";
       loadModelInWorker(rcodTiny);
       const worker = new Worker(new URL("rcod-webgpu/worker-host", import.meta.url), { type: "module" });
       loadModelInWorker(rcodTiny, { worker });`,
    );
    const output = await bundled({
      root: project,
      build: { rolldownOptions: { input: join(project, "worker.html") } },
    });
    const names = output.map(({ fileName }) => fileName);
    expect(names.filter((name) => name.endsWith(".safetensors"))).toHaveLength(6);
    const workers = output.filter(({ fileName }) => /assets\/host-.*\.js$/.test(fileName));
    expect(workers).toHaveLength(1); // both ways lead to one script
    const [page] = output.filter((part) => part.type === "chunk");
    expect(page?.code).not.toContain("workgroup_size"); // the engine is in the worker alone
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
