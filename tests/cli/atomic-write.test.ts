import { mkdir, readFile, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  ExistsError,
  checkOutputFile,
  writeFileAtomically,
  writeFolderAtomically,
} from "../../cli/atomic-write.ts";
import { removeUnfinished } from "../../cli/temporary.ts";
import { useFolder } from "./support/terminal.ts";

/** Replaces `writeFile` of the code under test, and takes its links away. */
const disk = vi.hoisted(() => ({
  failure: undefined as undefined | ((path: string) => Promise<void>),
  hasLinks: true,
}));

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    writeFile: async (...args: Parameters<typeof real.writeFile>) =>
      disk.failure ? disk.failure(args[0] as string) : real.writeFile(...args),
    link: async (...args: Parameters<typeof real.link>) => {
      if (!disk.hasLinks) throw Object.assign(new Error("EPERM"), { code: "EPERM" });
      return real.link(...args);
    },
  };
});

const folder = useFolder();
const bytes = new Uint8Array(3000).fill(7);

beforeEach(() => {
  disk.failure = undefined;
  disk.hasLinks = true;
});

/** The error of a write. */
const failure = (write: Promise<void>): Promise<unknown> =>
  write.then(
    () => undefined,
    (error: unknown) => error,
  );

const OVER = { replace: true };
const NEW = { replace: false };

/** What a full disk does: half of the data arrives, then the system says no. */
async function fullDisk(path: string): Promise<void> {
  const real = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");
  await real.writeFile(path, bytes.subarray(0, 1500));
  throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
}

describe("writeFileAtomically", () => {
  it("replaces a file as a whole", async () => {
    await writeFile(folder.file("a.png"), "old");
    await writeFileAtomically(folder.file("a.png"), bytes, OVER);
    expect(await readFile(folder.file("a.png"))).toEqual(Buffer.from(bytes));
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });

  it("says that the disk is full, and leaves the old file and nothing else", async () => {
    await writeFile(folder.file("a.png"), "old");
    disk.failure = fullDisk;
    const error = await writeFileAtomically(folder.file("a.png"), bytes, OVER).catch(
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
    await expect(writeFileAtomically(folder.file("new/a.png"), bytes, NEW)).rejects.toThrow(
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
    const write = writeFileAtomically(folder.file("a.png"), bytes, OVER).catch(() => undefined);
    await begun;
    expect(await readdir(folder.path)).toHaveLength(1);
    removeUnfinished();
    expect(await readdir(folder.path)).toEqual([]);
    goOn();
    await write;
  });
});

describe("a name that is taken", () => {
  it.each([
    ["by a link", true],
    ["by an empty file where there are no links", false],
  ])("is given to one of many who write at once, %s", async (_how, hasLinks) => {
    disk.hasLinks = hasLinks;
    const writers = Array.from({ length: 20 }, (_, i) => new Uint8Array(1000).fill(i));
    const failures = await Promise.all(
      writers.map((own) => failure(writeFileAtomically(folder.file("a.png"), own, NEW))),
    );
    const winner = failures.indexOf(undefined);
    expect(failures.filter((error) => error instanceof ExistsError)).toHaveLength(19);
    expect(await readFile(folder.file("a.png"))).toEqual(Buffer.from(writers[winner] ?? []));
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });

  it("is told with what to do, and stays what it was", async () => {
    await writeFile(folder.file("a.png"), "old");
    const message = `${folder.file("a.png")} exists already. Use --force to replace it`;
    const error = await failure(writeFileAtomically(folder.file("a.png"), bytes, NEW));
    expect(error).toMatchObject({ exitCode: 2, message });
    expect(await failure(checkOutputFile(folder.file("a.png"), false))).toMatchObject({ message });
    expect(await readFile(folder.file("a.png"), "utf8")).toBe("old");
  });

  it("may be a folder's, empty or not", async () => {
    const fill = (text: string) => (temporary: string) => writeFile(join(temporary, "model"), text);
    await mkdir(folder.file("out"));
    await writeFolderAtomically(folder.file("out"), fill("first"), NEW);
    expect(await failure(writeFolderAtomically(folder.file("out"), fill("second"), NEW))).toEqual(
      new ExistsError(folder.file("out")),
    );
    expect(await readFile(folder.file("out/model"), "utf8")).toBe("first");
    expect(await readdir(folder.path)).toEqual(["out"]);
  });

  it("goes to the last of many who may replace a folder", async () => {
    await mkdir(folder.file("out"));
    const texts = Array.from({ length: 8 }, (_, i) => `writer ${i}`);
    const failures = await Promise.all(
      texts.map((text) =>
        failure(
          writeFolderAtomically(
            folder.file("out"),
            async (temporary) => {
              await writeFile(join(temporary, "a"), text);
              await writeFile(join(temporary, "b"), text);
            },
            OVER,
          ),
        ),
      ),
    );
    expect(failures.filter((error) => error !== undefined)).toEqual([]);
    const text = await readFile(folder.file("out/a"), "utf8");
    expect(texts).toContain(text);
    expect(await readFile(folder.file("out/b"), "utf8")).toBe(text);
    expect(await readdir(folder.path)).toEqual(["out"]);
  });
});

describe("what a killed process has left", () => {
  const DEAD = 2 ** 22 + 1; // above Linux's highest process number
  const ALIVE = process.ppid;
  const aDayAgo = Date.now() / 1000 - 25 * 3600;

  it("is removed by the next write there, and nothing of others", async () => {
    await writeFileAtomically(folder.file("first/x.png"), bytes, NEW);
    let ours = "";
    await writeFolderAtomically(
      folder.file("first/y"),
      async (temporary) => void (ours = temporary),
      NEW,
    );
    const machine = /-([0-9a-f]{6})-/.exec(ours)?.[1] ?? "";
    const other = machine === "0".repeat(6) ? "1".repeat(6) : "0".repeat(6);
    const files = {
      [`.rcod-${DEAD}-${machine}-aaaaaaaa.tmp`]: false,
      [`.rcod-${DEAD}-bbbbbbbb.tmp`]: false,
      [`.rcod-${ALIVE}-${machine}-aaaaaaaa.tmp`]: true,
      [`.rcod-${ALIVE}-${machine}-old00000.tmp`]: false,
      [`.rcod-${DEAD}-${other}-aaaaaaaa.tmp`]: true,
      [`.rcod-${DEAD}-${other}-old00000.tmp`]: false,
      [`.rcod-${DEAD}-${machine}-aaaaaaaa.old`]: true,
      [`.rcod-notes.tmp`]: true,
      [`rcod-${DEAD}-aaaaaaaa.tmp`]: true,
    };
    for (const name of Object.keys(files)) {
      await writeFile(folder.file(name), "half");
      if (name.includes("old0")) await utimes(folder.file(name), aDayAgo, aDayAgo);
    }
    await mkdir(folder.file(`.rcod-${DEAD}-${machine}-folder.tmp`));
    await writeFileAtomically(folder.file("a.png"), bytes, NEW);
    const kept = Object.entries(files).flatMap(([name, isKept]) => (isKept ? [name] : []));
    expect((await readdir(folder.path)).toSorted()).toEqual([...kept, "a.png", "first"].toSorted());
  });
});
