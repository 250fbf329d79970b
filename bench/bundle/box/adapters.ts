/** Where a GPU answers: with what the system offers, with what the bundle brings along, at last on the CPU. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runToEnd } from "./child.ts";

/** Places where drivers describe themselves that the loader does not always look at. */
const ICD_FOLDERS = [
  "/etc/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/local/nvidia/share/vulkan/icd.d",
];
/** Where containers mount a driver's libraries. */
const DRIVER_LIBRARIES = ["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib"];
/** A driver that takes longer to answer counts as absent. */
const PROBE_S = 20;

/** An environment in which an adapter may answer. */
export interface Environment {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
}

/** What was tried. */
export interface Attempt {
  readonly name: string;
  readonly exitCode: number | null;
  readonly stderr?: string;
}

/** Environments to try, in this order. `here`: the unpacked bundle. */
function environments(here: string): readonly Environment[] {
  const vulkan = join(here, "vulkan");
  const inherited = process.env["LD_LIBRARY_PATH"];
  const path = (folders: readonly string[]): string =>
    [...folders, ...DRIVER_LIBRARIES, ...(inherited ? [inherited] : [])].join(":");
  const icds = ICD_FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => /nvidia|radeon|amd|intel/.test(name) && name.endsWith(".json"))
      .map((name) => join(folder, name)),
  );
  const drivers = { VK_DRIVER_FILES: icds.join(":"), VK_ICD_FILENAMES: icds.join(":") };
  const brought = [
    { name: "driver libraries", folders: [] },
    { name: "our loader", folders: [vulkan] },
    { name: "our loader and display libraries", folders: [vulkan, join(here, "display")] },
  ].flatMap(({ name, folders }): Environment[] => {
    const env = { LD_LIBRARY_PATH: path(folders) };
    const named = { name: `${name}, named drivers`, env: { ...env, ...drivers } };
    return [{ name, env }, ...(icds.length > 0 ? [named] : [])];
  });
  const swiftShader = join(vulkan, "vk_swiftshader_icd.json");
  const software = {
    LD_LIBRARY_PATH: path([vulkan]),
    VK_ICD_FILENAMES: swiftShader,
    VK_DRIVER_FILES: swiftShader,
    RCOD_SOFTWARE_ADAPTER: "1",
  };
  return [{ name: "system", env: {} }, ...brought, { name: "software adapter", env: software }];
}

/** The first environment with an adapter. No more than `seconds` go into others than the CPU's. */
export async function findEnvironment(
  here: string,
  node: string,
  seconds: number,
): Promise<{ readonly found: Environment | undefined; readonly tried: readonly Attempt[] }> {
  const tried: Attempt[] = [];
  const startedAt = performance.now();
  for (const candidate of environments(here)) {
    const isLate = performance.now() - startedAt > 1000 * seconds;
    if (isLate && candidate.env["RCOD_SOFTWARE_ADAPTER"] === undefined) continue;
    const command = { file: node, args: [join(here, "dist/cli/probe.js")], env: candidate.env };
    const { exitCode, stderr } = await runToEnd(command, here, PROBE_S);
    tried.push({ name: candidate.name, exitCode, ...(exitCode !== 0 && { stderr }) });
    if (exitCode === 0) return { found: candidate, tried };
  }
  return { found: undefined, tried };
}
