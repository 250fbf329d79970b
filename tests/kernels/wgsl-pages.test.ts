/**
 * docs/wgsl: every kernel's finished shaders, as a driver gets them, each for one typical problem in f16 on a GPU with
 * native halves. A change of a shader is a diff there. `npx vitest run tests/kernels/wgsl-pages -u` writes them.
 */
import { readdir } from "node:fs/promises";
import { expect, it } from "vitest";
import type { Kernel } from "../../src/kernels/index.ts";
import * as exported from "../../src/kernels/index.ts";
import { MATRIX_CAPS } from "../support/matrix-caps.ts";
import type { TypicalProblem } from "../support/typical-problems.ts";
import { GPU_CAPS, TYPICAL_PROBLEMS } from "../support/typical-problems.ts";

const FOLDER = new URL("../../docs/wgsl/", import.meta.url);

interface Page {
  /** `conv2d-patch.wgsl`; of a plan with several shaders the others are numbered from 2. */
  readonly file: string;
  readonly about: string;
  readonly label: string;
  readonly lines: number;
  readonly text: string;
}

const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

/** The same tokens, indented by depth: shaders are put together from texts that know nothing of each other's. */
function indented(code: string): string {
  let depth = 0;
  const text = code.replaceAll(
    /^(struct \w+) \{ (.{80,}) \}$/gm,
    (_, name: string, fields: string) =>
      [`${name} {`, ...fields.split(", ").map((field) => `${field},`), "}"].join("\n"),
  );
  const lines = text.split("\n").map((line) => {
    const trimmed = line.trim();
    const bare = trimmed.replace(/\/\/.*/, "");
    const closing = /^[})]*/.exec(bare)?.[0].length ?? 0;
    const at = depth - closing;
    depth += count(bare, /[{(]/g) - count(bare, /[})]/g);
    return trimmed === "" ? "" : `${"  ".repeat(Math.max(at, 0))}${trimmed}`;
  });
  return `${lines
    .join("\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim()}\n`;
}

const shown = new Set<string>();

/** The shaders of a plan that no page before shows. */
function pagesOf({ name, about, plan }: TypicalProblem): readonly Page[] {
  const { dispatches } = plan("f16", name.includes("matrix") ? MATRIX_CAPS : GPU_CAPS);
  const pages: Page[] = [];
  for (const { label, code, workgroups } of dispatches) {
    if (shown.has(code)) continue;
    shown.add(code);
    const file = `${name}${pages.length > 0 ? `-${pages.length + 1}` : ""}.wgsl`;
    const body = indented(code);
    const head = `// ${label}: ${about}. Storage f16; ${workgroups.join(" × ")} workgroups.\n`;
    pages.push({ file, about, label, lines: body.split("\n").length, text: `${head}${body}` });
  }
  return pages;
}

const PAGES = TYPICAL_PROBLEMS.flatMap(pagesOf);

it.each(PAGES)("$file", async ({ file, text }) => {
  await expect(text).toMatchFileSnapshot(new URL(file, FOLDER).pathname);
});

it("README.md lists them, and nothing else is there", async () => {
  const rows = PAGES.map(
    ({ file, label, about, lines }) =>
      `| [${file}](${file}) | \`${label}\` | ${about} | ${lines} |`,
  );
  const text = `# The shaders

Every kernel as a driver gets it: header, body and epilogue in one text, each for one typical problem in f16 on a GPU
with \`shader-f16\`. A test writes and compares these files, so a change of a shader shows as a diff here. What a kernel
does and why is in its file under [src/kernels](../../src/kernels); [architecture.md](../architecture.md) says how a
shader is chosen.

| file | dispatch | problem | lines |
|---|---|---|---|
${rows.join("\n")}
`;
  await expect(text).toMatchFileSnapshot(new URL("README.md", FOLDER).pathname);
  const files = await readdir(FOLDER);
  expect(files.toSorted()).toEqual([...PAGES.map(({ file }) => file), "README.md"].toSorted());
});

it("every exported kernel has a page, and every variant", () => {
  const kernels = Object.values<unknown>(exported).filter(
    (value): value is Kernel<unknown> =>
      typeof value === "object" && value !== null && "variants" in value,
  );
  expect(kernels.length).toBeGreaterThan(25);
  const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
  const names = TYPICAL_PROBLEMS.map(({ name }) => name);
  const expected = kernels.flatMap(({ name, variants }) =>
    variants.length > 1 ? variants.map((variant) => `${kebab(name)}-${variant}`) : [kebab(name)],
  );
  expect(expected.filter((name) => !names.includes(name))).toEqual([]);
});
