/** Made-up devices with matrix units, for what needs no device. */
import type { Caps } from "../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";

/** These units, the workgroup memory that all devices with such units have, and otherwise WebGPU's least limits. */
export const matrixCaps = (matrixUnits: MatrixUnits): Caps => ({
  ...BASELINE_CAPS,
  limits: { ...BASELINE_CAPS.limits, maxComputeWorkgroupStorageSize: 32_768 },
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
