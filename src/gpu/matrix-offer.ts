/**
 * What a device says of its matrix units. Whether they can be used only `matrix-probe.ts` finds out; both are loaded where
 * a device has the feature. Names and sizes of other modules stand here and in `matrix-tile.ts` once more, held equal by their types:
 * to share a module with the library's entry would make it a file of its own.
 */
import type { Caps } from "./caps.ts";
import type { SUBGROUP_SIZE_FEATURE } from "./device.ts";
import type { MatrixUnits } from "./subgroup-matrix.ts";

export const PINS_SIZES: typeof SUBGROUP_SIZE_FEATURE = "subgroup-size-control";

/** What caps alone say against matrix units; null where only a probe can tell. */
export function matrixRefusal(caps: Caps, features: ReadonlySet<string>): string | null {
  if (!caps.hasShaderF16 || !caps.hasSubgroups)
    return "shader-f16 and subgroups are needed as well";
  if (shapesOf(caps).length === 0) {
    const offered = caps.subgroupMatrixConfigs.map(
      ({ componentType, resultComponentType, M, N, K }) =>
        `${componentType} → ${resultComponentType} ${M}×${N}×${K}`,
    );
    return `no shape of f16 factors with f32 sums is of use, offered: ${offered.join(", ")}`;
  }
  if (sizesOf(caps, features).length === 0) {
    return `subgroups of ${caps.subgroupSizes.join(" to ")} cannot be pinned to one size`;
  }
  return null;
}

const SIDES = [8, 16];
const SUMS = [8, 16, 32];

export type MatrixShape = Pick<MatrixUnits, "M" | "N" | "K">;

/** Tried where the adapter's info lists none, as the info that a device itself has in Dawn. */
export const USUAL_SHAPES: readonly MatrixShape[] = [
  { M: 16, N: 16, K: 16 },
  { M: 8, N: 16, K: 16 },
  { M: 8, N: 8, K: 8 },
];

/** Shapes that tiles of 64 × 64 are made of, the largest first: the larger, the less is loaded for a product. */
export function shapesOf({ subgroupMatrixConfigs }: Caps): readonly MatrixShape[] {
  if (subgroupMatrixConfigs.length === 0) return USUAL_SHAPES;
  return subgroupMatrixConfigs
    .filter(
      ({ componentType, resultComponentType, M, N, K }) =>
        componentType === "f16" &&
        resultComponentType === "f32" &&
        SIDES.includes(M) &&
        SIDES.includes(N) &&
        SUMS.includes(K),
    )
    .map(({ M, N, K }) => ({ M, N, K }))
    .toSorted((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
}

/** Subgroup sizes to try: the only one, or where sizes can be pinned 32 and then the larger before the smaller. */
export function sizesOf({ subgroupSizes }: Caps, features: ReadonlySet<string>): readonly number[] {
  const [least, most] = subgroupSizes;
  const sizes = [32, 128, 64, 16, 8].filter(
    (size) => size >= least && (most === 0 || size <= most),
  );
  return least === most || features.has(PINS_SIZES) ? sizes : [];
}
