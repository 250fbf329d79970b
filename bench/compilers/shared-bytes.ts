/** How much workgroup memory a shader declares, read from its text. */
import { constantOf } from "./wgsl-loops.ts";

/** Bytes, and what an address is a multiple of. */
interface Layout {
  readonly size: number;
  readonly alignment: number;
}

const SCALARS: Readonly<Record<string, number>> = { f16: 2, f32: 4, i32: 4, u32: 4 };

/** Bytes of all arrays in workgroup memory. Throws for a declaration that it cannot read. */
export function sharedBytesOf(code: string): number {
  const text = code.replaceAll(/\/\/.*$/gm, "");
  const arrays = [...text.matchAll(/var<workgroup> (\w+): array<(.+), ([^,;]+)>;/g)];
  return arrays.reduce((bytes, [, name, type = "", length = ""]) => {
    const { size, alignment } = layoutOf(text, type);
    const all = roundUp(size, alignment) * (constantOf(code, length) ?? Number.NaN);
    if (Number.isInteger(all)) return bytes + all;
    throw new Error(`workgroup memory: the size of ${name} is not known, got ${length} × ${type}`);
  }, 0);
}

const roundUp = (bytes: number, multiple: number): number => Math.ceil(bytes / multiple) * multiple;

function layoutOf(code: string, type: string): Layout {
  const alias = new RegExp(`alias ${type} = ([^;]+);`).exec(code)?.[1];
  if (alias !== undefined) return layoutOf(code, alias);
  const [, length, scalar = type] = /^vec([234])<(\w+)>$/.exec(type) ?? [];
  const size = SCALARS[scalar] ?? Number.NaN;
  // Three components take the place of four where something follows that is not small enough.
  if (length !== undefined)
    return { size: Number(length) * size, alignment: (length === "2" ? 2 : 4) * size };
  const fields = new RegExp(`struct ${type} \\{([^}]*)\\}`).exec(code)?.[1];
  if (fields === undefined) return { size, alignment: size };
  const layouts = [...fields.matchAll(/\w+: ([\w<>]+)/g)].map(([, of = ""]) => layoutOf(code, of));
  const alignment = Math.max(...layouts.map((field) => field.alignment));
  const end = layouts.reduce((at, field) => roundUp(at, field.alignment) + field.size, 0);
  return { size: roundUp(end, alignment), alignment };
}
