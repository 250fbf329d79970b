/** Storages, and what holds for both: results appear whole or not at all, once. S3 is a real server of its protocol. */
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { addressOf, below, isBelow } from "../../fleet/storage/address.ts";
import { fileStorage } from "../../fleet/storage/files.ts";
import { s3Storage } from "../../fleet/storage/s3.ts";
import type { Storage } from "../../fleet/storage/storage.ts";
import { useFolder } from "../cli/support/terminal.ts";
import type { Conditions } from "./s3-server.ts";
import { startS3 } from "./s3-server.ts";

const folder = useFolder();
const never = new AbortController().signal;
const MOST = 1e6;

async function textAt(storage: Storage, address: string): Promise<string> {
  const file = await storage.read(address, MOST, never);
  try {
    return await readFile(file.path, "utf8");
  } finally {
    await file.release();
  }
}

async function put(storage: Storage, address: string, text: string, replace = false) {
  const place = await storage.place(address);
  await writeFile(place.path, text);
  return place.publish(replace, never);
}

/** Starts a server and leads all clients that are made from now on to it. */
async function useS3(conditions: Conditions) {
  const { variables, end } = await startS3(conditions, "pictures");
  Object.assign(process.env, variables);
  return end;
}

describe.each([
  ["files", "kept"],
  ["S3 that keeps conditions", "kept"],
  ["S3 that refuses conditions", "refused"],
  ["S3 that ignores conditions", "ignored"],
] as const)("%s", (kind, conditions) => {
  const isS3 = kind !== "files";
  let storage: Storage = fileStorage;

  beforeAll(async () => {
    if (!isS3) return undefined;
    const end = await useS3(conditions);
    storage = s3Storage();
    await storage.checkWritable("s3://pictures"); // the client is made for this server
    return end;
  });

  const at = (name: string): string => below(isS3 ? "s3://pictures/results" : folder.path, name);

  it("takes a result from all who write it at once, whole and, under a condition, once", async () => {
    for (const round of [0, 1, 2, 3]) {
      const address = at(`race-${round}/a.png`);
      const texts = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(50_000));
      const places = await Promise.all(
        texts.map(async (text) => {
          const place = await storage.place(address);
          await writeFile(place.path, text);
          return place;
        }),
      );
      const outcomes = await Promise.all(places.map((place) => place.publish(false, never)));
      const written = texts.filter((_, i) => outcomes[i] === "written");
      if (conditions === "kept") expect(written).toHaveLength(1);
      expect(written).toContain(await textAt(storage, address));
    }
  });

  it("writes a result once: who comes second finds it there", async () => {
    const address = at("once/a.png");
    expect(await storage.has(address)).toBe(false);
    expect(await put(storage, address, "first")).toBe("written");
    expect(await put(storage, address, "second")).toBe("there");
    expect(await textAt(storage, address)).toBe("first");
    expect(await storage.has(address)).toBe(true);
    expect(await put(storage, address, "third", true)).toBe("written");
    expect(await textAt(storage, address)).toBe("third");
  });

  it("shows nothing of a result before it is published, and nothing of one that was discarded", async () => {
    const address = at("half/a.png");
    const place = await storage.place(address);
    await writeFile(place.path, "half");
    expect(await storage.has(address)).toBe(false);
    await place.discard();
    await expect(stat(place.path)).rejects.toThrow("ENOENT");
    const late = new AbortController();
    const next = await storage.place(address);
    await writeFile(next.path, "whole");
    late.abort();
    await expect(next.publish(false, late.signal)).rejects.toThrow();
    expect(await storage.has(address)).toBe(false);
  });

  it("tells which of many are there", async () => {
    await put(storage, at("many/a.png"), "a");
    await put(storage, at("many/deep/b.png"), "b");
    const asked = ["many/a.png", "many/b.png", "many/deep/b.png", "none/c.png"].map(at);
    expect([...(await storage.existing(asked))]).toEqual([asked[0], asked[2]]);
  });

  it("refuses to read what is too large, and names what is not there", async () => {
    const address = at("large/a.png");
    await put(storage, address, "x".repeat(2000));
    await expect(storage.read(address, 1000, never)).rejects.toThrow(
      "1.95 KiB, more than the 0.98 KiB that this worker reads",
    );
    await expect(storage.read(at("large/none.png"), MOST, never)).rejects.toThrow(
      /none\.png: no such (file|object)/,
    );
  });
});

