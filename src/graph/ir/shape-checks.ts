/** How `GraphBuilder` refuses shapes. */
import { ShapeError } from "../../gpu/shape.ts";
import type { Value } from "./ir.ts";

/** Throws `ShapeError` with the module path unless the rule is kept. */
export function check(isKept: boolean, message: string, path?: string): void {
  if (!isKept) throw new ShapeError(path === undefined ? message : `${message} (${path})`);
}

/** [N, H, W, C] of a value; throws `ShapeError` for another rank. */
export function mapShape(
  { shape }: Value,
  op: string,
  path: string,
): readonly [number, number, number, number] {
  check(shape.length === 4, `${op}: needs [N, H, W, C], got [${shape.join(", ")}]`, path);
  return shape as readonly [number, number, number, number];
}
