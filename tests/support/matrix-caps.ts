/** Made-up devices with matrix units, for what needs no device. */
import type { Caps } from "../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";

/** WebGPU's least limits, and these units. */
export const matrixCaps = (matrixUnits: MatrixUnits): Caps => ({
  ...BASELINE_CAPS,
  hasShaderF16: true,
  hasSubgroups: true,
  subgroupSizes: [matrixUnits.subgroupSize, matrixUnits.subgroupSize],
  matrixUnits,
  matrixRefusal: null,
});

/** As NVIDIA offers them. */
export const MATRIX_CAPS = matrixCaps({
  M: 16,
  N: 16,
  K: 16,
  subgroupSize: 32,
  pinsSubgroupSize: true,
  spelling: "quads",
});
