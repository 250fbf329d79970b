/** From the shape of a case to its workload, as large as a device can take. */
import type { Caps } from "../../gpu/caps.ts";
import { BASELINE_CAPS } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { paddedChannels } from "../../gpu/shape.ts";
import { packedWeightByteLength } from "../../kernels/contraction/pack-weight.ts";
import { attentionWorkload } from "./attention-workload.ts";
import type { CaseShape } from "./case-shape.ts";
import { shrink } from "./case-shape.ts";
import { conv2dWorkload, linearWorkload } from "./contraction-workloads.ts";
import {
  addWorkload,
  groupNormSiluWorkload,
  layerNormWorkload,
  upsampleWorkload,
} from "./memory-bound-workloads.ts";
import { mergeWorkload } from "./merge-workload.ts";
import { testTensorByteLength } from "./test-data.ts";
import type { Workload } from "./workload.ts";

/** `caps` decide which variants there are. */
export function workloadOf(shape: CaseShape, dtype: DType, caps: Caps = BASELINE_CAPS): Workload {
  switch (shape.kind) {
    case "conv2d":
      return conv2dWorkload(shape, dtype, caps);
    case "linear":
      return linearWorkload(shape, dtype, caps);
    case "attention":
      return attentionWorkload(shape, dtype);
    case "group-norm-silu":
      return groupNormSiluWorkload(shape, dtype);
    case "layer-norm":
      return layerNormWorkload(shape, dtype);
    case "lora-merge":
      return mergeWorkload(shape, dtype);
    case "add":
      return addWorkload(shape, dtype);
    case "upsample":
      return upsampleWorkload(shape, dtype);
    default:
      return shape satisfies never;
  }
}

/** A byte moved counts as this many flops when cases are made smaller. */
const FLOPS_PER_BYTE = 8;

/** Work of a workload in flop-equivalents. */
export function workOf({ cost }: Workload): number {
  return cost.flops + FLOPS_PER_BYTE * (cost.bytesRead + cost.bytesWritten);
}

/** Bytes of the packed weight; 0 without one. */
export function packedByteLength({ weight }: Workload): number {
  return weight.reduce((sum, { problem }) => sum + packedWeightByteLength(problem), 0);
}

/** Bytes of every buffer of a workload: inputs, weight (sources and packed), temporaries and result. */
export function bufferByteLengths(workload: Workload): readonly number[] {
  const { inputs, weight, temporaries, output } = workload;
  return [
    ...inputs.map(testTensorByteLength),
    ...weight.map(({ source }) => testTensorByteLength(source)),
    packedByteLength(workload),
    ...Object.values(temporaries),
    output.rows * paddedChannels(output.channels) * dtypeByteLength(output.dtype),
  ];
}

/**
 * The largest version of a case with at most `maxWork` flop-equivalents whose buffers this device can bind.
 * Where nothing is small enough, the smallest there is.
 */
export function fitShape(shape: CaseShape, dtype: DType, caps: Caps, maxWork: number): CaseShape {
  const binding = Math.min(caps.limits.maxStorageBufferBindingSize, caps.limits.maxBufferSize);
  let fitted = shape;
  for (;;) {
    const workload = workloadOf(fitted, dtype);
    if (workOf(workload) <= maxWork && Math.max(...bufferByteLengths(workload)) <= binding)
      return fitted;
    const smaller = shrink(fitted);
    if (smaller === null) return fitted;
    fitted = smaller;
  }
}
