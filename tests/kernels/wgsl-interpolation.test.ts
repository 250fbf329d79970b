/** Shaders can be read: of the lines of WGSL in a file of `src/kernels`, under a third hold `${`. */
import { readFile, readdir } from "node:fs/promises";
import type { ESTree } from "vite";
import { Visitor, parseSync } from "vite";
import { describe, expect, it } from "vitest";

const FOLDER = new URL("../../src/kernels/", import.meta.url);
/** A file with fewer lines of WGSL is glue, not a shader. */
const LEAST_LINES = 10;
const MOST_SHARE = 1 / 3;

interface Span {
  readonly start: number;
  readonly end: number;
}

interface WgslLines {
  readonly total: number;
  readonly interpolated: number;
}

/**
 * Lines of a source that have WGSL, and those of them on which an interpolation begins. WGSL is in a template literal with
 * the mark /* wgsl *\/, in one within its interpolations or the arguments of `unroll`, and in one that holds a `;`.
 */
function wgslLines(text: string): WgslLines {
  const templates: ESTree.TemplateLiteral[] = [];
  const shaders: Span[] = [];
  new Visitor({
    TemplateLiteral: (node) => {
      templates.push(node);
      if (/\/\* wgsl \*\/\s*$/.test(text.slice(0, node.start))) shaders.push(node);
    },
    CallExpression: (node) => {
      if (node.callee.type === "Identifier" && node.callee.name === "unroll") shaders.push(node);
    },
  }).visit(parseSync("kernel.ts", text).program);
  const total = new Set<number>();
  const interpolated = new Set<number>();
  for (const { start, end, quasis } of templates) {
    const isWithin = shaders.some((shader) => shader.start <= start && end <= shader.end);
    if (!isWithin && !quasis.some(({ value }) => value.raw.includes(";"))) continue;
    for (const { value, tail, ...quasi } of quasis) {
      const first = text.slice(0, quasi.start).split("\n").length;
      const lines = value.raw.split("\n");
      lines.forEach((line, i) => {
        if (line.trim() !== "") total.add(first + i);
      });
      if (tail) continue;
      total.add(first + lines.length - 1);
      interpolated.add(first + lines.length - 1);
    }
  }
  return { total: total.size, interpolated: interpolated.size };
}

describe("lines of WGSL with an interpolation", async () => {
  const names = (await readdir(FOLDER, { recursive: true })).filter((name) => name.endsWith(".ts"));
  const counted = await Promise.all(
    names.map(async (name) => ({
      name,
      ...wgslLines(await readFile(new URL(name, FOLDER), "utf8")),
    })),
  );
  const shaders = counted.filter(({ total }) => total >= LEAST_LINES);

  it("are counted", () => {
    const text = [
      "const a = /* wgsl */ `",
      "fn f() {",
      "  ${unroll(2, (r) => `let a${r} = 0;`)}",
      "}`;",
      "const b = `let ${c} = 1;",
      "`;",
      "const d = `no shader: ${e}`;",
    ];
    expect(wgslLines(text.join("\n"))).toEqual({ total: 4, interpolated: 2 });
    expect(shaders.length).toBeGreaterThan(20);
  });

  it.each(shaders.map(({ name, ...lines }) => [name, lines] as const))(
    "%s: under a third",
    (_, { total, interpolated }) => {
      expect(interpolated / total, `${interpolated} of ${total} lines`).toBeLessThan(MOST_SHARE);
    },
  );
});
