/** The kernel suite on a device of its own: what it allocates, or breaks, does not touch the visitor's picture. */
import { CASES, QUICK_CASES, casePasses, imageEstimateMs, runKernelSuite } from "rcod-webgpu/bench";
import { fasterDType, requestGpu } from "rcod-webgpu/gpu";
import type { BenchmarkArgs, BenchmarkRecord } from "../tabs/benchmark/record.ts";
import { sender } from "../update-port.ts";
import { adapterName } from "./adapter-name.ts";

export async function benchmark(
  { suite, precision, filter, updates }: BenchmarkArgs,
  signal: AbortSignal,
): Promise<BenchmarkRecord> {
  const tell = sender(updates);
  const gpu = await requestGpu();
  try {
    const { limits: _limits, ...adapter } = gpu.caps;
    const dtype = precision === "auto" ? fasterDType(gpu.caps) : precision;
    const all = suite === "quick" ? QUICK_CASES : CASES;
    const chosen = all.filter(({ name }) => name.includes(filter));
    const { settings, cases } = await runKernelSuite(
      gpu,
      { dtype, cases: chosen, signal },
      {
        onStart: (started) =>
          tell({
            kind: "start",
            settings: started,
            total: chosen.length,
            adapter: adapterName(gpu),
          }),
        onCase: (record) => tell({ kind: "case", record }),
      },
    );
    return {
      suite: "kernels",
      version: __VERSION__,
      date: new Date().toISOString(),
      runtime: navigator.userAgent,
      adapter,
      precision: dtype,
      ...settings,
      cases,
      failed: cases.filter((record) => !casePasses(record)).length,
      estimateMs: imageEstimateMs(cases),
    };
  } finally {
    updates.close();
    gpu.destroy();
  }
}
