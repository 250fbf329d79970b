/** Folders outside the demo that the page needs as files: copied when built, served from their place in development. */
import { createReadStream, existsSync } from "node:fs";
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Plugin } from "vite";

export interface CopiedFolder {
  readonly from: string;
  /** Below the page, without slashes at its ends. */
  readonly to: string;
  /** Relative paths that are taken. */
  readonly names: RegExp;
}

/** `import photos, { sizes } from "virtual:files/photos"`: the sorted names of a copied folder, and bytes by name. */
const VIRTUAL = "virtual:files/";

/** The lists of names as modules; workers, which are built on their own, need this plugin too. */
export function fileLists(folders: readonly CopiedFolder[]): Plugin {
  return {
    name: "rcod-file-lists",
    resolveId: (id) => (id.startsWith(VIRTUAL) ? `\0${id}` : null),
    async load(id) {
      const folder = folders.find(({ to }) => id === `\0${VIRTUAL}${to}`);
      if (!folder) return null;
      const names = await namesOf(folder);
      const sizes = names.map(async (name) => [name, (await stat(join(folder.from, name))).size]);
      return [
        `export default ${JSON.stringify(names)};`,
        `export const sizes = ${JSON.stringify(Object.fromEntries(await Promise.all(sizes)))};`,
      ].join("\n");
    },
  };
}

/** The files themselves. */
export function copiedFolders(folders: readonly CopiedFolder[]): Plugin {
  return {
    name: "rcod-copied-folders",
    configureServer(server) {
      for (const { from, to } of folders) {
        server.middlewares.use(`/${to}`, (request, response, next) => {
          const path = join(from, decodeURIComponent((request.url ?? "").split("?")[0] ?? ""));
          if (!path.startsWith(from) || !existsSync(path)) return next();
          createReadStream(path).on("error", next).pipe(response);
        });
      }
    },
    async generateBundle() {
      for (const folder of folders) {
        for (const name of await namesOf(folder)) {
          const source = await readFile(join(folder.from, name));
          this.emitFile({ type: "asset", fileName: `${folder.to}/${name}`, source });
        }
      }
    },
  };
}

async function namesOf({ from, names }: CopiedFolder): Promise<string[]> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(from.length + 1))
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => names.test(path))
    .toSorted();
}
