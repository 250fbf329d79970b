/**
 * What this device reaches at most, measured in the same run as the kernels. A copy gives the bandwidth, chains of f32
 * multiply-adds the arithmetic (kernels always accumulate in f32). Devices with matrix units also give their peak.
 */
import type { Caps } from "../gpu/caps.ts";
import type { Clock } from "../gpu/clock.ts";
import { chooseClock } from "../gpu/clock.ts";
import type { Gpu } from "../gpu/device.ts";
import { Recorder } from "../graph/execution/recorder.ts";
import type { SamplingOptions } from "../graph/measure/sampling.ts";
import { sample } from "../graph/measure/sampling.ts";
import { isMatrixVariant } from "../kernels/contraction/gemm-matrix.ts";
import type { Cost, KernelPlan } from "../kernels/kernel.ts";
import { reads, u32, writes } from "../kernels/kernel.ts";
import { unroll } from "../kernels/unroll.ts";
import { matrixPeak } from "./matrix-peak.ts";
import { FLAT_WORKGROUP, flatPlan } from "./workloads/flat-plan.ts";

/** What this device can do at best. */
export interface Roofline {
  /** Bytes read plus written per second of a copy, in GB/s. */
  readonly copyGbps: number;
  /** f32 multiply-adds, two operations each, in GFLOP/s. */
  readonly fmaGflops: number;
  /** f16 products with f32 sums by matrix units, in GFLOP/s; absent where there are none. */
  readonly matrixGflops?: number;
}

/** Copies `total` quads from `x` to `y`. */
function copyPlan(total: number, caps: Caps): KernelPlan {
  const operands = [reads("x"), writes("y")];
  return flatPlan("copy", { caps, dtype: "f32", operands, params: [] }, "y[i] = x[i];", total);
}

/** Independent chains of an invocation: enough to hide the latency of a multiply-add. */
const CHAINS = 8;

/** The factor comes from memory, so that nothing folds; 0.5 keeps values finite. */
const FMA = /* wgsl */ `
  let a = x[local % 4u] * 0.25 + vec4<f32>(0.5);
  let b = vec4<f32>(f32(local));
  ${unroll(CHAINS, (c) => `var v${c} = b + vec4<f32>(${c}.0);`)}
  for (var step = 0u; step < params.steps; step++) {
    ${unroll(CHAINS, (c) => `v${c} = fma(v${c}, a, b);`)}
  }
  var sum = v0;
  ${unroll(CHAINS - 1, (c) => `sum += v${c + 1};`)}
  y[i] = sum;`;

function fmaPlan(workgroups: number, steps: number, caps: Caps): KernelPlan {
  const operands = [reads("x"), writes("y")];
  const header = { caps, dtype: "f32" as const, operands, params: [u32("steps", steps)] };
  return flatPlan("fma", header, FMA, workgroups * FLAT_WORKGROUP);
}

/** Work that the two bounds are measured with. */
export interface RooflineSizes {
  /** Bytes that the copy reads, and writes. */
  readonly copyBytes: number;
  /** Workgroups of the multiply-add loop. */
  readonly fmaWorkgroups: number;
  /** Its steps in each invocation. */
  readonly fmaSteps: number;
}

/** On GPUs larger than any cache; on software adapters enough for a few milliseconds. */
export function rooflineSizes(caps: Caps): RooflineSizes {
  return caps.isSoftware
    ? { copyBytes: 16 * 2 ** 20, fmaWorkgroups: 16, fmaSteps: 64 }
    : { copyBytes: 128 * 2 ** 20, fmaWorkgroups: 8192, fmaSteps: 512 };
}

/** Measures both bounds and chooses the clock for everything after. */
export async function measureRoofline(
  gpu: Gpu,
  sizes: RooflineSizes,
  options: SamplingOptions,
): Promise<{ readonly roofline: Roofline; readonly clock: Clock; readonly clockReason: string }> {
  const { copyBytes, fmaWorkgroups, fmaSteps } = sizes;
  const { memory, caps } = gpu;
  const matrix = caps.matrixUnits && matrixPeak(caps.matrixUnits, caps, fmaWorkgroups, fmaSteps);
  const fmaBytes = fmaWorkgroups * FLAT_WORKGROUP * 16;
  const targetBytes = Math.max(copyBytes, fmaBytes, matrix?.byteLength ?? 0);
  const buffers = {
    x: memory.create("bench copy source", copyBytes, "activations"),
    y: memory.create("bench copy target", targetBytes, "activations"),
  };
  const recorders: Recorder[] = [];
  try {
    for (const plan of [
      copyPlan(copyBytes / 16, caps),
      fmaPlan(fmaWorkgroups, fmaSteps, caps),
      ...(matrix ? [matrix.plan] : []),
    ]) {
      recorders.push(await Recorder.create(gpu, [{ plan }], [buffers]));
    }
    const [copy] = recorders as [Recorder];
    const { clock, reason } = await chooseClock(gpu, (pass, repeats) => copy.record(pass, repeats));
    const [copied, computed, multiplied] = await sample(clock, recorders, options);
    const flops = fmaWorkgroups * FLAT_WORKGROUP * fmaSteps * CHAINS * 4 * 2;
    return {
      roofline: {
        copyGbps: (2 * copyBytes) / ((copied?.medianMs ?? NaN) * 1e6),
        fmaGflops: flops / ((computed?.medianMs ?? NaN) * 1e6),
        ...(matrix && multiplied && { matrixGflops: matrix.flops / (multiplied.medianMs * 1e6) }),
      },
      clock,
      clockReason: reason,
    };
  } finally {
    for (const recorder of recorders) recorder.dispose();
    for (const buffer of Object.values(buffers)) memory.release(buffer);
  }
}

/** The bounds of a variant. For variants on matrix units the peak of these bounds the arithmetic. */
export function rooflineOf(variant: string, roofline: Roofline): Roofline {
  const { matrixGflops } = roofline;
  if (matrixGflops === undefined || !isMatrixVariant(variant)) return roofline;
  return { ...roofline, fmaGflops: matrixGflops };
}

/** Least milliseconds that the work can take on this roofline: the longer of arithmetic and memory. */
export function rooflineMs(
  { flops, bytesRead, bytesWritten }: Cost,
  { copyGbps, fmaGflops }: Roofline,
): number {
  return Math.max(flops / fmaGflops, (bytesRead + bytesWritten) / copyGbps) / 1e6;
}
