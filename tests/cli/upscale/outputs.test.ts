import { spawnSync } from "node:child_process";
import { access, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { Plan, PlanOptions } from "../../../cli/upscale/outputs.ts";
import { planJobs } from "../../../cli/upscale/outputs.ts";
import { save, plain } from "../support/image-files.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();

beforeEach(async () => {
  await mkdir(folder.file("album", "deeper"), { recursive: true });
  for (const name of ["photo.png", "album/b.JPG", "album/a.webp", "album/deeper/c.png"]) {
    await save(folder.file(name), plain(2, 2));
  }
  await writeFile(folder.file("album/note.txt"), "x");
});

function planOf(
  inputs: readonly string[],
  out?: string,
  options: Omit<PlanOptions, "input" | "out"> = {},
): Promise<Plan> {
  return planJobs({
    input: inputs.map((input) => join(folder.path, input)),
    ...(out !== undefined && { out: folder.file(out) + (out.endsWith("/") ? "/" : "") }),
    ...options,
  });
}

const short = (path: string): string => path.replaceAll(`${folder.path}/`, "");

/** Jobs as `input → output`, relative to the folder. */
async function plan(...args: Parameters<typeof planOf>): Promise<readonly string[]> {
  const { jobs } = await planOf(...args);
  return jobs.map(({ input, output }) => short(`${input} → ${output}`));
}

/** What was left out, as `name: reason`. */
const skippedOf = ({ skipped }: Plan): readonly string[] =>
  skipped.map(({ path, reason }) => short(`${path}: ${reason}`));

const problemsOf = ({ problems }: Plan): readonly string[] =>
  problems.map(({ input, error }) => short(`${input}: ${error.message}`));

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

  it("searches folders below when asked, and keeps the tree", async () => {
    expect(await plan(["album"], undefined, { recursive: true })).toEqual([
      "album/a.webp → album/a-x4.webp",
      "album/b.JPG → album/b-x4.JPG",
      "album/deeper/c.png → album/deeper/c-x4.png",
    ]);
    expect(await plan(["album"], "out/", { recursive: true })).toEqual([
      "album/a.webp → out/a-x4.webp",
      "album/b.JPG → out/b-x4.JPG",
      "album/deeper/c.png → out/deeper/c-x4.png",
    ]);
  });

  it("leaves a folder of results out of the search", async () => {
    await mkdir(folder.file("album/out"));
    await save(folder.file("album/out/a-x4.webp"), plain(8, 8));
    expect(await plan(["album"], "album/out/", { recursive: true, force: true })).toEqual([
      "album/a.webp → album/out/a-x4.webp",
      "album/b.JPG → album/out/b-x4.JPG",
      "album/deeper/c.png → album/out/deeper/c-x4.png",
    ]);
  });

  it.each([
    ["a folder", ["album"]],
    ["a glob", ["album/*"]],
    [
      "a list",
      ["album/a.webp", "album/a-x4.webp", "album/b.JPG", "album/b-x4.png", "album/o-x4.png"],
    ],
  ])("leaves own results out of %s", async (_name, words) => {
    for (const name of ["a-x4.webp", "b-x4.png", "o-x4.png"]) {
      await save(folder.file("album", name), plain(2, 2));
    }
    const found = await planOf(words, undefined, { force: true });
    expect(found.jobs.map(({ input }) => short(input)).toSorted()).toEqual([
      "album/a.webp",
      "album/b.JPG",
      "album/o-x4.png", // of no image that is there
    ]);
    expect(skippedOf(found)).toEqual(
      expect.arrayContaining([
        "album/a-x4.webp: result of an earlier run",
        "album/b-x4.png: result of an earlier run",
      ]),
    );
  });

  it("takes a result that is named alone", async () => {
    await save(folder.file("photo-x4.png"), plain(2, 2));
    expect(await plan(["photo-x4.png"])).toEqual(["photo-x4.png → photo-x4-x4.png"]);
  });

  it("expands globs, images only, each once", async () => {
    expect(await plan(["album/*", "album/**/*.png", "album/a.webp"], "out/")).toEqual([
      "album/a.webp → out/a-x4.webp",
      "album/b.JPG → out/b-x4.JPG",
      "album/deeper/c.png → out/c-x4.png",
    ]);
  });

  it.each(["p[1].png", "p].png", "[p", "{a,b}.png", "-p.png", "two\nlines.png", "*.png"])(
    "takes %j as the file of that name",
    async (name) => {
      await save(folder.file("photo.png"), plain(2, 2));
      await writeFile(folder.file(name), await plain(2, 2).png().toBuffer());
      const stem = name.replace(/\.png$/, "");
      expect(await plan([name])).toEqual([`${name} → ${stem}-x4.png`]);
    },
  );

  it("goes by what a file is, not by its name", async () => {
    const bytes = await plain(2, 2).jpeg().toBuffer();
    for (const name of ["a.png", "b", "c.jfif", "d.bmp"]) await writeFile(folder.file(name), bytes);
    expect(await plan(["a.png", "b", "c.jfif", "d.bmp"])).toEqual([
      "a.png → a-x4.jpg",
      "b → b-x4.jpg",
      "c.jfif → c-x4.jfif",
      "d.bmp → d-x4.jpg",
    ]);
    expect((await plan(["."], "out/")).slice(0, 2)).toEqual([
      "a.png → out/a-x4.jpg",
      "b → out/b-x4.jpg",
    ]);
  });

  it("writes one image to a named file, in the format of that name", async () => {
    expect(await plan(["photo.png"], "result.jpeg")).toEqual(["photo.png → result.jpeg"]);
    const { jobs } = await planOf(["photo.png"], "result.jpeg");
    expect(jobs[0]?.format).toBe("jpeg");
  });

  it("takes --format before the input's own", async () => {
    expect(await plan(["album"], undefined, { format: "avif" })).toEqual([
      "album/a.webp → album/a-x4.avif",
      "album/b.JPG → album/b-x4.avif",
    ]);
    expect(await plan(["photo.png"], "result.bin", { format: "avif" })).toEqual([
      "photo.png → result.bin",
    ]);
  });

  it("writes to a folder that exists without a slash", async () => {
    expect(await plan(["photo.png"], "album/deeper")).toEqual([
      "photo.png → album/deeper/photo-x4.png",
    ]);
  });

  it("reads standard input alone, to standard output or a file", async () => {
    const stream = { input: ["-"] };
    expect((await planJobs(stream)).jobs).toEqual([{ input: "-", output: "-", format: undefined }]);
    expect((await planJobs({ ...stream, out: "a.webp" })).jobs).toEqual([
      { input: "-", output: "a.webp", format: "webp" },
    ]);
    expect(
      (await planJobs({ input: [folder.file("photo.png")], out: "-", format: "jpeg" })).jobs,
    ).toEqual([{ input: folder.file("photo.png"), output: "-", format: "jpeg" }]);
    await expect(planJobs({ input: ["-", "a.png"] })).rejects.toThrow(/is read alone/);
    await expect(planJobs({ ...stream, out: "out/" })).rejects.toThrow(/give a file/);
  });

  const refusals: readonly [
    string,
    readonly string[],
    string | undefined,
    RegExp,
    Omit<PlanOptions, "input" | "out">?,
  ][] = [
    ["a missing file", ["nothing.png"], undefined, /nothing\.png: no such file or folder/],
    ["a glob without a match", ["*.webp"], undefined, /\*\.webp: nothing matches/],
    ["many images to one file", ["album"], "r.png", /2 images cannot go to one file/],
    ["an unknown output format", ["photo.png"], "result.bmp", /must end in \.png, \.jpg/],
    ["an output that is an input", ["photo.png"], "photo.png", /photo\.png is an input/],
    ["a folder below a file", ["photo.png"], "album/note.txt/sub/", /note\.txt is not a folder/],
    [
      "a name and a format",
      ["photo.png"],
      "a.png",
      /name of PNG.*asks for WebP/,
      { format: "webp" },
    ],
    [
      "a JPEG without loss",
      ["photo.png"],
      "a.jpg",
      /JPEG always loses something/,
      { lossless: true },
    ],
  ];
  it.each(refusals)("refuses %s", async (_name, inputs, out, message, options = {}) => {
    const error = await plan(inputs, out, options).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
  });

  it("refuses a folder without images, and says what is in it", async () => {
    await mkdir(folder.file("empty"));
    await expect(plan(["empty"])).rejects.toThrow(/empty: no image to upscale \(PNG, JPEG, WebP/);
    await writeFile(folder.file("empty/a.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>");
    await expect(plan(["empty"])).rejects.toThrow(/1 skipped \(1 × SVG drawing\)/);
  });

  it("refuses two inputs with one result, by both names, and goes on with the others", async () => {
    await save(folder.file("album/photo.png"), plain(2, 2));
    const found = await planOf(["photo.png", "album/photo.png", "album/a.webp"], "out/");
    expect(found.jobs.map(({ input }) => short(input))).toEqual(["album/a.webp"]);
    expect(problemsOf(found)).toEqual([
      "photo.png: photo.png and album/photo.png would both be written to out/photo-x4.png. Upscale them separately",
      "album/photo.png: album/photo.png and photo.png would both be written to out/photo-x4.png. Upscale them separately",
    ]);
  });

  it("refuses to replace a result unless forced, or leaves its image out", async () => {
    await writeFile(folder.file("photo-x4.png"), "old");
    await expect(plan(["photo.png"])).rejects.toThrow(/photo-x4\.png exists already\. Use --force/);
    expect(await plan(["photo.png"], undefined, { force: true })).toHaveLength(1);
    const kept = await planOf(["photo.png"], undefined, { skipExisting: true });
    expect([kept.jobs, skippedOf(kept)]).toEqual([[], ["photo.png: result there already"]]);
    const several = await planOf(["photo.png", "album/a.webp"]);
    expect(several.jobs).toHaveLength(1);
    expect(problemsOf(several)).toEqual([
      expect.stringMatching(/^photo\.png: photo-x4\.png exists already.* or --skip-existing/),
    ]);
  });

  it("takes regular files and links to such, and counts the rest", async () => {
    const album = (name: string) => folder.file("album", name);
    await symlink(folder.file("photo.png"), album("link.png"));
    await symlink(folder.file("nothing"), album("dead.png"));
    await symlink(folder.file("album"), album("up"));
    await symlink(album("loop.png"), album("loop.png"));
    await writeFile(album("._a.webp"), "x");
    await writeFile(album("clip.mp4"), "\0\0\0\x18ftypisom\0\0\0\0isom");
    expect(spawnSync("mkfifo", [album("pipe.png")]).status).toBe(0);
    const found = await planOf(["album"], undefined, { recursive: true });
    expect(found.jobs.map(({ input }) => short(input))).toEqual([
      "album/a.webp",
      "album/b.JPG",
      "album/deeper/c.png",
      "album/link.png",
    ]);
    expect(skippedOf(found)).toEqual([
      "album/._a.webp: companion of macOS (._*)",
      "album/clip.mp4: video (MP4 or QuickTime)",
      "album/dead.png: link to nothing",
      "album/loop.png: link in a circle",
      "album/note.txt: file of another kind",
      "album/pipe.png: special file",
      "album/up: link to a folder",
    ]);
    // A glob of ours finds neither dead links nor FIFOs, and does not go around in circles.
    expect(await plan(["album/**/*"], "out/")).toEqual([
      "album/a.webp → out/a-x4.webp",
      "album/b.JPG → out/b-x4.JPG",
      "album/deeper/c.png → out/c-x4.png",
      "album/link.png → out/link-x4.png",
    ]);
    // What a shell makes of album/*.{png,webp}.
    const names = ["._a.webp", "a.webp", "dead.png", "link.png", "loop.png", "pipe.png"];
    const listed = await planOf(names.map((name) => `album/${name}`));
    expect(listed.jobs.map(({ input }) => short(input))).toEqual([
      "album/a.webp",
      "album/link.png",
    ]);
    expect(skippedOf(listed)).toHaveLength(4);
  });

  it.each([
    ["a dead link", "dead.png", /dead\.png: it is a link to nothing/],
    ["a circle of links", "loop.png", /loop\.png: its links lead in a circle/],
  ])("names what is wrong with %s", async (_name, name, message) => {
    await symlink(folder.file("nothing"), folder.file("dead.png"));
    await symlink(folder.file("loop.png"), folder.file("loop.png"));
    await expect(plan([name])).rejects.toThrow(message);
  });

  it("finds files whose names are no UTF-8, in folders, by globs and by name", async () => {
    const odd = Buffer.concat([Buffer.from(folder.file("album/odd-")), Buffer.from([0xff, 0xe9])]);
    const name = Buffer.concat([odd, Buffer.from(".png")]);
    await writeFile(name, await plain(2, 2).png().toBuffer());
    const expected = "album/odd-\udcff\udce9.png → album/odd-\udcff\udce9-x4.png";
    expect(await plan(["album"])).toContain(expected);
    expect(await plan(["album/odd*"])).toEqual([expected]);
    expect(await plan(["album/odd-\ufffd\ufffd.png"])).toEqual([expected]); // as Node reads it
    await access(name);
  });
});
