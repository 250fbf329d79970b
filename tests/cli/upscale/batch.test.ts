import { spawnSync } from "node:child_process";
import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { CliError } from "../../../cli/errors.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { fakeEngine } from "../support/fake-engine.ts";
import { noise, plain, save, saveCutOff } from "../support/image-files.ts";
import { runOn, seeingEngine } from "../support/run-upscale.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();
const model = (): { readonly model: string } => ({ model: folder.path });

/** The bytes of all files below a folder, by their names. */
async function filesBelow(path: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(path, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  const files = new Map<string, string>();
  for (const name of names) {
    files.set(name.slice(path.length + 1), (await readFile(name)).toString("base64"));
  }
  return files;
}

const GOOD = 270;
const BROKEN = 10;

/** 270 images of four kinds in a tree, and 30 files among them that are broken, links or something else. */
async function makeAlbum(): Promise<void> {
  const album = (...parts: string[]) => folder.file("album", ...parts);
  const places = ["", "summer", "summer/beach", "winter"];
  for (const place of places) await mkdir(album(place), { recursive: true });
  const kinds = ["png", "jpg", "webp", "gif"];
  const encoded = new Map<string, Buffer>();
  for (let i = 0; i < GOOD; i++) {
    const kind = kinds[i % 4] as string;
    const place = places[(i >> 2) % 4] as string;
    // Every image has its own size, so that no result is another's.
    const image = noise(2 + (i % 9), 2 + Math.floor(i / 9));
    const bytes = await (
      kind === "gif" ? image.gif() : kind === "png" ? image.png() : image.toFormat(kind as "jpg")
    ).toBuffer();
    encoded.set(kind, bytes);
    await writeFile(album(place, `${String(i).padStart(3, "0")}.${kind}`), bytes);
  }
  for (let i = 0; i < BROKEN; i++) {
    const path = album(places[i % 4] as string, `broken-${i}.${kinds[i % 3]}`);
    if (i < 3) await writeFile(path, "");
    else if (i < 6) await writeFile(path, "this is no image");
    else await saveCutOff(path, noise(40, 40));
  }
  for (let i = 0; i < 3; i++) await symlink("nowhere", album(`dead-${i}.png`));
  for (let i = 0; i < 3; i++) await symlink(album(), album("winter", `up-${i}`));
  for (let i = 0; i < 2; i++) await symlink(`loop-${i}.png`, album(`loop-${i}.png`));
  for (let i = 0; i < 2; i++) expect(spawnSync("mkfifo", [album(`pipe-${i}.jpg`)]).status).toBe(0);
  for (let i = 0; i < 4; i++) await writeFile(album("summer", `note-${i}.txt`), "words");
  for (let i = 0; i < 2; i++) await writeFile(album(`paper-${i}.pdf`), "%PDF-1.4\n");
  for (let i = 0; i < 2; i++)
    await writeFile(album(`clip-${i}.mp4`), "\0\0\0\x18ftypisom\0\0\0\0isom");
  for (let i = 0; i < 2; i++) await writeFile(album(`._00${i}.png`), "Mac OS X");
}

/** Of the 30: ten fail, these are left out. */
const LEFT_OUT =
  "2 × companion of macOS (._*), 2 × video (MP4 or QuickTime), 3 × link to nothing, 2 × link in a circle, " +
  "2 × PDF document, 2 × special file, 4 × file of another kind, 3 × link to a folder";

describe("a folder of 300 files", () => {
  it(
    "taken up again after an interruption gives the bytes of one run",
    { timeout: 120_000 },
    async () => {
      await makeAlbum();
      const album = folder.file("album");
      const options = { ...model(), recursive: true } as const;

      const whole = await runOn([album], { ...options, out: folder.file("whole/") + "/" });
      expect(whole.exitCode).toBe(1);
      expect(whole.stdout.at(-1)).toMatch(
        new RegExp(`^270 done, 20 skipped \\(${escaped(LEFT_OUT)}\\), 10 failed in `),
      );
      const errors = whole.told.filter((line) => line.includes("broken-"));
      expect(errors).toHaveLength(BROKEN);
      expect(new Set(errors.map((line) => line.replace(/^.*broken-\d\.\w+: /, "")))).toEqual(
        new Set([
          "the file is empty",
          "not an image (PNG, JPEG, WebP, AVIF, GIF, TIFF and BMP can be read)",
          ...errors
            .filter((line) => /damaged or cut off/.test(line))
            .map((line) => line.replace(/^.*broken-\d\.\w+: /, "")),
        ]),
      );

      const out = folder.file("again/") + "/";
      let count = 0;
      const interrupting = fakeEngine({
        onUpscale: () => void (++count === GOOD / 3 && process.emit("SIGINT", "SIGINT")),
      });
      const interrupted = await runOn([album], { ...options, out }, interrupting).catch(
        (error: unknown) => error,
      );
      expect(interrupted).toBeInstanceOf(CliError);
      expect(interrupted).toMatchObject({ exitCode: 130, message: "interrupted" });
      const before = await filesBelow(folder.file("again"));
      expect(before.size).toBe(GOOD / 3 - 1);

      const rest = await runOn([album], { ...options, out, skipExisting: true, json: true });
      expect(rest.exitCode).toBe(1);
      expect(JSON.parse(rest.stdout[0] as string)).toMatchObject({
        done: GOOD - before.size,
        skipped: 20 + before.size,
        failed: BROKEN,
        totalMs: expect.any(Number),
      });
      expect(rest.engine.events.filter((event) => event.startsWith("upscale"))).toHaveLength(
        GOOD - before.size,
      );
      const [expected, got] = await Promise.all([
        filesBelow(folder.file("whole")),
        filesBelow(folder.file("again")),
      ]);
      expect([...got.keys()]).toEqual([...expected.keys()]);
      expect(got.size).toBe(GOOD);
      for (const [name, bytes] of expected) expect(got.get(name), name).toBe(bytes);

      const nothing = await runOn([album], { ...options, out, skipExisting: true });
      expect(nothing.stdout).toEqual([
        expect.stringMatching(/^0 done, 290 skipped .*10 failed in /),
      ]);
      expect(nothing.engine.events).toEqual([]); // no GPU was asked for
    },
  );
});

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

describe("several images", () => {
  beforeEach(async () => {
    for (const name of ["a", "b", "c"]) await save(folder.file(`${name}.png`), plain(2, 2));
  });
  const files = (...names: string[]) => names.map((name) => folder.file(name));

  it("go on when one is missing, refused or fails, with one line each", async () => {
    await writeFile(folder.file("a-x4.png"), "old");
    const { exitCode, stdout, told } = await runOn(files("a.png", "no.png", "b.png"), model());
    expect(exitCode).toBe(1);
    expect(told).toEqual([
      `rcod: ${folder.file("no.png")}: no such file or folder`,
      `rcod: ${folder.file("a.png")}: ${folder.file("a-x4.png")} exists already. Use --force to replace it, ` +
        "or --skip-existing to go on with the others",
    ]);
    expect(stdout.at(-1)).toMatch(/^1 done, 0 skipped, 2 failed in /);
  });

  it("end at the first that fails under --no-keep-going, before work where that is known", async () => {
    await writeFile(folder.file("b.png"), "no image");
    const stopped = await runOn(files("a.png", "b.png", "c.png"), { ...model(), keepGoing: false });
    expect(stopped.exitCode).toBe(1);
    expect(stopped.stdout.at(-1)).toMatch(/^1 done, 0 skipped, 1 failed, 1 not tried in /);
    const engine = fakeEngine();
    const known = { ...model(), keepGoing: false, skipExisting: true };
    await expect(runOn(files("c.png", "no.png"), known, engine)).rejects.toMatchObject({
      exitCode: 2,
      message: `${folder.file("no.png")}: no such file or folder`,
    });
    expect(engine.events).toEqual([]);
  });

  it("are all skipped with exit code 0 and without a GPU", async () => {
    const once = await runOn(files("a.png", "b.png"), model());
    expect(once.exitCode).toBe(0);
    const { exitCode, stdout, told, engine } = await runOn(files("a.png", "b.png", "a-x4.png"), {
      ...model(),
      skipExisting: true,
    });
    expect([exitCode, told, engine.events]).toEqual([0, [], []]);
    expect(stdout).toEqual([
      expect.stringMatching(
        /^0 done, 3 skipped \(1 × result of an earlier run, 2 × result there already\), 0 failed in /,
      ),
    ]);
  });

  it("tell nothing when quiet but what has failed", async () => {
    await writeFile(folder.file("b.png"), "");
    const { stdout, stderr } = await runOn(files("a.png", "b.png"), { ...model(), quiet: true });
    expect([stdout, stderr]).toEqual([[], [`rcod: ${folder.file("b.png")}: the file is empty`]]);
  });

  it("have names of any bytes, shown on one line", async () => {
    const name = Buffer.concat([Buffer.from(folder.file("two\nlines-")), Buffer.from([0xff])]);
    await mkdir(folder.file("odd"));
    const bytes = await plain(2, 2).png().toBuffer();
    await writeFile(
      Buffer.concat([Buffer.from(folder.file("odd/")), Buffer.from([0xff]), Buffer.from("\n.png")]),
      bytes,
    );
    await writeFile(name, bytes);
    const { exitCode, stdout } = await runOn(files("odd"), model());
    expect([exitCode, stdout[0]]).toEqual([
      0,
      expect.stringMatching(/odd\/\\xff\\n\.png → .*odd\/\\xff\\n-x4\.png {2}2 × 2/),
    ]);
    const results = await readdir(folder.file("odd"), { encoding: "buffer" });
    expect(results.map((result) => result.toString("latin1")).toSorted()).toEqual([
      "\xff\n-x4.png",
      "\xff\n.png",
    ]);
  });
});

describe("an animation", () => {
  const film = async (): Promise<string> => {
    const path = folder.file("film.gif");
    const raw = Buffer.concat([30, 120, 220].map((value) => Buffer.alloc(3 * 2 * 3, value)));
    const { default: sharp } = await import("sharp");
    const image = sharp(raw, { raw: { width: 3, height: 6, channels: 3, pageHeight: 2 } });
    await writeFile(path, await image.gif({ delay: [50, 60, 70], loop: 4 }).toBuffer());
    return path;
  };

  it("is upscaled frame by frame, each by itself", async () => {
    const { engine, seen } = seeingEngine();
    const { exitCode, stdout } = await runOn([await film()], model(), engine);
    expect(exitCode).toBe(0);
    expect(seen.map(({ width, height, data }: RawImage) => [width, height, data[0]])).toEqual([
      [3, 2, 30],
      [3, 2, 120],
      [3, 2, 220],
    ]);
    expect(stdout[0]).toMatch(/3 × 2 → 12 × 8, 3 frames {2}/);
    const { default: sharp } = await import("sharp");
    const result = await sharp(await readFile(folder.file("film-x4.gif"))).metadata();
    expect([result.pages, result.delay, result.loop]).toEqual([3, [50, 60, 70], 4]);
  });

  it("keeps what auto has chosen for its first frame", async () => {
    await mkdir(folder.file("mem"));
    await writeFile(folder.file("mem/config.json"), "{}");
    const { engine } = await runOn([await film()], { ...model(), realism: "auto" });
    expect(engine.calls.map(({ realism, timestep }) => realism ?? timestep)).toEqual([
      "auto",
      499,
      499,
    ]);
  });
});

describe("bits and channels", () => {
  it.each([
    ["a.png", 16, {}, undefined],
    ["a.png", 16, { depth: 8 }, 8],
    ["a.png", 16, { format: "jpeg" }, 8],
    ["a.png", 8, { depth: 16 }, 16],
    ["a.png", 16, { reference: true }, 8],
    ["a.png", 8, {}, undefined],
  ] as const)(
    "%s of %i bits with %j asks the engine for depth %s",
    async (name, bits, options, depth) => {
      await save(folder.file(name), plain(2, 2).toColourspace(bits === 16 ? "grey16" : "b-w"));
      const { engine, seen } = seeingEngine();
      await runOn([folder.file(name)], { ...model(), ...options }, engine);
      expect(engine.calls[0]?.depth).toBe(depth);
      expect([seen[0]?.channels, seen[0]?.data instanceof Uint16Array]).toEqual([1, bits === 16]);
    },
  );
});

describe("standard input and output", () => {
  const recording = async (written: Uint8Array[]) => {
    const bytes = await plain(3, 2).jpeg().toBuffer();
    return {
      streams: {
        read: async () => bytes,
        write: async (result: Uint8Array) => void written.push(result),
      },
    };
  };

  it("take an image through, and all words go to stderr", async () => {
    const written: Uint8Array[] = [];
    const { exitCode, stdout, stderr } = await runOn(
      ["-"],
      model(),
      fakeEngine(),
      await recording(written),
    );
    expect([exitCode, stdout]).toEqual([0, []]);
    const { default: sharp } = await import("sharp");
    const { format, width, height } = await sharp(written[0]).metadata();
    expect([format, width, height]).toEqual(["jpeg", 12, 8]);
    expect(stderr.at(-1)).toMatch(/^standard input → standard output {2}3 × 2 → 12 × 8/);
  });

  it("can be one of the two", async () => {
    const written: Uint8Array[] = [];
    const both = await recording(written);
    await runOn(["-"], { ...model(), out: folder.file("b.webp") }, fakeEngine(), both);
    expect((await readFile(folder.file("b.webp"))).toString("latin1", 8, 12)).toBe("WEBP");
    await runOn(
      [folder.file("b.webp")],
      { ...model(), out: "-", format: "png" },
      fakeEngine(),
      both,
    );
    expect(Buffer.from(written[0] ?? []).toString("latin1", 1, 4)).toBe("PNG");
    await expect(runOn(["-"], { ...model(), json: true }, fakeEngine(), both)).rejects.toThrow(
      /--json and the image would both go to standard output/,
    );
  });

  it("tell what is wrong with what came in", async () => {
    const streams = { read: async () => Buffer.from("no image"), write: async () => {} };
    const { exitCode, told } = await runOn(["-"], model(), fakeEngine(), { streams });
    expect([exitCode, told]).toEqual([
      2,
      ["rcod: standard input: not an image (PNG, JPEG, WebP, AVIF, GIF, TIFF and BMP can be read)"],
    ]);
  });
});

describe("what a model refuses", () => {
  it("is told before anything of it is loaded", async () => {
    await writeFile(
      folder.file("rcod_config.json"),
      '{"instance":"RCOD_O","upscale":4,"min_size":128}',
    );
    await save(folder.file("a.png"), plain(26_000, 1));
    const { exitCode, told, engine } = await runOn([folder.file("a.png")], model());
    expect(exitCode).toBe(2);
    expect(told).toEqual([
      expect.stringMatching(/^rcod: .*a\.png: geometry: the enlarged image must/),
    ]);
    expect(engine.events).toEqual([]);
  });
});
