/** The folder of what this user keeps between runs and could make anew: measured variants, a software adapter. */
import { homedir } from "node:os";
import { join } from "node:path";

/** `$XDG_CACHE_HOME/rcod-webgpu`; without the variable in `~/.cache`, on Windows in `%LOCALAPPDATA%`. */
export function cacheFolder(): string {
  const local = process.platform === "win32" ? process.env["LOCALAPPDATA"] : undefined;
  return join(process.env["XDG_CACHE_HOME"] || local || join(homedir(), ".cache"), "rcod-webgpu");
}
