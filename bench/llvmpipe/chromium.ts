/**
 * Chromium on Mesa's llvmpipe, where this process itself computes on it: it compiles shaders sooner than Chromium's own
 * SwiftShader, and they have f16.
 *
 * Mesa wants a newer C library than the system's. So only Chromium's GPU process is started on that one: by a script that
 * stands for the executable of all child processes.
 */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { copyFile, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE = fileURLToPath(new URL("as-swiftshader.c", import.meta.url));

let prepared: Promise<readonly string[]> | undefined;

/** Flags that put `chromium` on this process's llvmpipe; none where the process has no such, or where no C compiler is. */
export function llvmpipeFlags(chromium: string): Promise<readonly string[]> {
  prepared ??= prepare(chromium);
  return prepared;
}

async function prepare(chromium: string): Promise<readonly string[]> {
  const node = process.env["RCOD_NODE"];
  const driver = process.env["VK_DRIVER_FILES"];
  if (node === undefined || driver === undefined || !/lvp_icd/.test(driver)) return [];
  const root = join(dirname(node), "root", "usr");
  const libraries = join(root, "lib", "x86_64-linux-gnu");
  const folder = await mkdtemp(join(tmpdir(), "rcod-llvmpipe-"));
  try {
    const library = join(folder, "libvk_swiftshader.so");
    const options = ["-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"];
    await promisify(execFile)("cc", options);
  } catch {
    await rm(folder, { recursive: true });
    return [];
  }
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  // Chromium looks for its libraries beside what the system calls its executable: the dynamic linker.
  const linker = join(folder, "linker");
  await copyFile(join(root, "lib64", "ld-linux-x86-64.so.2"), linker);
  await symlink(join(libraries, "libvulkan.so.1"), join(folder, "libvulkan.so.1"));
  for (const library of ["libEGL.so", "libGLESv2.so"]) {
    await symlink(join(dirname(chromium), library), join(folder, library));
  }
  const script = join(folder, "child");
  const onLibrary = [linker, "--library-path", libraries, chromium].map(quoted).join(" ");
  await writeFile(
    script,
    `#!/bin/sh
case "$*" in
*--type=gpu-process*) VK_DRIVER_FILES=${quoted(driver)} exec ${onLibrary} "$@" ;;
*) exec ${quoted(chromium)} "$@" ;;
esac
`,
    { mode: 0o755 },
  );
  return [`--browser-subprocess-path=${script}`, "--no-zygote"];
}

/** For the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
