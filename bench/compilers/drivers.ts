/**
 * Fetches the drivers, the stubs and a C compiler into a cache folder once, builds the layer, and starts Node on a stub of a
 * card.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Card } from "./cards.ts";
import type { CompileJob, CompileResult } from "./planned-shaders.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LAYER = "VK_LAYER_RCOD_compilers";
// tcc compiles the layer: 300 kB, and no compiler has to be installed.
const PACKAGES =
  "mesa-vulkan-drivers mesa-drm-shim libvulkan1 libstdc++6 libvulkan-dev tcc libc6-dev".split(" ");

/** Why there are no drivers. */
export class NoDrivers extends Error {}

/** The folder with drivers and layer. Throws `NoDrivers` with the reason where they cannot be had. `note`: before it takes long. */
export async function fetchDrivers(note: (text: string) => void): Promise<string> {
  const folder = process.env["RCOD_COMPILERS_CACHE"] ?? join(ROOT, "node_modules/.cache/compilers");
  await mkdir(folder, { recursive: true });
  if (!existsSync(join(folder, "complete"))) note(`fetching drivers into ${folder}, once`);
  const fetched = spawnSync(join(ROOT, "cli/adapter/fetch-packages.sh"), [folder, ...PACKAGES], {
    encoding: "utf8",
  });
  if (fetched.status !== 0)
    throw new NoDrivers(fetched.stderr.trim().split("\n").at(-1) ?? "unknown");
  await buildLayer(folder);
  return folder;
}

async function buildLayer(folder: string): Promise<void> {
  const source = join(ROOT, "bench/compilers/layer.c");
  const library = join(folder, "librcod_compilers.so");
  const isCurrent = await Promise.all([stat(library), stat(source)]).then(
    ([built, written]) => built.mtimeMs > written.mtimeMs,
    () => false,
  );
  if (isCurrent) return;
  const { root, libraries } = paths(folder);
  const headers = [
    `${libraries}/tcc/include`,
    `${root}/usr/include`,
    `${root}/usr/include/x86_64-linux-gnu`,
  ];
  const loader = ["--library-path", libraries, `${root}/usr/bin/tcc`];
  const include = ["-nostdinc", ...headers.map((path) => `-I${path}`)];
  const output = ["-shared", "-nostdlib", "-o", library, source];
  const built = spawnSync(
    `${root}/usr/lib64/ld-linux-x86-64.so.2`,
    [...loader, `-B${libraries}/tcc`, ...include, ...output],
    { encoding: "utf8" },
  );
  if (built.status !== 0) throw new NoDrivers(`the layer does not compile: ${built.stderr}`);
  const layer = {
    name: LAYER,
    type: "GLOBAL",
    library_path: "./librcod_compilers.so",
    api_version: "1.3.250",
    implementation_version: "1",
    description: "Writes down what compilers say of pipelines",
  };
  await writeFile(
    join(folder, "layer.json"),
    JSON.stringify({ file_format_version: "1.1.2", layer }),
  );
}

const paths = (folder: string): { root: string; libraries: string } => ({
  root: join(folder, "root"),
  libraries: join(folder, "root/usr/lib/x86_64-linux-gnu"),
});

/** Plans and compiles a job for a card. */
export async function compileOn(
  folder: string,
  card: Card,
  job: CompileJob,
): Promise<CompileResult> {
  const work = await mkdtemp(join(tmpdir(), "rcod-compilers-"));
  try {
    const output = join(work, "pipelines");
    await mkdir(output);
    await writeFile(join(work, "job.json"), JSON.stringify(job));
    const environment = {
      ...process.env,
      ...card.environment,
      RCOD_NODE_BINARY: process.execPath,
      RCOD_PRELOAD: join(paths(folder).libraries, `lib${card.shim}_noop_drm_shim.so`),
      VK_DRIVER_FILES: join(folder, "icd", `${card.driver}_icd.json`),
      VK_LAYER_PATH: folder,
      VK_INSTANCE_LAYERS: LAYER,
      RCOD_COMPILER_OUTPUT: output,
      MESA_SHADER_CACHE_DISABLE: "true",
      // tcc marks its libraries as in need of an executable stack, which they are not.
      GLIBC_TUNABLES: "glibc.rtld.execstack=2",
    };
    const args = [
      join(ROOT, "bench/run.mjs"),
      "compilers/compile",
      join(work, "job.json"),
      join(work, "result.json"),
    ];
    await run(join(folder, "node"), args, environment);
    return JSON.parse(await readFile(join(work, "result.json"), "utf8")) as CompileResult;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Runs a command to its end; its messages are told only where it fails. */
function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    const said: Buffer[] = [];
    child.stdout.on("data", (data: Buffer) => said.push(data));
    child.stderr.on("data", (data: Buffer) => said.push(data));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else
        reject(
          new Error(
            `${command} ends with code ${code}:\n${Buffer.concat(said).toString().slice(-4000)}`,
          ),
        );
    });
  });
}
