/** `tests/package/layers.ts`: this tree is clean, and made-up trees with each kind of mistake are refused. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ROOMS, violations } from "./layers.ts";

/** What is said of a tree of these files. */
async function said(files: Readonly<Record<string, string>>, head = "/** A file. */\n") {
  const folder = await mkdtemp(join(tmpdir(), "rcod-layers-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), path.endsWith(".ts") ? head + text : text);
    }
    return await violations(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same import in every form that TypeScript has. */
const FORMS: Readonly<Record<string, (path: string) => string>> = {
  import: (path) => `import { x } from "${path}";\nx();\n`,
  "import type": (path) => `import type { X } from "${path}";\nexport type Y = X;\n`,
  "bare import": (path) => `import "${path}";\n`,
  "export from": (path) => `export { x } from "${path}";\n`,
  "export *": (path) => `export * from "${path}";\n`,
  "import()": (path) => `export const x = async () => (await import("${path}")).x;\n`,
  "type import()": (path) => `export type X = import("${path}").X;\n`,
};

it("this tree is clean", async () => {
  expect(await violations(fileURLToPath(new URL("../../", import.meta.url)))).toEqual([]);
});

describe.each(Object.entries(FORMS))("%s", (_, form) => {
  it("is refused upward, sideways, out of src, to a package", async () => {
    const refused = [
      ["src/gpu/a.ts", "../kernels/kernel.ts"],
      ["src/gpu/caps.ts", "./device.ts"],
      ["src/kernels/norm/a.ts", "../contraction/conv2d.ts"],
      ["src/kernels/norm/a.ts", "../../gpu/device.ts"],
      ["src/kernels/attention/a.ts", "../norm/layer-norm.ts"],
      ["src/graph/passes/a.ts", "../lowering/lower.ts"],
      ["src/graph/ir/a.ts", "../plan.ts"],
      ["src/weights/sources/a.ts", "node:fs"],
      ["src/weights/a.ts", "../gpu/device.ts"],
      ["src/rcod/networks/a.ts", "../loading/load.ts"],
      ["src/rcod/settings/a.ts", "../networks/unet.ts"],
      ["src/rcod/a.ts", "../verify/verify.ts"],
      ["src/rcod/a.ts", "../weights/sources/node-source.ts"],
      ["src/index.ts", "./graph/ir/ir.ts"],
      ["src/worker/a.ts", "../../cli/main.ts"],
      ["src/node/a.ts", "sharp"],
      ["cli/bench/a.ts", "../tune/run.ts"],
      ["demo/tabs/a.ts", "../../src/index.ts"],
      ["demo/tabs/a.ts", "node:fs"],
      ["tests/reference/a.ts", "../../src/gpu/dtype.ts"],
    ] as const;
    for (const [file, path] of refused) {
      const [first = "", ...more] = await said({ [file]: form(path) });
      expect(first, `${file} imports ${path}`).toMatch(/: room .+ must not import /);
      expect(more).toEqual([]);
    }
  });

  it("is let through downward", async () => {
    const allowed = [
      ["src/kernels/contraction/a.ts", "../norm/channel-stats.ts"],
      ["src/kernels/norm/a.ts", "../../gpu/caps.ts"],
      ["src/graph/lowering/a.ts", "../passes/passes.ts"],
      ["src/rcod/stages/a.ts", "../networks/unet.ts"],
      ["src/rcod/loading/a.ts", "../../weights/index.ts"],
      ["src/node/a.ts", "node:fs/promises"],
      ["cli/bench/a.ts", "../../src/bench/roofline.ts"],
      ["cli/bench/a.ts", "commander"],
      ["demo/tabs/a.ts", "rcod-webgpu/gpu"],
      ["demo/tabs/a.ts", "../app.ts"],
    ] as const;
    for (const [file, path] of allowed) {
      expect(await said({ [file]: form(path) }), `${file} imports ${path}`).toEqual([]);
    }
  });

  it.each(["src/gpu", "cli", "demo", "bench", "scripts", "tests/support", "examples"])(
    "closes no circle in %s",
    async (folder) => {
      const files = { [`${folder}/a.ts`]: form("./b.ts"), [`${folder}/b.ts`]: form("./a.ts") };
      expect(await said(files)).toEqual([
        `circle: ${folder}/a.ts → ${folder}/b.ts → ${folder}/a.ts`,
      ]);
    },
  );
});

it("Python's imports close no circle either", async () => {
  const files = {
    "training/a.py": "import torch\nimport b\n",
    "training/b.py": "def late():\n    from c import x\n",
    "training/c.py": "import a\n",
  };
  expect(await said(files)).toEqual([
    "circle: training/a.py → training/b.py → training/c.py → training/a.py",
  ]);
});

it("folders and files have a largest size, and new folders a room", async () => {
  const folder = Object.fromEntries(Array.from({ length: 23 }, (_, i) => [`src/gpu/f${i}.ts`, ""]));
  expect(await said(folder)).toEqual([expect.stringContaining("at most 22 files, got 23")]);
  expect(await said({ "cli/long.ts": "//\n".repeat(400) })).toEqual([
    expect.stringContaining("at most 400 lines, got 401"),
  ]);
  expect(await said({ "cli/bare.ts": "export {};\n" }, "")).toEqual([
    "cli/bare.ts: a file begins with a comment that says what it is",
  ]);
  const lost = await said({ "src/rcod/new/a.ts": 'import { x } from "../model.ts";\n' });
  expect(lost).toEqual(["src/rcod/new/a.ts: is in no room of tests/package/layers.ts"]);
});

it("the rooms themselves have no circle", () => {
  const done = new Set<string>();
  const below = (name: string, way: readonly string[]): void => {
    expect(way, [...way, name].join(" → ")).not.toContain(name);
    if (done.has(name)) return;
    for (const next of ROOMS.find((room) => room.name === name)?.imports ?? []) {
      if (next !== name && ROOMS.some((room) => room.name === next)) below(next, [...way, name]);
    }
    done.add(name);
  };
  for (const { name } of ROOMS) {
    if (name.startsWith("src")) below(name, []);
  }
  expect(done.size).toBeGreaterThan(30);
});
