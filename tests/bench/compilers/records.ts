/** Small records of runs. */
import type { CompilersRecord, KernelRecord, RunRecord } from "../../../bench/compilers/record.ts";

/** A kernel that has a tenth of the model's work. */
export const KERNEL: KernelRecord = {
  dispatches: 3,
  flops: 100,
  registers: 96,
  spills: 0,
  fills: null,
  registerSpills: 0,
  occupancy: 16,
  sharedBytes: 8192,
  subgroupSize: 32,
  instructions: 900,
  arithmetic: null,
  hot: {
    counts: { multiplyAdd: 64, vector: 16, shared: 12, scalar: 8, wait: 50 },
    sharedWidths: { 128: 12 },
  },
  step: { counts: { multiplyAdd: 512, vector: 400, scalar: 88 }, sharedWidths: {} },
  isKnown: true,
  multiplyAddsPerNeeded: 1,
  times: { multiplyAdd: 2, matrix: 0, vector: 1, shared: 4, global: 0.5, scalar: 0.25 },
  leastMs: 4,
  limit: "workgroup memory",
};

export const runOf = (kernels: Readonly<Record<string, KernelRecord>>): RunRecord => ({
  card: "a card",
  occupancyUnit: "waves a SIMD",
  precision: "f16",
  hasMatrixUnits: false,
  flops: 1000,
  multiplyAddMs: 2,
  kernels,
});

export const recordOf = (kernels: Readonly<Record<string, KernelRecord>>): CompilersRecord => ({
  date: "2026-11-30",
  revision: "abc",
  mesa: "26.1.6",
  model: "a model",
  size: "512x512",
  runs: { card: runOf(kernels) },
});
