/**
 * Folders that a run writes results to. Whoever removes one while the run goes on takes results along; those that follow
 * go into a new one, so that no work is lost that need not be.
 */
import type { BigIntStats } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { systemPath } from "../file-name.ts";
import { shownText } from "../shown-text.ts";

export class ResultFolders {
  /** Results by path, each with the folder that it was written to. */
  readonly #folderOf = new Map<string, string>();

  /** Remembers a result that has been written. */
  async add(output: string): Promise<void> {
    this.#folderOf.set(output, (await identityOf(dirname(output))) ?? "");
  }

  /** Results that are lost with their folder, each with the reason. What somebody has moved away out of a folder is not. */
  async lost(): Promise<ReadonlyMap<string, string>> {
    const lost = new Map<string, string>();
    const now = new Map<string, string | undefined>();
    for (const [output, identity] of this.#folderOf) {
      const folder = dirname(output);
      if (!now.has(folder)) now.set(folder, await identityOf(folder));
      if (now.get(folder) === identity) continue;
      const isThere = (await lstat(systemPath(output)).catch(() => undefined)) !== undefined;
      if (isThere) continue;
      const reason = `the folder ${shownText(folder)} was removed while the command ran`;
      lost.set(output, `the result is lost: ${reason}`);
    }
    return lost;
  }
}

/** The same for a folder as long as it is the same one; undefined where there is none. Numbers of folders are used again. */
async function identityOf(folder: string): Promise<string | undefined> {
  const stats: BigIntStats | undefined = await stat(systemPath(folder), { bigint: true }).catch(
    () => undefined,
  );
  return stats?.isDirectory() === true
    ? `${stats.dev} ${stats.ino} ${stats.birthtimeNs}`
    : undefined;
}
