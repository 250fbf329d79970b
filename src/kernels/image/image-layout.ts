/**
 * 8-bit images on the GPU: RGBA8, one pixel per u32 with red in the lowest byte, row-major, no row padding. The kernels
 * on such images and on maps share what is here: reading a pixel, the grid, the limits of sizes.
 */
import type { Caps } from "../../gpu/caps.ts";
import { ShapeError, isShape } from "../../gpu/shape.ts";
import type { ShaderHeader } from "../../gpu/wgsl.ts";
import type { Dispatch } from "../kernel.ts";
import { dispatch } from "../kernel.ts";

/** How a value between two levels becomes 8-bit. The reference truncates, which is darker by half a level on average. */
export type Rounding = "truncate" | "nearest";

/** Longest side in pixels: the grid below reaches 1,048,560, and no real image comes near. */
export const MAX_IMAGE_SIDE = 1_000_000;

/** Bytes of a packed RGBA8 image. */
export function imageByteLength(width: number, height: number): number {
  return width * height * 4;
}

/** Throws `ShapeError` unless every entry is an integer in 1 … `MAX_IMAGE_SIDE`. */
export function checkSides(op: string, sides: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(sides)) {
    if (!Number.isSafeInteger(value) || value < 1 || value > MAX_IMAGE_SIDE) {
      throw new ShapeError(
        `${op}: ${name} must be an integer in 1 … ${MAX_IMAGE_SIDE}, got ${value}`,
      );
    }
  }
}

/** Throws `ShapeError` unless `[offset, offset + length)` lies in `[0, size)`. */
export function checkRange(
  op: string,
  what: string,
  offset: number,
  length: number,
  size: number,
): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
    throw new ShapeError(
      `${op}: ${what} must lie inside 0 … ${size}, got offset ${offset} and length ${length}`,
    );
  }
}

/** Throws `ShapeError` unless a resize may have `taps` weights for each output, along an axis of `inSize`. */
export function checkTaps(op: string, taps: number, inSize: number): void {
  if (isShape([taps]) && taps <= inSize) return;
  throw new ShapeError(`${op}: taps must be an integer in 1 … ${inSize}, got ${taps}`);
}

/**
 * Throws `ShapeError` where an operand does not fit one storage binding of the device: 128 MiB where
 * only the defaults hold, which is 33.5 megapixels of RGBA8 (5,792 × 5,792).
 */
export function checkBindings(
  op: string,
  byteLengths: Readonly<Record<string, number>>,
  { limits }: Caps,
  advice: string,
): void {
  const limit = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  for (const [name, bytes] of Object.entries(byteLengths)) {
    if (bytes > limit) {
      throw new ShapeError(
        `${op}: operand "${name}" must fit one binding of ${limit} bytes (maxStorageBufferBindingSize), ` +
          `got ${bytes} bytes. ${advice}`,
      );
    }
  }
}

/** Positions of a map that a workgroup of a map kernel takes. */
const MAP_COLUMNS = 16;
const MAP_ROWS = 4;
const MOST_GROUPS = 65_535;

/**
 * Workgroups over a map of `width` × `height` positions; rows of groups beyond 65,535 go to z. Undone by
 * `map_position`. Throws `ShapeError` where a row is too long for the grid.
 */
export function mapGrid(width: number, height: number): readonly [number, number, number] {
  const longest = MOST_GROUPS * MAP_COLUMNS;
  if (width > longest) {
    throw new ShapeError(`map: a row must have at most ${longest} positions, got ${width}`);
  }
  const rows = Math.ceil(height / MAP_ROWS);
  const layers = Math.ceil(rows / MOST_GROUPS);
  return [Math.ceil(width / MAP_COLUMNS), Math.ceil(rows / layers), layers];
}

/**
 * A dispatch over a map of `width` × `height` positions, one invocation each. `statements` are those of `main`: they
 * know their position `at`, which may lie outside the map, and call `functions`.
 */
export function mapDispatch(
  label: string,
  header: ShaderHeader,
  [width, height]: readonly [width: number, height: number],
  functions: string,
  statements: string,
): Dispatch {
  const body = /* wgsl */ `
fn map_position(group: vec3<u32>, counts: vec3<u32>, local: vec3<u32>) -> vec2<u32> {
  return vec2<u32>(group.x * MAP_COLUMNS + local.x, (group.y + group.z * counts.y) * MAP_ROWS + local.y);
}
${functions}
@compute @workgroup_size(MAP_COLUMNS, MAP_ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>,
        @builtin(num_workgroups) counts: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let at = map_position(group, counts, local);${statements}}
`;
  const constants = { MAP_COLUMNS, MAP_ROWS, ...header.constants };
  return dispatch(label, { ...header, constants }, body, mapGrid(width, height));
}

/** WGSL `rgba8(pixel) -> (r, g, b, a)` as integers, and its inverse for values in 0 … 255. */
export const RGBA8 = /* wgsl */ `
fn rgba8(pixel: u32) -> vec4<i32> {
  return vec4<i32>((vec4<u32>(pixel) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}
fn pack_rgba8(c: vec4<i32>) -> u32 {
  let u = vec4<u32>(c) << vec4<u32>(0u, 8u, 16u, 24u);
  return u.x | u.y | u.z | u.w;
}
`;
