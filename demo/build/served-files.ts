/** Files outside the demo that the page needs: emitted when built, served from their place in development. */
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Plugin } from "vite";

export interface ServedFile {
  /** Relative to its folder, with forward slashes. */
  readonly name: string;
  readonly byteLength: number;
  read(): Promise<Uint8Array>;
}

/** A folder of the page. */
export interface ServedFolder {
  /** Below the page, without slashes at its ends. */
  readonly to: string;
  /** In the order of their names. */
  files(): Promise<readonly ServedFile[]>;
}

/** The files of a folder on disk whose relative paths match `names`. */
export const copied = (from: string, to: string, names: RegExp): ServedFolder => ({
  to,
  async files() {
    const entries = await readdir(from, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(from.length + 1))
      .map((path) => path.replaceAll("\\", "/"))
      .filter((path) => names.test(path))
      .toSorted();
    return Promise.all(
      paths.map(async (name) => {
        const path = join(from, name);
        return { name, byteLength: (await stat(path)).size, read: () => readFile(path) };
      }),
    );
  },
});

/** `import photos, { sizes } from "virtual:files/photos"`: the sorted names of a folder, and bytes by name. */
const VIRTUAL = "virtual:files/";

/** The lists of names as modules; workers, which are built on their own, need this plugin too. */
export function fileLists(folders: readonly ServedFolder[]): Plugin {
  return {
    name: "rcod-file-lists",
    resolveId: (id) => (id.startsWith(VIRTUAL) ? `\0${id}` : null),
    async load(id) {
      const folder = folders.find(({ to }) => id === `\0${VIRTUAL}${to}`);
      if (!folder) return null;
      const files = await folder.files();
      const sizes = files.map(({ name, byteLength }) => [name, byteLength]);
      return [
        `export default ${JSON.stringify(files.map(({ name }) => name))};`,
        `export const sizes = ${JSON.stringify(Object.fromEntries(sizes))};`,
      ].join("\n");
    },
  };
}

/** The files themselves. */
export function servedFolders(folders: readonly ServedFolder[]): Plugin {
  return {
    name: "rcod-served-folders",
    configureServer(server) {
      for (const folder of folders) {
        server.middlewares.use(`/${folder.to}`, (request, response, pass) => {
          const path = decodeURIComponent((request.url ?? "").split("?")[0] ?? "");
          const send = async (): Promise<void> => {
            const file = (await folder.files()).find(({ name }) => `/${name}` === path);
            if (file) response.end(await file.read());
            else pass();
          };
          send().catch(pass);
        });
      }
    },
    async generateBundle() {
      for (const folder of folders) {
        for (const file of await folder.files()) {
          const source = await file.read();
          this.emitFile({ type: "asset", fileName: `${folder.to}/${file.name}`, source });
        }
      }
    },
  };
}
