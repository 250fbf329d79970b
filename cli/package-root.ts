/** What comes with the package, found from this file: it runs from `cli/` (Deno) and from `dist/cli/` (Node). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = ["../", "../../"]
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((folder) => existsSync(join(folder, "package.json"))) as string;

const { deno, node } = process.versions;

/** What runs the program, such as "Node 22.12.0, linux x64". */
export const RUNTIME = `${deno === undefined ? `Node ${node}` : `Deno ${deno}`}, ${process.platform} ${process.arch}`;

/** The model that comes with the package. */
export const BUNDLED_MODEL = join(ROOT, "models", "rcod-tiny");

/** The golden files that come with the package. */
export const BUNDLED_GOLDENS = join(ROOT, "goldens");

/** The program itself, to start it again. */
export const PROGRAM = join(ROOT, "bin", "rcod.js");

/** Unpacks Debian packages; see its header. */
export const FETCH_SCRIPT = join(ROOT, "cli", "adapter", "fetch-packages.sh");
