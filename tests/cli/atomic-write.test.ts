import { readFile, readdir, writeFile } from "node:fs/promises";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { removeTemporaryFiles, writeFileAtomically } from "../../cli/atomic-write.ts";
import { useFolder } from "./support/terminal.ts";

/** Replaces the next `writeFile` of the code under test. */
const disk = vi.hoisted(() => ({
  failure: undefined as undefined | ((path: string) => Promise<void>),
}));

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    writeFile: async (...args: Parameters<typeof real.writeFile>) =>
      disk.failure ? disk.failure(args[0] as string) : real.writeFile(...args),
  };
});

const folder = useFolder();
const bytes = new Uint8Array(3000).fill(7);

beforeEach(() => {
  disk.failure = undefined;
});

/** What a full disk does: half of the data arrives, then the system says no. */
async function fullDisk(path: string): Promise<void> {
  const real = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
  await real.writeFile(path, bytes.subarray(0, 1500));
  throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
}

describe("writeFileAtomically", () => {
  it("replaces a file as a whole", async () => {
    await writeFile(folder.file("a.png"), "old");
    await writeFileAtomically(folder.file("a.png"), bytes);
    expect(await readFile(folder.file("a.png"))).toEqual(Buffer.from(bytes));
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });

  it("says that the disk is full, and leaves the old file and nothing else", async () => {
    await writeFile(folder.file("a.png"), "old");
    disk.failure = fullDisk;
    const error = await writeFileAtomically(folder.file("a.png"), bytes).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({
      exitCode: 1,
      message: `cannot write ${folder.file("a.png")} (2.93 KiB): the disk is full`,
    });
    expect(await readdir(folder.path)).toEqual(["a.png"]);
    expect(await readFile(folder.file("a.png"), "utf8")).toBe("old");
  });

  it("removes a folder that it has made for nothing", async () => {
    disk.failure = fullDisk;
    await expect(writeFileAtomically(folder.file("new/a.png"), bytes)).rejects.toThrow(
      "disk is full",
    );
    expect(await readdir(folder.path)).toEqual([]);
  });

  it("removes unfinished files when the process has to end at once", async () => {
    let reached: () => void = () => {};
    const begun = new Promise<void>((resolve) => (reached = resolve));
    let goOn: () => void = () => {};
    disk.failure = async (path) => {
      const real = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
      await real.writeFile(path, "half");
      reached();
      await new Promise<void>((resolve) => (goOn = resolve));
    };
    const write = writeFileAtomically(folder.file("a.png"), bytes).catch(() => undefined);
    await begun;
    expect(await readdir(folder.path)).toHaveLength(1);
    removeTemporaryFiles();
    expect(await readdir(folder.path)).toEqual([]);
    goOn();
    await write;
  });
});
