/** The recipes of docs/guide.md as projects: the files that they show, and the commands that they name. */
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { minimalFiles, testImage } from "../../rcod/support.ts";
import { mustRun, root } from "../support.ts";

/** Few layers; all the files that rcod-tiny is read from. */
const MODEL = { midAttention: false, vaeWidths: [8], mem: [8] };
/** The markup that the guide describes. */
export const MARKUP =
  '<!doctype html><canvas></canvas><script type="module" src="page.js"></script>';
const EMPTY_SAFETENSORS = Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d);

/** What one heading of the guide shows. */
export interface Recipe {
  /** Texts by name. */
  readonly files: ReadonlyMap<string, string>;
  readonly commands: string;
}

/** The recipes by heading; `""` is what all have. */
export async function recipes(): Promise<ReadonlyMap<string, Recipe>> {
  const guide = await readFile(join(root, "docs", "guide.md"), "utf8");
  const [, section = ""] = /\n## Bundlers(.*?)\n## /s.exec(guide) ?? [];
  const parts = section.split(/\n### /);
  return new Map(
    parts.map((part, index) => {
      const files = [...part.matchAll(/```\w+ title="(.*?)"\n(.*?)```/gs)];
      const [, commands = ""] = /```sh\n(.*?)```/s.exec(part) ?? [];
      const name = index === 0 ? "" : (part.split("\n", 1)[0] ?? "");
      return [
        name,
        { files: new Map(files.map(([, file = "", text = ""]) => [file, text])), commands },
      ];
    }),
  );
}

/** The package of a tarball in `place`, with the tests' minimal model instead of rcod-tiny. */
export async function unpackedPackage(tarball: string, place: string): Promise<string> {
  await mustRun(place, "tar", "-xzf", tarball);
  const model = join(place, "package", "models", "rcod-tiny");
  const files = await minimalFiles(MODEL);
  files.set("rcod_lora.safetensors", EMPTY_SAFETENSORS); // bundlers look for every file that is named
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(model, path)), { recursive: true });
    await writeFile(join(model, path), bytes);
  }
  return join(place, "package");
}

/** A project with `files`, a photo, the package, and the bundlers of this repository. */
export async function recipeProject(
  project: string,
  unpacked: string,
  files: Iterable<readonly [path: string, text: string]>,
): Promise<void> {
  const modules = join(project, "node_modules");
  await mkdir(modules, { recursive: true });
  await cp(unpacked, join(modules, "rcod-webgpu"), { recursive: true });
  for (const name of ["@rollup", "esbuild", "vite", "webpack"])
    await symlink(join(root, "node_modules", name), join(modules, name), "junction");
  await mkdir(join(modules, ".bin"));
  for (const name of ["esbuild", "rollup", "vite"])
    await symlink(join(root, "node_modules", ".bin", name), join(modules, ".bin", name));
  await writeFile(join(modules, ".bin", "webpack"), WEBPACK, { mode: 0o755 });
  await writeFile(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
  const { width, height, channels, data } = testImage(12, 10);
  await sharp(data, { raw: { width, height, channels } }).toFile(join(project, "photo.png"));
  for (const [name, text] of files) await writeFile(join(project, name), text);
}

/** `npx webpack` without its command line, which is a package of its own. Nothing is minified: that takes most of the time. */
const WEBPACK = `#!/usr/bin/env node
Promise.all([import("webpack"), import(process.cwd() + "/webpack.config.js")]).then(
  ([{ default: webpack }, { default: config }]) =>
    webpack({ ...config, optimization: { minimize: false } }, (error, stats) => {
      if (!error && !stats.hasErrors()) return;
      console.error(error ?? stats.toString());
      process.exitCode = 1;
    }),
);
`;
