/** A built copy of the repository as the examples see it, with the tests' minimal model in place of rcod-tiny. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { minimalFiles } from "../rcod/support.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Few layers; all the files that rcod-tiny is read from. */
const MODEL = { midAttention: false, vaeWidths: [8], mem: [8] };

export interface Checkout {
  readonly folder: string;
  readonly remove: () => Promise<void>;
}

/** `dist`, `examples`, `models`, `package.json` and `node_modules` in a temporary folder. */
export async function builtCheckout(): Promise<Checkout> {
  const folder = await mkdtemp(join(tmpdir(), "rcod-examples-"));
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const outDir = join(folder, "dist");
  for (const config of ["tsconfig.build.json", "tsconfig.models.json"]) {
    const args = [tsc, "-p", join(ROOT, config), "--outDir", outDir];
    await promisify(execFile)(process.execPath, args);
  }
  await cp(join(ROOT, "package.json"), join(folder, "package.json"));
  await cp(join(ROOT, "examples"), join(folder, "examples"), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"), "junction");
  for (const [path, bytes] of await minimalFiles(MODEL)) {
    const file = join(folder, "models", "rcod-tiny", path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
  }
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Runs a program in `cwd`; throws with what it printed when it fails. */
export async function runIn(cwd: string, command: string, ...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(command, args, { cwd })).stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Writes an image of 3 channels as a file of the kind that its name says; `.ppm` too. */
export async function writeImage(path: string, image: RawImage): Promise<void> {
  const { width, height, channels } = image;
  if (path.endsWith(".ppm")) {
    await writeFile(
      path,
      Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), Buffer.from(image.data)]),
    );
  } else {
    await sharp(image.data, { raw: { width, height, channels } }).toFile(path);
  }
}

/** Reads an image file as `channels` 8-bit channels. */
export async function readImage(
  path: string,
): Promise<{ readonly width: number; readonly height: number; readonly data: Uint8Array }> {
  if (path.endsWith(".ppm")) {
    const file = await readFile(path);
    const [header = "", width, height] =
      /^P6\s(\d+) (\d+)\s255\s/.exec(file.toString("latin1", 0, 64)) ?? [];
    return { width: Number(width), height: Number(height), data: file.subarray(header.length) };
  }
  const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}
