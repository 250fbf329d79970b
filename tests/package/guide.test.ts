/** The code blocks of docs/guide.md and docs/fleet.md compile against the library as it is. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What `tsc` says of each block as a module of its own; empty when all is well. */
async function compile(blocks: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "rcod-guide-"));
  try {
    for (const [index, block] of blocks.entries())
      await writeFile(join(folder, `block-${index + 1}.ts`), block);
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        paths: {
          "rcod-webgpu": [join(root, "src/index.ts")],
          "rcod-webgpu/fleet": [join(root, "fleet/index.ts")],
        },
        noUnusedLocals: false,
        types: [join(root, "node_modules/@webgpu/types"), join(root, "node_modules/@types/node")],
      },
      include: [folder],
      exclude: [],
    };
    await writeFile(join(folder, "package.json"), '{ "type": "module" }');
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    await promisify(execFile)(process.execPath, [tsc, "-p", folder]);
    return "";
  } catch (error) {
    return (error as { readonly stdout: string }).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

it("docs/guide.md: every block compiles", async () => {
  const guide = await readFile(join(root, "docs/guide.md"), "utf8");
  const blocks = [...guide.matchAll(/```ts\n(.*?)```/gs)].map(([, code = ""]) => code);
  expect(blocks.length).toBeGreaterThan(7);
  expect(await compile(blocks)).toBe("");
  const broken = 'import { loadModel } from "rcod-webgpu";\nawait loadModel(7);\n';
  expect(await compile([broken])).toContain("block-1.ts(2,");
});

it("docs/fleet.md: the worker for a queue of one's own compiles", async () => {
  const page = await readFile(join(root, "docs/fleet.md"), "utf8");
  const blocks = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, code = ""]) => code);
  expect(blocks).toHaveLength(1);
  expect(await compile(blocks)).toBe("");
});
