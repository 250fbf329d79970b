import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { planJobs } from "../../../cli/upscale/inputs.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();

beforeEach(async () => {
  await mkdir(folder.file("album", "deeper"), { recursive: true });
  for (const name of [
    "photo.png",
    "album/b.JPG",
    "album/a.webp",
    "album/note.txt",
    "album/deeper/c.png",
  ]) {
    await writeFile(folder.file(name), "x");
  }
});

/** Jobs as `input → output`, relative to the folder. */
async function plan(
  inputs: readonly string[],
  out?: string,
  force = false,
): Promise<readonly string[]> {
  const jobs = await planJobs(
    inputs.map((input) => join(folder.path, input)),
    out === undefined ? undefined : folder.file(out) + (out.endsWith("/") ? "/" : ""),
    force,
  );
  const short = (path: string) => path.slice(folder.path.length + 1);
  return jobs.map(({ input, output }) => `${short(input)} → ${short(output)}`);
}

describe("planJobs", () => {
  it("puts a result beside its input, in its format", async () => {
    expect(await plan(["photo.png"])).toEqual(["photo.png → photo-x4.png"]);
  });

  it("takes the images directly in a folder, sorted", async () => {
    expect(await plan(["album"])).toEqual([
      "album/a.webp → album/a-x4.webp",
      "album/b.JPG → album/b-x4.JPG",
    ]);
  });

  it("leaves out a folder's own results, so that it can be upscaled again", async () => {
    await writeFile(folder.file("album/a-x4.webp"), "x");
    await writeFile(folder.file("album/other-x4.webp"), "x");
    expect(await plan(["album"], undefined, true)).toEqual([
      "album/a.webp → album/a-x4.webp",
      "album/b.JPG → album/b-x4.JPG",
      "album/other-x4.webp → album/other-x4-x4.webp",
    ]);
  });

  it("expands globs, images only, each once", async () => {
    expect(await plan(["album/*", "album/**/*.png", "album/a.webp"], "out/")).toEqual([
      "album/a.webp → out/a-x4.webp",
      "album/b.JPG → out/b-x4.JPG",
      "album/deeper/c.png → out/c-x4.png",
    ]);
  });

  it("takes a file whose name looks like a glob as that file", async () => {
    await writeFile(folder.file("p[1].png"), "x");
    expect(await plan(["p[1].png"])).toEqual(["p[1].png → p[1]-x4.png"]);
  });

  it("writes one image to a named file, in the format of that name", async () => {
    expect(await plan(["photo.png"], "result.jpeg")).toEqual(["photo.png → result.jpeg"]);
  });

  it("writes to a folder that exists without a slash", async () => {
    expect(await plan(["photo.png"], "album/deeper")).toEqual([
      "photo.png → album/deeper/photo-x4.png",
    ]);
  });

  const refusals: readonly [string, readonly string[], string | undefined, RegExp][] = [
    ["a missing file", ["nothing.png"], undefined, /nothing\.png: no such file or folder/],
    ["a glob without a match", ["*.webp"], undefined, /no PNG, JPEG or WebP image matches/],
    [
      "many images to one file",
      ["photo.png", "album/a.webp"],
      "r.png",
      /2 images cannot go to one file/,
    ],
    ["an unknown output format", ["photo.png"], "result.gif", /must end in \.png, \.jpg/],
    ["an output that is an input", ["photo.png"], "photo.png", /photo\.png is an input/],
    ["a folder below a file", ["photo.png"], "album/note.txt/sub/", /note\.txt is not a folder/],
  ];
  it.each(refusals)("refuses %s", async (_name, inputs, out, message) => {
    const error = await plan(inputs, out).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
  });

  it("refuses an empty folder", async () => {
    await mkdir(folder.file("empty"));
    await expect(plan(["empty"])).rejects.toThrow(
      /empty: the folder has no PNG, JPEG or WebP image/,
    );
  });

  it("refuses two inputs with one result", async () => {
    await writeFile(folder.file("album/photo.png"), "x");
    await expect(plan(["photo.png", "album/photo.png"], "out/")).rejects.toThrow(
      /photo\.png and .*album\/photo\.png would both be written to .*out\/photo-x4\.png/,
    );
  });

  it("refuses to replace a result unless forced", async () => {
    await writeFile(folder.file("photo-x4.png"), "old");
    await expect(plan(["photo.png"])).rejects.toThrow(/photo-x4\.png exists already\. Use --force/);
    expect(await plan(["photo.png"], undefined, true)).toHaveLength(1);
  });

  it("follows a link to an image", async () => {
    await symlink(folder.file("photo.png"), folder.file("album/link.png"));
    expect(await plan(["album"])).toContain("album/link.png → album/link-x4.png");
  });
});
