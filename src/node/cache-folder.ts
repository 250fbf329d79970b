/** The folder of what this user keeps between runs and could make anew: measured variants, a software adapter. */
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** `$XDG_CACHE_HOME/rcod-webgpu`; without the variable in `~/.cache`, on Windows in `%LOCALAPPDATA%`. */
export function cacheFolder(): string {
  const local = process.platform === "win32" ? process.env["LOCALAPPDATA"] : undefined;
  return join(process.env["XDG_CACHE_HOME"] || local || homeCache(), "rcod-webgpu");
}

/** A user of a container may have no entry among the users, and then no home: the temporary folder has it. */
function homeCache(): string {
  try {
    return join(homedir(), ".cache");
  } catch {
    return join(tmpdir(), `rcod-cache-${process.getuid?.() ?? 0}`);
  }
}
