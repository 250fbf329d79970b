import { lstat, readdir, rename, rm, symlink } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { swiftShader } from "../../src/node/swiftshader.ts";
import { useFolder } from "./support/terminal.ts";

const FILES = ["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];
const folder = useFolder();

beforeEach(() => void vi.stubEnv("TMPDIR", folder.path));
afterEach(() => void vi.unstubAllEnvs());

/** Where the environment points to; checks that everything needed is in there. */
async function unpack(): Promise<string> {
  const { env } = (await swiftShader()) ?? {};
  const home = dirname(env?.["VK_ICD_FILENAMES"] ?? "");
  expect(env?.["LD_LIBRARY_PATH"]?.split(":")[0]).toBe(home);
  expect(await readdir(home)).toEqual(expect.arrayContaining(FILES));
  return home;
}

const isSupported = process.platform === "linux" && process.arch === "x64";

describe.skipIf(!isSupported)("swiftShader (Linux x64 only)", () => {
  it("unpacks once, and leaves no other folder", async () => {
    const home = await unpack();
    expect(await unpack()).toBe(home);
    expect(await readdir(folder.path)).toHaveLength(1);
  });

  it("unpacks again when a cleaner has taken a file away", async () => {
    const home = await unpack();
    await rm(`${home}/libvk_swiftshader.so`);
    expect(await unpack()).toBe(home);
    expect(await readdir(folder.path)).toHaveLength(1);
  });

  it("serves processes that unpack at the same time", async () => {
    const homes = await Promise.all([unpack(), unpack()]);
    expect(new Set(homes).size).toBe(1);
    expect(await readdir(folder.path)).toHaveLength(1);
  });

  it("is unpacked in the cache folder where the temporary one is missing or takes nothing", async () => {
    vi.stubEnv("TMPDIR", folder.file("missing"));
    vi.stubEnv("XDG_CACHE_HOME", folder.file("cache"));
    expect(dirname(await unpack())).toBe(folder.file("cache", "rcod-webgpu"));
    vi.stubEnv("XDG_CACHE_HOME", "/dev/null");
    await expect(swiftShader()).rejects.toThrow(
      `device: the software adapter cannot be unpacked (${folder.file("missing")}: ENOENT; ` +
        "/dev/null/rcod-webgpu: ENOTDIR). Set TMPDIR to a folder that can be written and has 20 MB free",
    );
    expect(await readdir(folder.path)).toEqual(["cache"]);
  });

  it("never loads libraries through somebody else's link", async () => {
    const home = await unpack();
    const elsewhere = folder.file("elsewhere");
    await rename(home, elsewhere);
    await symlink(elsewhere, home);
    const again = await unpack();
    expect(await readdir(elsewhere)).toEqual(expect.arrayContaining(FILES)); // the link's target is left alone
    expect((await lstat(again)).isDirectory()).toBe(true);
  });
});
