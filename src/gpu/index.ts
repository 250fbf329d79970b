/** The GPU layer: devices, capabilities, buffers, transfers. Knows no tensors. */
export type {} from "../web-types.ts";
export type { Caps, CapsLimits, SubgroupMatrixConfig } from "./caps.ts";
export {
  BASELINE_CAPS,
  DEFAULT_LIMITS,
  adapterNames,
  fasterDType,
  isSoftwareAdapter,
} from "./caps.ts";
export { adoptDevice, requestGpu, withMatrixUnits, withVariants } from "./device.ts";
export type { Gpu, GpuOptions } from "./device.ts";
export type { DType } from "./dtype.ts";
export { dtypeByteLength, floatToHalfBits, halfBitsToFloat } from "./dtype.ts";
export { DeviceError, DeviceLostError } from "./errors.ts";
export type { MatrixSpelling, MatrixUnits } from "./subgroup-matrix.ts";
export type { MemoryUse, Purpose } from "./memory.ts";
export { ShapeError } from "./shape.ts";
export { readBytes, submittedWorkDone, uploadBytes } from "./transfer.ts";
