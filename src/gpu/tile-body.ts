/**
 * What a way to sum the tiles of `kernels/contraction/gemm-tiled.ts` gives. The one by matrix units is about the device and not small, and
 * few devices have the units: the probe that finds them (`matrix-probe.ts`) brings it along.
 */
import type { MatrixUnits } from "./subgroup-matrix.ts";

export const TILE_ROWS = 64;
export const TILE_COLUMNS = 64;

/** How a workgroup of 128 sums a tile, as WGSL within `main`. */
export interface TileBody {
  /** Quads of the K axis in a step. */
  readonly kQuads: number;
  /** Lines in front of the shader. */
  readonly directives: readonly string[];
  /** Workgroup memory; and `set_part(at, v)`, `part(at)` for 256 vec4 f32 of it, once the sums are there. */
  readonly declarations: string;
  /** Attributes and further parameters of `main`. */
  readonly attributes: string;
  readonly parameters: string;
  /** Before the first step. */
  readonly begin: string;
  /** Stages quads `k0` to `k0 + kQuads` of a tap that has `quads`, and adds their products. */
  readonly step: string;
  /** Leaves the sums of rows `my_row` + r, quads `my_quad` + q in `acc{r}_{q}`, and a barrier behind it. */
  readonly end: string;
}

/** The body by matrix units, and the workgroup memory it takes. */
export interface MatrixTile {
  readonly storageBytes: number;
  /** `normalises`: what is loaded may be outside the range of f16. */
  readonly body: (units: MatrixUnits, normalises: boolean) => TileBody;
}

let loaded: MatrixTile | null = null;

/** Makes it known; once it is loaded. */
export function provideMatrixTile(tile: MatrixTile): void {
  loaded = tile;
}

/** Throws where nothing has loaded it: caps with matrix units come from the probe, which does. */
export function matrixTile(): MatrixTile {
  if (loaded === null) throw new Error("internal: matrix units that no probe has found");
  return loaded;
}
