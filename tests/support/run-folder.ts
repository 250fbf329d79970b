/** A folder that all files of one run of tests share, for what takes long to make and is the same for all. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

const VARIABLE = "RCOD_TEST_FOLDER";
const POLL_MS = 100;

/** Vitest calls it before the tests; what it gives is called after them. */
export async function setup({ config }: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (config.watch) return undefined; // what was made of sources that have changed since would be used
  const folder = await mkdtemp(join(tmpdir(), "rcod-tests-"));
  process.env[VARIABLE] = folder;
  return () => rm(folder, { recursive: true, force: true });
}

/** The folder `name`, filled by the first who asks for it. Null where nothing is shared. */
export async function sharedFolder(
  name: string,
  fill: (folder: string) => Promise<void>,
): Promise<string | null> {
  const root = process.env[VARIABLE];
  if (root === undefined) return null;
  const folder = join(root, name);
  const begun = `${folder}.begun`;
  while (!existsSync(folder)) {
    if (!(await isFirst(begun))) {
      await new Promise((done) => setTimeout(done, POLL_MS));
      continue;
    }
    try {
      await fill(begun);
      await rename(begun, folder);
    } catch (error) {
      await rm(begun, { recursive: true, force: true }); // the next one tries
      throw error;
    }
  }
  return folder;
}

/** Only one of all processes makes a folder. */
async function isFirst(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
