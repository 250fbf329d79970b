/** Variants `matrix` and `matrix-split` of linear and conv2d: which devices and problems they are for (`gpu/matrix-tile.ts`). */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { TileBody } from "../../gpu/tile-body.ts";
import { matrixTile } from "../../gpu/tile-body.ts";
import { TILED } from "./gemm-tiled.ts";

/** Whether a variant sums its tiles by matrix units. */
export const isMatrixVariant = (variant: string): boolean => variant.startsWith("matrix");

/** Why a tile cannot be summed by matrix units; null where it can. */
export function matrixTileRefusal(dtype: DType, caps: Caps): string | null {
  if (dtype !== "f16") return `matrix units take f16 storage, got ${dtype}`;
  if (caps.matrixUnits === null) return `matrix units cannot be used: ${caps.matrixRefusal}`;
  const [bytes, most] = [matrixTile().storageBytes, caps.limits.maxComputeWorkgroupStorageSize];
  if (bytes <= most) return null;
  return `matrix units need ${bytes} bytes of workgroup storage, got ${most}`;
}

/** The body of a variant that is built on tiles. `normalises`: what is loaded may be outside the range of f16. */
export function tileBody(variant: string, caps: Caps, normalises: boolean): TileBody {
  if (!isMatrixVariant(variant)) return TILED;
  if (caps.matrixUnits === null) throw new Error(`internal: ${variant} without matrix units`);
  return matrixTile().body(caps.matrixUnits, normalises);
}
