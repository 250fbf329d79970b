/**
 * `npm run bench:bundle`: packs Node, Dawn, the built project, golden files and a Vulkan loader into one archive
 * that benchmarks a bare x86-64 Linux machine. Weights of the full-size model are not in it: they are made there.
 * `--thin` leaves out what a checkout beside it has: golden files and rcod-tiny.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, realpath, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { build } from "vite";
import { swiftShader } from "../../src/node/swiftshader.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NAME = "rcod-bench";
/** What a small box is sent at most. */
const MAX_BYTES = 64 * 2 ** 20;

type Files = readonly (readonly [from: string, to: string])[];

/** From the repository, to the bundle. */
export const FILES_OF_PROJECT: Files = [
  ["bench/bundle/run.sh", "run.sh"],
  ["bench/pytorch", "pytorch"],
  ["bench/results/compilers.json", "compilers.json"],
  ["bench/configs", "configs"],
  ["package.json", "package.json"],
  ["LICENSE", "LICENSE"],
  ["bin", "bin"],
];

/** What is built or installed. */
const FILES_MADE: Files = [
  ["dist", "dist"],
  ["node_modules/commander", "node_modules/commander"],
  ["node_modules/webgpu/package.json", "node_modules/webgpu/package.json"],
  ["node_modules/webgpu/index.js", "node_modules/webgpu/index.js"],
  ["node_modules/webgpu/LICENSE.md", "node_modules/webgpu/LICENSE.md"],
  ["node_modules/webgpu/dist/linux-x64/dawn.node", "node_modules/webgpu/dist/linux-x64/dawn.node"],
];

/** What a checkout has. */
export const FILES_OF_CHECKOUT: Files = [
  ["models/rcod-tiny", "models/rcod-tiny"],
  ["tests/fixtures/goldens", "goldens"],
];

/** Libraries that GPU drivers load and that a bare machine may lack; taken along where this machine has them. */
const DISPLAY_LIBRARIES = (
  "libEGL.so.1 libGLdispatch.so.0 libGLX.so.0 libGL.so.1 libOpenGL.so.0 libGLESv2.so.2 " +
  "libX11.so.6 libXext.so.6 libxcb.so.1 libXau.so.6 libXdmcp.so.6 libbsd.so.0 libmd.so.0"
).split(" ");
const LIBRARY_FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64"];

/** Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      out: { type: "string", default: join(ROOT, ".cache", "bench-bundle") },
      thin: { type: "boolean", default: false },
    },
  });
  if (process.platform !== "linux" || process.arch !== "x64") {
    process.stderr.write("bench:bundle: is made on x86-64 Linux, whose Node it takes along\n");
    return 1;
  }
  const folder = join(values.out, NAME);
  const archive = join(values.out, `${NAME}.tar.xz`);
  await rm(folder, { recursive: true, force: true });
  const files = [...FILES_OF_PROJECT, ...FILES_MADE, ...(values.thin ? [] : FILES_OF_CHECKOUT)];
  for (const [from, to] of files) {
    await mkdir(dirname(join(folder, to)), { recursive: true });
    await cp(join(ROOT, from), join(folder, to), {
      recursive: true,
      dereference: true,
      filter: (path) => !/\.(map|d\.ts)$/.test(path), // for readers and compilers only
    });
  }
  await bundleBox(folder);
  await copyFile(process.execPath, join(folder, "node"));
  // Symbols for debuggers are a tenth of the archive; a machine without binutils keeps them.
  await promisify(execFile)("strip", ["--strip-all", join(folder, "node")]).catch(() => undefined);
  await copyVulkan(join(folder, "vulkan"));
  await copyDisplayLibraries(join(folder, "display"));
  // A third smaller than with gzip. Where tar cannot unpack it, python3 -m tarfile can.
  await promisify(execFile)("tar", ["-C", values.out, "-cJf", archive, NAME], {
    env: { ...process.env, XZ_OPT: "-7 -T2" },
  });
  const { size } = await stat(archive);
  const mebibytes = (size / 2 ** 20).toFixed(1);
  process.stdout.write(`${archive}: ${mebibytes} MiB\n`);
  if (size <= MAX_BYTES) return 0;
  process.stderr.write(`bench:bundle: the archive may have ${MAX_BYTES / 2 ** 20} MiB\n`);
  return 1;
}

/** What runs there, as one file: a bare machine's Node does not read TypeScript. */
export async function bundleBox(folder: string): Promise<void> {
  await build({
    configFile: false,
    logLevel: "error",
    build: {
      ssr: join(ROOT, "bench/bundle/box/main.ts"),
      outDir: folder,
      emptyOutDir: false,
      minify: false,
      rollupOptions: { output: { entryFileNames: "bench-box.mjs" } },
    },
  });
}

/** Vulkan's loader and SwiftShader, from the npm package. */
async function copyVulkan(to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const icd = (await swiftShader())?.env["VK_ICD_FILENAMES"];
  if (icd === undefined) {
    throw new Error("bench:bundle: needs npm install @sparticuz/chromium tar-fs");
  }
  for (const name of await readdir(dirname(icd))) {
    if (/vulkan|vk_swiftshader/.test(name))
      await copyFile(join(dirname(icd), name), join(to, name));
  }
}

/** In a folder of their own: they are tried only where a driver does not start without them. */
async function copyDisplayLibraries(to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of DISPLAY_LIBRARIES) {
    const found = LIBRARY_FOLDERS.map((place) => join(place, name)).find(existsSync);
    if (found !== undefined) await copyFile(await realpath(found), join(to, name));
  }
}
