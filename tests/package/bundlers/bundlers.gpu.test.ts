/** The recipes of docs/guide.md for bundlers, built from the packed package, as pages in one Chromium: all show one picture. */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderFiles } from "../../../src/weights/sources/node-source.ts";
import { startFileServer } from "../../browser/file-server.ts";
import type { TestBrowser } from "../../browser/support.ts";
import { useBrowser } from "../../browser/support.ts";
import { emptyPlace, mustRun, packTo } from "../support.ts";
import type { Recipe } from "./recipes.ts";
import { MARKUP, recipeProject, recipes, unpackedPackage } from "./recipes.ts";

const browser = (await useBrowser()) as TestBrowser;

let folder = "";
let unpacked = "";
let guide: ReadonlyMap<string, Recipe>;
beforeAll(async () => {
  folder = await emptyPlace();
  unpacked = await unpackedPackage(await packTo(folder), folder);
  guide = await recipes();
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A project with the package and `files`. */
async function newProject(
  name: string,
  files: Iterable<readonly [path: string, text: string]>,
): Promise<string> {
  const project = await mkdtemp(join(folder, `${name.replaceAll(" ", "-")}-`));
  await recipeProject(project, unpacked, files);
  return project;
}

/** The project of a recipe, built by its commands, with `changed` done to the text of each file and to the commands. */
async function built(name: string, changed: (text: string) => string): Promise<string> {
  const recipe = guide.get(name);
  if (recipe === undefined) throw new Error(`the guide has no recipe for ${name}`);
  const files = new Map([["index.html", MARKUP], ...(guide.get("")?.files ?? []), ...recipe.files]);
  for (const [path, text] of files) files.set(path, changed(text));
  const project = await newProject(name, files);
  const commands = changed(recipe.commands).trim();
  if (commands !== "") await mustRun(project, "bash", "-e", "-c", commands);
  return project;
}

/** Opens a folder as a page and waits for its picture. */
async function picture(site: string): Promise<string> {
  browser.server.mount("site", folderFiles(site));
  const { page, problems } = await browser.open("/site/");
  const width = (): Promise<number> => page.$eval("canvas", (canvas) => canvas.width);
  while ((await width()) !== 48 && problems.length === 0) await setTimeout(50);
  const pixels = await page.$eval("canvas", (canvas) =>
    Array.from(canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? []),
  );
  expect(pixels).toHaveLength(48 * 40 * 4);
  return createHash("sha256").update(Uint8Array.from(pixels)).digest("hex");
}

describe.skipIf(browser === null)("a page", () => {
  let expected = "";
  beforeAll(async () => {
    expected = await picture(await built("Import maps", (text) => text));
  }, 300_000);

  it("from a CDN has the same picture", async () => {
    const cdn = await startFileServer();
    try {
      cdn.mount("rcod-webgpu", folderFiles(unpacked));
      const address = `${cdn.address}/rcod-webgpu`;
      const site = await built("Import maps", (text) =>
        text.replaceAll("./node_modules/rcod-webgpu", address),
      );
      expect(await picture(site)).toBe(expected);
      expect(cdn.requests.map(({ path }) => path)).toContain(
        "/rcod-webgpu/dist/src/worker/host.js",
      );
    } finally {
      await cdn.close();
    }
  }, 300_000);

  it.each([
    ["Vite", (text: string) => text.replace("vite build", "vite build --base ./")],
    ["webpack", (text: string) => text.replace('src="page.js"', 'src="main.js"')],
    ["esbuild", (text: string) => text],
    ["esbuild", (text: string) => text.replace("--format=esm", "--format=iife")],
    ["Rollup", (text: string) => text],
  ])(
    "built by %s has the same picture",
    async (name, changed) => {
      expect(await picture(join(await built(name, changed), "dist"))).toBe(expected);
    },
    300_000,
  );

  it("whose bundler follows no addresses says what to do", async () => {
    const model = guide.get("")?.files.get("model.js") ?? "";
    const project = await newProject("unfollowed", [
      ["model.js", model],
      ["page.js", PROBE],
      ["index.html", '<script defer src="page.js"></script>'],
    ]);
    const command =
      "npx esbuild page.js --bundle --format=iife --outdir=dist && cp index.html dist";
    await mustRun(project, "bash", "-c", command);
    browser.server.mount("site", folderFiles(join(project, "dist")));
    const { page } = await browser.open("/site/");
    const said = await page.waitForFunction(() => (globalThis as { said?: string[] }).said);
    expect(await said.jsonValue()).toEqual([
      "TypeError: rcod-tiny: the script must know its address, got no import.meta.url. Serve the package's folder " +
        'models/rcod-tiny and load that: loadModel("/models/rcod-tiny")',
      expect.stringMatching(
        /^TypeError: worker: its script must be found beside this one, got ".*Invalid URL". Bundle rcod-webgpu\/worker-host as/,
      ),
    ]);
  }, 60_000);
});

it("built by webpack for a server, as Next.js does, is imported without any effect", async () => {
  const project = await built("webpack", (text) =>
    text
      .replace('entry: "./page.js"', 'target: "node", entry: "./model.js"')
      .replace(/^cp .*$/m, ""),
  );
  await mustRun(join(project, "dist"), process.execPath, "main.js");
}, 300_000);

/** A page that tells what it is told: with neither model nor worker found, and without a worker. */
const PROBE = `
import { load } from "./model.js";
import { loadModelInWorker } from "rcod-webgpu/worker";
const said = (model) => model.then(() => "loaded", String);
Promise.all([said(load()), said(loadModelInWorker("rcod-tiny"))]).then((all) => (window.said = all));
`;
