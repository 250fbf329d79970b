/** The package's own folder, found from this file: it runs from `src/` (Deno) and from `dist/` (Node). */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE_NAME = "rcod-webgpu";

function find(): { readonly folder: string; readonly version: string } {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    try {
      const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
        readonly name?: string;
        readonly version?: string;
      };
      if (manifest.name === PACKAGE_NAME) return { folder, version: manifest.version ?? "unknown" };
    } catch {
      // No manifest here: one folder up.
    }
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`internal: package.json of ${PACKAGE_NAME} not found`);
    folder = parent;
  }
}

const { folder, version } = find();

export const PACKAGE_VERSION = version;

const { deno, node } = process.versions;

/** What runs the program, such as "Node 22.12.0, linux x64". */
export const RUNTIME = `${deno === undefined ? `Node ${node}` : `Deno ${deno}`}, ${process.platform} ${process.arch}`;

/** The model that comes with the package. */
export const BUNDLED_MODEL = join(folder, "models", "rcod-tiny");

/** The golden files that come with the package. */
export const BUNDLED_GOLDENS = join(folder, "goldens");
