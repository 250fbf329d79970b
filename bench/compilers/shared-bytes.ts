/** How much workgroup memory a shader declares, read from its text. */
import { constantOf } from "./wgsl-loops.ts";

const SCALARS: Readonly<Record<string, number>> = { f16: 2, f32: 4, i32: 4, u32: 4 };

/** Bytes of all arrays in workgroup memory. Throws for a declaration that it cannot read. */
export function sharedBytesOf(code: string): number {
  const aliases = new Map(
    [...code.matchAll(/alias (\w+) = ([^;]+);/g)].map(([, name = "", type = ""]) => [name, type]),
  );
  const arrays = [...code.matchAll(/var<workgroup> (\w+): array<(.+), ([^,;]+)>;/g)];
  return arrays.reduce((bytes, [, name, type = "", length = ""]) => {
    const size = sizeOf(aliases.get(type) ?? type) * (constantOf(code, length) ?? Number.NaN);
    if (Number.isInteger(size)) return bytes + size;
    throw new Error(`workgroup memory: the size of ${name} is not known, got ${length} × ${type}`);
  }, 0);
}

/** Of an element, in bytes. Those of three components lie as far apart as those of four. */
function sizeOf(type: string): number {
  const [, length, scalar = ""] = /^vec(\d)<(\w+)>$/.exec(type) ?? [];
  if (length === undefined) return SCALARS[type] ?? Number.NaN;
  return (length === "3" ? 4 : Number(length)) * (SCALARS[scalar] ?? Number.NaN);
}
