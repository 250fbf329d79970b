import { rmSync, writeFileSync } from "node:fs";
/** What others do to files while `rcod upscale` is at work: nothing is replaced, and what is told is true. */
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { beforeEach, describe, expect, it } from "vitest";
import type { UpscaleCliOptions } from "../../../cli/upscale/command.ts";
import { fakeEngine } from "../support/fake-engine.ts";
import { plain, save } from "../support/image-files.ts";
import type { Ran } from "../support/run-upscale.ts";
import { runOn } from "../support/run-upscale.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();

beforeEach(async () => {
  for (const name of ["a", "b", "c"]) await save(folder.file(`${name}.png`), plain(2, 2));
});

/** Upscales a, b and c; `meanwhile` happens while the image of that number is on the GPU. */
async function upscale(
  meanwhile: Readonly<Record<number, () => void>>,
  options: Partial<UpscaleCliOptions> = {},
): Promise<Ran> {
  let count = 0;
  const engine = fakeEngine({ onUpscale: () => meanwhile[++count]?.() });
  const files = ["a.png", "b.png", "c.png"].map((name) => folder.file(name));
  return runOn(files, { model: folder.path, ...options }, engine);
}

const upscales = ({ engine }: Ran): number =>
  engine.events.filter((event) => event.startsWith("upscale")).length;

describe("a folder of results that is removed", () => {
  const out = () => folder.file("out/") + "/";
  const removeOut = () => rmSync(folder.file("out"), { recursive: true });

  it("takes its results along: they are told as failed, and those behind are there", async () => {
    const ran = await upscale({ 3: removeOut }, { out: out() });
    expect(ran.exitCode).toBe(1);
    const lost = `the result is lost: the folder ${folder.file("out")} was removed while the command ran`;
    expect(ran.told).toEqual(
      ["a", "b"].map((name) => `rcod: ${folder.file(`${name}.png`)}: ${lost}`),
    );
    expect(ran.stdout.at(-1)).toMatch(/^1 done, 0 skipped, 2 failed in /);
    expect(await readdir(folder.file("out"))).toEqual(["c-x4.png"]);
  });

  it("is told as JSON too, and behind the last image as well", async () => {
    const engine = fakeEngine();
    const ran = await runOn(
      [folder.file("a.png"), folder.file("b.png")],
      { model: folder.path, out: out(), json: true },
      {
        ...engine,
        loadModel: async (...args) => {
          const model = await engine.loadModel(...args);
          return { ...model, dispose: removeOut };
        },
      },
    );
    expect(ran.exitCode).toBe(1);
    const result = JSON.parse(ran.stdout[0] as string) as { results: { error: string }[] };
    expect(result).toMatchObject({ done: 0, failed: 2 });
    expect(result.results[1]?.error).toMatch(/^the result is lost: the folder .*out was removed/);
  });

  it("is no matter where somebody moves results on", async () => {
    const moveOn = () => rmSync(folder.file("out/a-x4.png"));
    const ran = await upscale({ 2: moveOn }, { out: out() });
    expect([ran.exitCode, ran.told]).toEqual([0, []]);
  });
});

describe("a result that comes up", () => {
  const another = (name: string) => () => writeFileSync(folder.file(`${name}-x4.png`), "another's");

  it("is kept: before an image without any work for it, during it at the end", async () => {
    const ran = await upscale({ 1: another("b"), 2: another("c") });
    expect(ran.exitCode).toBe(1);
    expect(ran.told).toEqual(
      ["b", "c"].map(
        (name) =>
          `rcod: ${folder.file(`${name}.png`)}: ${folder.file(`${name}-x4.png`)} exists already. Use --force to replace it`,
      ),
    );
    expect(upscales(ran)).toBe(2); // a and c
    expect(await readFile(folder.file("b-x4.png"), "utf8")).toBe("another's");
  });

  it("is skipped under --skip-existing and replaced under --force", async () => {
    const skipping = await upscale({ 1: another("b"), 2: another("c") }, { skipExisting: true });
    expect([skipping.exitCode, skipping.told]).toEqual([0, []]);
    expect(skipping.stdout.at(-1)).toMatch(
      /^1 done, 2 skipped \(2 × result there already\), 0 failed/,
    );
    const forcing = await upscale({ 1: another("b") }, { force: true });
    expect([forcing.exitCode, forcing.told]).toEqual([0, []]);
    expect((await readFile(folder.file("b-x4.png"))).toString("latin1", 1, 4)).toBe("PNG");
  });
});

describe("an image that changes", () => {
  it.each([
    ["is removed", () => rm(folder.file("b.png")), /b\.png: no such file or folder$/],
    [
      "is half there",
      () => writeFile(folder.file("b.png"), "\x89PNG\r\n\x1a\n", "latin1"),
      /b\.png: the image is damaged or cut off/,
    ],
    [
      "becomes a folder",
      async () => {
        await rename(folder.file("b.png"), folder.file("x"));
        await mkdir(folder.file("b.png"));
      },
      /b\.png: it is a folder$/,
    ],
  ])("and %s fails alone", async (_what, happen, message) => {
    let pending: Promise<unknown> = Promise.resolve();
    const ran = await upscale({ 1: () => void (pending = happen()) });
    await pending;
    expect(ran.exitCode).toBe(1);
    expect(ran.told).toEqual([expect.stringMatching(message)]);
    expect(ran.stdout.at(-1)).toMatch(/^2 done, 0 skipped, 1 failed in /);
  });
});
