/** Measured kernel variants in a file of the user's cache folder. */
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheFolder } from "./cache-folder.ts";

/** `$XDG_CACHE_HOME/rcod-webgpu/tuning.json`; without the variable in `~/.cache`, on Windows in `%LOCALAPPDATA%`. */
export function tuningFilePath(): string {
  return join(cacheFolder(), "tuning.json");
}

/** A `tuningStore` for `loadModel`. Writes beside the file and renames, so that readers never see a half. */
export function fileTuningStore(path: string = tuningFilePath()): {
  readonly read: () => Promise<string | null>;
  readonly write: (text: string) => Promise<void>;
} {
  return {
    read: async () => {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
    },
    write: async (text) => {
      await mkdir(dirname(path), { recursive: true });
      const temporary = `${path}.${randomUUID()}.tmp`; // models that load at once write at once
      try {
        await writeFile(temporary, text);
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    },
  };
}
