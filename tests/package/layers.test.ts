/**
 * The layer rule of docs/architecture.md is enforced by `.oxlintrc.json`. Here a made-up tree with right and
 * wrong imports is linted with that file, so that a rule which stops firing is noticed.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Importer, then imports that must pass, then imports that must be refused. */
const RULES: readonly (readonly [file: string, allowed: string[], refused: string[]])[] = [
  [
    "src/gpu/a.ts",
    ["./caps.ts"],
    ["../kernels/kernel.ts", "../graph/ir.ts", "../weights/index.ts", "node:fs", "sharp", "webgpu"],
  ],
  [
    "src/kernels/a.ts",
    [
      "./kernel.ts",
      "../gpu/caps.ts",
      "../gpu/dtype.ts",
      "../gpu/shape.ts",
      "../gpu/tile-body.ts",
      "../gpu/wgsl.ts",
    ],
    ["../gpu/device.ts", "../gpu/memory.ts", "../gpu/index.ts", "../graph/ir.ts", "node:fs"],
  ],
  [
    "src/graph/a.ts",
    ["./ir.ts", "../gpu/device.ts", "../kernels/conv2d.ts"],
    ["../weights/index.ts", "../rcod/unet.ts", "../node/gpu.ts", "node:path"],
  ],
  [
    "src/weights/a.ts",
    ["./source.ts", "../gpu/dtype.ts"],
    ["../gpu/device.ts", "../graph/ir.ts", "./node-source.ts", "node:fs/promises"],
  ],
  [
    "src/weights/node-source.ts",
    ["./source.ts", "node:path", "node:fs/promises"],
    ["../gpu/device.ts", "sharp"],
  ],
  [
    "src/cache/a.ts",
    ["./storage.ts", "../weights/index.ts", "../weights/http-source.ts"],
    ["../gpu/device.ts", "../rcod/unet.ts", "../weights/node-source.ts", "node:fs"],
  ],
  [
    "src/rcod/a.ts",
    [
      "./unet.ts",
      "../gpu/device.ts",
      "../graph/ir.ts",
      "../kernels/crop.ts",
      "../weights/index.ts",
    ],
    [
      "../verify/verify.ts",
      "../cli/main.ts",
      "../node/gpu.ts",
      "../weights/node-source.ts",
      "node:fs",
    ],
  ],
  [
    "src/verify/a.ts",
    ["./verify.ts", "../rcod/unet.ts", "../graph/ir.ts", "../weights/index.ts"],
    ["../cli/main.ts", "../node/gpu.ts", "../index.ts", "node:fs"],
  ],
  [
    "src/bench/a.ts",
    ["./cases.ts", "../rcod/unet.ts", "../kernels/linear.ts", "../weights/index.ts"],
    ["../cli/main.ts", "../verify/verify.ts", "../node/gpu.ts", "node:fs"],
  ],
  ["src/models/a.ts", [], ["./rcod-tiny.ts", "../weights/files.ts", "../rcod/model.ts"]],
  [
    "src/worker/a.ts",
    ["./protocol.ts", "../rcod/model.ts", "../gpu/errors.ts", "../weights/errors.ts"],
    ["../graph/ir.ts", "../index.ts", "../node/gpu.ts", "../weights/node-source.ts", "node:fs"],
  ],
  [
    "src/node/a.ts",
    ["./gpu.ts", "../gpu/device.ts", "../weights/node-source.ts", "node:fs/promises", "webgpu"],
    ["../graph/ir.ts", "../rcod/unet.ts", "../cli/main.ts", "sharp"],
  ],
  [
    "src/cli/a.ts",
    ["./main.ts", "../node/gpu.ts", "../verify/verify.ts", "node:fs", "sharp", "commander"],
    [],
  ],
  [
    "src/index.ts",
    ["./rcod/model.ts", "./gpu/device.ts", "./weights/index.ts"],
    [
      "./cli/main.ts",
      "./node/gpu.ts",
      "./graph/ir.ts",
      "./weights/node-source.ts",
      "node:fs",
      "sharp",
    ],
  ],
  ["tests/reference/a.ts", ["./activation.ts"], ["../../src/gpu/dtype.ts", "../support/random.ts"]],
  [
    "demo/tabs/a.ts",
    ["./page.ts", "../app.ts", "rcod-webgpu", "rcod-webgpu/gpu", "wgpu-matrix"],
    ["../../src/index.ts", "../../src/gpu/device.ts", "rcod-webgpu/node", "node:fs", "vite"],
  ],
];

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
  readonly message: string;
}

/** oxlint's findings for the tree in `folder`, without the rules that need types. */
async function lint(folder: string): Promise<readonly Diagnostic[]> {
  const oxlint = join(root, "node_modules", "oxlint", "bin", "oxlint");
  const run = promisify(execFile)(process.execPath, [oxlint, "-f", "json"], { cwd: folder });
  const { stdout } = await run.catch((error: unknown) => error as { readonly stdout: string });
  return (JSON.parse(stdout) as { readonly diagnostics: readonly Diagnostic[] }).diagnostics;
}

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rcod-layers-"));
  const config = await readFile(join(root, ".oxlintrc.json"), "utf8");
  expect(config).toContain('"typeAware": true');
  await writeFile(
    join(folder, ".oxlintrc.json"),
    config.replace('"typeAware": true', '"typeAware": false'),
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

describe("the layer rule", () => {
  it("lets through and refuses what docs/architecture.md says", async () => {
    for (const [file, allowed, refused] of RULES) {
      const lines = [...allowed, ...refused].flatMap((path, i) => [
        `import { x as x${i} } from "${path}";`,
        `import type { T as T${i} } from "${path}";`,
        `export { y as y${i} } from "${path}";`,
        `export const z${i}: [T${i}, unknown] = [x${i}, await import("${path}")];`,
      ]);
      await write(file, `${lines.join("\n")}\n`);
    }
    const found = (await lint(folder)).filter(({ code }) => code.includes("no-restricted-imports"));
    for (const [file, allowed, refused] of RULES) {
      const hits = (path: string): number =>
        found.filter(({ filename, message }) => filename === file && message.includes(`'${path}'`))
          .length;
      for (const path of allowed) expect(hits(path), `${file} may import ${path}`).toBe(0);
      // import, import type, export … from, import(): each is an import.
      for (const path of refused) expect(hits(path), `${file} must not import ${path}`).toBe(4);
    }
  });

  it("refuses cycles, also of types", async () => {
    await write("src/cycle/a.ts", 'import type { B } from "./b.ts";\nexport type A = B[];\n');
    await write("src/cycle/b.ts", 'import type { A } from "./a.ts";\nexport type B = A[];\n');
    const found = (await lint(folder)).filter(({ code }) => code.includes("no-cycle"));
    expect(found.map(({ filename }) => filename).toSorted()).toEqual([
      "src/cycle/a.ts",
      "src/cycle/b.ts",
    ]);
  });

  it("knows every folder of src", async () => {
    const entries = await readdir(join(root, "src"), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const known = new Set(RULES.map(([file]) => file.split("/")[1]));
    expect(folders.filter((name) => !known.has(name))).toEqual([]);
  });
});