describe("files", () => {
  it("leave no temporary name behind, and survive a folder that goes", async () => {
    await put(fileStorage, join(folder.path, "out", "a.png"), "a");
    expect(await readdir(join(folder.path, "out"))).toEqual(["a.png"]);
  });

  it("say why nothing can be written", async () => {
    const file = join(folder.path, "file");
    await writeFile(file, "");
    await expect(fileStorage.place(join(file, "a.png"))).rejects.toThrow("not a folder");
    await symlink("/dev/full", join(folder.path, "full"));
    await mkdir(join(folder.path, "locked"));
    await chmod(join(folder.path, "locked"), 0o500);
    if (process.getuid?.() === 0) return; // root may do all
    await expect(fileStorage.place(join(folder.path, "locked", "a", "b.png"))).rejects.toThrow(
      "permission denied",
    );
  });
});

describe("S3", () => {
  beforeAll(() => useS3("ignored"));

  it("lists pictures below a prefix, with sizes and versions", async () => {
    const storage = s3Storage();
    for (const name of ["list/b.png", "list/a.jpg", "list/notes.md", "list/deep/c.png"]) {
      await put(storage, `s3://pictures/${name}`, name, true);
    }
    const all = await storage.list("s3://pictures/list/", true);
    expect(all.map(({ address }) => address)).toEqual(
      ["list/a.jpg", "list/b.png", "list/deep/c.png"].map((name) => `s3://pictures/${name}`),
    );
    expect(all[0]).toMatchObject({
      size: 10,
      version: expect.stringMatching(/^etag:[0-9a-f]{32}$/),
    });
    const flat = await storage.list("s3://pictures/list/", false);
    expect(flat.map(({ address }) => address)).toEqual(
      ["list/a.jpg", "list/b.png"].map((name) => `s3://pictures/${name}`),
    );
    const read = await storage.read("s3://pictures/list/a.jpg", MOST, never);
    expect(read.version).toBe(all[0]?.version);
    await read.release();
    await expect(stat(read.path)).rejects.toThrow("ENOENT");
  });

  it("says that credentials are wrong, and which bucket is not there", async () => {
    await expect(s3Storage().list("s3://nowhere/", true)).rejects.toThrow("no such bucket");
    vi.stubEnv("AWS_ACCESS_KEY_ID", "wrong");
    onTestFinished(() => void vi.unstubAllEnvs());
    const failing = s3Storage().list("s3://pictures/", true);
    await expect(failing).rejects.toThrow("the storage refuses these credentials");
    await expect(failing).rejects.toMatchObject({ name: "StorageError" });
  });
});

describe("addresses", () => {
  it("mean the same on every machine", () => {
    expect(addressOf("a/b")).toBe(join(process.cwd(), "a", "b"));
    expect(addressOf("S3://bucket/key")).toBe("s3://bucket/key");
    for (const word of ["http://host/a.png", "s3://", "gs://bucket/a"]) {
      expect(() => addressOf(word)).toThrow(/no place that a fleet reads|a bucket must follow/);
    }
    expect(below("s3://b/p/", "", "c.png")).toBe("s3://b/p/c.png");
    expect(below("s3://b", "deep", "c.png")).toBe("s3://b/deep/c.png");
  });

  it.each([
    ["/data/a.png", "/data", true],
    ["/data/a.png", "/data/", true],
    ["/data2/a.png", "/data", false],
    ["/data/../etc/passwd", "/data", false],
    ["s3://b/p/a.png", "s3://b/p", true],
    ["s3://b/p2/a.png", "s3://b/p", false],
    ["s3://b/p/../q/a.png", "s3://b/p", false],
    ["s3://c/a.png", "s3://b", false],
    ["/b/a.png", "s3://b", false],
  ])("%s below %s: %s", (address, of, wanted) => {
    expect(isBelow(address, of)).toBe(wanted);
  });
});
