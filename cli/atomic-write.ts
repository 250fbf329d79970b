/** Files and folders that appear complete or not at all, and in nobody's place. */
import {
  access,
  constants,
  link,
  lstat,
  mkdir,
  open,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { CliError, EXIT, systemCode, systemReason, usageError } from "./errors.ts";
import { systemPath } from "./file-name.ts";
import { formatBytes } from "./format.ts";
import { shownText } from "./shown-text.ts";
import { forgetTemporary, nameBeside, removeLeftovers, temporaryBeside } from "./temporary.ts";

/** How something is written. */
export interface WriteOptions {
  /** Whether it may take the place of another, also of one that has come up in the meantime. */
  readonly replace: boolean;
  readonly signal?: AbortSignal;
}

/** What was to be written is there already: exit code 2. */
export class ExistsError extends CliError {
  constructor(path: string, advice = "") {
    super(`${shownText(path)} exists already. Use --force to replace it${advice}`, EXIT.usage);
  }
}

/** Throws `CliError` where a new file cannot be made at `path`, before any work is done for it. */
export async function checkOutputFile(path: string, replace: boolean): Promise<void> {
  const error = await writableError(dirname(path));
  if (error !== undefined) throw error;
  const stats = await lstat(systemPath(path)).catch(() => undefined);
  if (stats?.isDirectory()) throw usageError(`${shownText(path)} is a folder. Choose another -o`);
  if (stats !== undefined && !replace) throw new ExistsError(path);
}

/** Why files cannot be made in `folder`, or in the nearest folder above that exists. */
export async function writableError(folder: string): Promise<CliError | undefined> {
  for (let path = resolve(folder); ; path = dirname(path)) {
    const stats = await stat(systemPath(path)).catch(() => undefined);
    if (stats === undefined && path !== dirname(path)) continue;
    const where = `cannot write to ${shownText(folder)}`;
    if (!stats?.isDirectory()) return usageError(`${where}: ${shownText(path)} is not a folder`);
    const isRefused = await access(systemPath(path), constants.W_OK).then(
      () => false,
      () => true,
    );
    return isRefused ? usageError(`${where}: permission denied`) : undefined;
  }
}

/** Writes `bytes` to the file `path`, as `fillFileAtomically`. */
export async function writeFileAtomically(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions,
): Promise<void> {
  const { signal } = options;
  await fillFileAtomically(
    path,
    (temporary) => writeFile(temporary, bytes, { flag: "wx", ...(signal && { signal }) }),
    { ...options, byteLength: bytes.byteLength },
  );
}

/**
 * Has `fill` write a temporary file beside `path`, which is not there yet, and gives it its name. On any error, a full disk or
 * an abort included, nothing is left behind and an existing file is untouched. Missing folders are made. Throws
 * `CliError`, of these `ExistsError`, the signal's reason, or what `fill` throws.
 */
export async function fillFileAtomically<T>(
  path: string,
  fill: (temporary: string | Buffer) => Promise<T>,
  { replace, signal, byteLength }: WriteOptions & { readonly byteLength?: number },
): Promise<T> {
  const folder = dirname(path);
  const temporary = temporaryBeside(path);
  let madeFolder: string | undefined;
  try {
    madeFolder = await mkdir(systemPath(folder), { recursive: true });
    if (madeFolder === undefined) await removeLeftovers(folder);
    const filled = await fill(systemPath(temporary));
    signal?.throwIfAborted();
    if (replace) await rename(systemPath(temporary), systemPath(path));
    else await nameAnew(temporary, path);
    return filled;
  } catch (error) {
    await rm(systemPath(temporary), { force: true }).catch(() => undefined);
    if (madeFolder !== undefined) await rmdir(systemPath(folder)).catch(() => undefined);
    signal?.throwIfAborted();
    if (systemCode(error) === undefined) throw error;
    const size = byteLength === undefined ? "" : ` (${formatBytes(byteLength)})`;
    const message = `cannot write ${shownText(path)}${size}: ${systemReason(error)}`;
    throw new CliError(message, EXIT.failed, error);
  } finally {
    forgetTemporary(temporary);
  }
}

/** Gives a file a name that is free. A rename would replace who was faster; a second link does not. */
async function nameAnew(temporary: string, path: string): Promise<void> {
  const [from, to] = [systemPath(temporary), systemPath(path)];
  try {
    await link(from, to);
    await rm(from, { force: true });
    return;
  } catch (error) {
    if (systemCode(error) === "EEXIST") throw new ExistsError(path);
  }
  // No links here (FAT, some network drives): an empty file of that name keeps it until the rename.
  try {
    await (await open(to, "wx")).close();
  } catch (error) {
    throw systemCode(error) === "EEXIST" ? new ExistsError(path) : error;
  }
  try {
    await rename(from, to);
  } catch (error) {
    await rm(to, { force: true }).catch(() => undefined);
    throw error;
  }
}

/**
 * Has `fill` write into a temporary folder beside `path` and gives it its name; with `replace` a folder that is there is
 * lost. On any error, a full disk or an abort included, nothing is left behind and an existing
 * folder is untouched. Missing folders above are made. Throws `CliError` where the system refuses or, without
 * `replace`, a folder with something in it is there; the signal's reason, or what `fill` throws.
 */
export async function writeFolderAtomically(
  path: string,
  fill: (temporary: string) => Promise<void>,
  { replace, signal }: WriteOptions,
): Promise<void> {
  const temporary = temporaryBeside(path);
  let madeFolder: string | undefined;
  try {
    madeFolder = await mkdir(dirname(path), { recursive: true });
    if (madeFolder === undefined) await removeLeftovers(dirname(path));
    await mkdir(temporary);
    await fill(temporary);
    signal?.throwIfAborted();
    if (replace) await replaceFolder(temporary, path);
    else await nameFolderAnew(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (madeFolder !== undefined) await rmdir(dirname(path)).catch(() => undefined);
    signal?.throwIfAborted();
    if (systemCode(error) === undefined) throw error;
    throw new CliError(`cannot write ${shownText(path)}: ${systemReason(error)}`);
  } finally {
    forgetTemporary(temporary);
  }
}

/** What systems say of a name that a folder with something in it has. */
const TAKEN: readonly (string | undefined)[] = ["ENOTEMPTY", "EEXIST", "EPERM"];

/** A rename takes the place of an empty folder at most, on Windows not even of that. */
async function nameFolderAnew(temporary: string, path: string): Promise<void> {
  try {
    await rmdir(path).catch((error: unknown) => {
      if (systemCode(error) !== "ENOENT") throw error;
    });
    await rename(temporary, path);
  } catch (error) {
    throw TAKEN.includes(systemCode(error)) && (await isThere(path))
      ? new ExistsError(path)
      : error;
  }
}

/** Others that may be quicker with the same name before it is given up. */
const REPLACE_TRIES = 100;

/** Moves what has the name out of the way first; of several that do so at once the last one stays. */
async function replaceFolder(temporary: string, path: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    // Until the new folder has its name this is all there is: no name that is taken for left over.
    const previous = nameBeside(path, "old");
    const isReplacing = await rename(path, previous).then(
      () => true,
      (error: unknown) => {
        if (systemCode(error) === "ENOENT") return false;
        throw error;
      },
    );
    try {
      await rename(temporary, path);
    } catch (error) {
      if (isReplacing) await putBack(previous, path);
      if (!TAKEN.includes(systemCode(error)) || tries === REPLACE_TRIES) throw error;
      continue;
    }
    // The new folder is there, whatever becomes of the old one.
    if (isReplacing) await removeFolder(previous).catch(() => undefined);
    return;
  }
}

async function putBack(previous: string, path: string): Promise<void> {
  try {
    await rename(previous, path);
  } catch (error) {
    // Another's was there, and may be on its way out already.
    const isTaken = systemCode(error) === "ENOTEMPTY" || (await isThere(path));
    if (isTaken) await removeFolder(previous);
  }
}

/** Under a name that the next run removes where this one is killed. */
async function removeFolder(path: string): Promise<void> {
  const temporary = temporaryBeside(path);
  await rename(path, temporary);
  await rm(temporary, { recursive: true, force: true });
  forgetTemporary(temporary);
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(systemPath(path)).catch(() => undefined)) !== undefined;
}
