/**
 * Benchmarks of the kernels, as a library; `cli/bench` and `bench/` run it. Results are checked against double precision first, then timed against the roofline of the same run.
 *
 * ```ts
 * const gpu = await requestGpu();
 * const { settings, cases } = await runKernelSuite(gpu, { dtype: "f16", cases: QUICK_CASES });
 * const svg = rooflineSvg("my GPU", settings.roofline, kernelPoints(cases));
 * ```
 */
export type {} from "../web-types.ts";
export type { CaseShape } from "./workloads/case-shape.ts";
export { CASES, QUICK_CASES } from "./cases.ts";
export type { BenchCase } from "./cases.ts";
export type { CheckResult } from "./check.ts";
export { casePasses, imageEstimateMs, runKernelSuite } from "./kernel-suite.ts";
export type {
  CaseRecord,
  KernelSuiteOptions,
  KernelSuiteResult,
  KernelSuiteSettings,
  VariantRecord,
} from "./kernel-suite.ts";
export { kernelPoints, rooflineShapes, rooflineSvg } from "./roofline-plot.ts";
export type { PlotArea, PlotMark, PlotPoint, PlotShape } from "./roofline-plot.ts";
export type { Roofline, RooflineSizes } from "./roofline.ts";
export type { Timing } from "../graph/measure/sampling.ts";
