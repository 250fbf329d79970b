/** How much workgroup memory a shader declares, read from its text. */
import { constantOf } from "./wgsl-loops.ts";

/** Bytes, and what an address is a multiple of. */
interface Layout {
  readonly size: number;
  readonly alignment: number;
}

const SCALARS: Readonly<Record<string, number>> = { f16: 2, f32: 4, i32: 4, u32: 4 };

/** Bytes of all variables in workgroup memory. Throws for a declaration that it cannot read. */
export function sharedBytesOf(code: string): number {
  const text = code.replaceAll(/\/\/.*$/gm, "");
  const variables = [...text.matchAll(/var<workgroup> (\w+): ([^;]+);/g)];
  return variables.reduce((bytes, [, name, type = ""]) => {
    const { size } = layoutOf(text, type);
    if (Number.isInteger(size)) return bytes + size;
    throw new Error(`workgroup memory: the size of ${name} is not known, got ${type}`);
  }, 0);
}

const roundUp = (bytes: number, multiple: number): number => Math.ceil(bytes / multiple) * multiple;

function layoutOf(code: string, type: string): Layout {
  const [, element, length = ""] = /^array<(.+), ([^,]+)>$/.exec(type) ?? [];
  if (element !== undefined) {
    const { size, alignment } = layoutOf(code, element);
    return { size: roundUp(size, alignment) * (constantOf(code, length) ?? Number.NaN), alignment };
  }
  const alias = new RegExp(`alias ${type} = ([^;]+);`).exec(code)?.[1];
  if (alias !== undefined) return layoutOf(code, alias);
  const [, components, scalar = type] = /^vec([234])<(\w+)>$/.exec(type) ?? [];
  const size = SCALARS[scalar] ?? Number.NaN;
  // Three components take the place of four where something follows that is not small enough.
  if (components !== undefined)
    return { size: Number(components) * size, alignment: (components === "2" ? 2 : 4) * size };
  const fields = new RegExp(`struct ${type} \\{([^}]*)\\}`).exec(code)?.[1];
  if (fields === undefined) return { size, alignment: size };
  const layouts = [...fields.matchAll(/\w+: ([\w<>]+)/g)].map(([, of = ""]) => layoutOf(code, of));
  const alignment = Math.max(...layouts.map((field) => field.alignment));
  const end = layouts.reduce((at, field) => roundUp(at, field.alignment) + field.size, 0);
  return { size: roundUp(end, alignment), alignment };
}
