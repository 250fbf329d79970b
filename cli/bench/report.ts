/** The text of benchmark results, for terminals and for the page: imports nothing of Node. */
import type {
  CaseRecord,
  KernelSuiteOptions,
  KernelSuiteSettings,
  VariantRecord,
} from "../../src/bench/kernel-suite.ts";
import { casePasses, imageEstimateMs, runKernelSuite } from "../../src/bench/kernel-suite.ts";
import type { ModelSuiteResult } from "../../src/bench/model-suite.ts";
import type { Caps } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { VERSION } from "../../src/version.ts";
import { adapterName, formatBytes, formatMs, formatTable } from "../format.ts";

/** What every record of a run carries. */
export function runRecord(suite: string, runtime: string, caps: Caps) {
  const { limits: _limits, variants: _variants, ...adapter } = caps;
  return { suite, version: VERSION, date: new Date().toISOString(), runtime, adapter };
}

/** Runs the kernel suite; a line per case goes to `line` as it comes, the sums at the end. */
export async function reportKernels(
  gpu: Gpu,
  options: KernelSuiteOptions,
  runtime: string,
  line: (text: string) => void,
) {
  const { settings, cases, leftOut } = await runKernelSuite(gpu, options, {
    onStart: (started) => line(kernelHeading(started, gpu.caps)),
    onCase: (record) => line(caseLines(record)),
  });
  line(kernelSummary(cases, leftOut));
  const failed = cases.filter((record) => !casePasses(record)).length;
  const record = {
    ...runRecord("kernels", runtime, gpu.caps),
    precision: options.dtype,
    ...settings,
    cases,
    leftOut,
    failed,
    estimateMs: imageEstimateMs(cases),
  };
  return { record, passed: failed === 0 && cases.length > 0 };
}

/** The lines above the table: what is measured, and how. */
function kernelHeading(settings: KernelSuiteSettings, caps: Caps): string {
  const { dtype, scale, minMs, samples, clock, clockReason, roofline } = settings;
  return [
    `rcod ${VERSION}, ${adapterName(caps)}, ${dtype}, ${new Date().toISOString()}`,
    `clock: ${clock} (${clockReason}); passes of ${minMs} ms and more, ${samples} samples where they fit`,
    "* is what the engine takes here",
    `roofline in this run: copy ${rate(roofline.copyGbps)} GB/s, f32 multiply-add ${rate(roofline.fmaGflops)} GFLOP/s${roofline.matrixGflops === undefined ? "" : `, matrix units ${rate(roofline.matrixGflops)} GFLOP/s`}`,
    ...(scale === "small"
      ? [
          "shapes are cut down to about 20 MFLOP each (marked ~): rates compare, times do not. --scale full for the model's own",
          "small operands stay in the CPU's cache, so what is bound by memory may pass 100 % of the roofline",
        ]
      : []),
    "",
    row(
      "case",
      "n",
      "variant",
      "check",
      "compile",
      "first",
      "median",
      "p10–p90",
      "s×r",
      "GFLOP/s",
      "GB/s",
      "roof",
    ),
  ].join("\n");
}

/** A line per variant of a case. */
function caseLines(record: CaseRecord): string {
  const { case: name, count, scaledFrom, variants, skipped = [], error } = record;
  const title = `${scaledFrom ? "~" : ""}${name}`;
  if (error !== undefined) return row(title, String(count), "", "FAIL") + `  ${error}`;
  return [
    ...variants.map((variant, i) =>
      variantLine(i === 0 ? title : "", i === 0 ? String(count) : "", variant),
    ),
    ...skipped.map((variant) => `${row("", "", variant)}  left out: it would run for seconds`),
  ].join("\n");
}

function variantLine(title: string, count: string, record: VariantRecord): string {
  const { variant, selected, check, compileMs, firstRunMs, timing, gflops, gbps, rooflinePercent } =
    record;
  const cells = [
    title,
    count,
    `${variant}${selected ? " *" : ""}`,
    check.pass ? `ok ${check.worstShare.toFixed(2)}` : "FAIL",
  ];
  if (timing === undefined) {
    const { worst } = check;
    const where =
      worst &&
      `row ${worst.row}, channel ${worst.channel}: got ${worst.got}, expected ${worst.expected}`;
    return `${row(...cells)}  ${where ?? ""}`;
  }
  return row(
    ...cells,
    compileMs === 0 ? "–" : formatMs(compileMs),
    formatMs(firstRunMs),
    formatMs(timing.medianMs),
    `${formatMs(timing.p10Ms)}–${formatMs(timing.p90Ms)}`,
    `${timing.samples}×${timing.repeats}`,
    rate(gflops ?? 0),
    rate(gbps ?? 0),
    `${(rooflinePercent ?? 0).toFixed(rooflinePercent !== undefined && rooflinePercent < 10 ? 1 : 0)} %`,
  );
}

const COLUMNS = [30, 3, 14, 8, 8, 8, 8, 18, 7, 8, 7, 6] as const;
const LEFT = new Set([0, 2, 3]);

function row(...cells: readonly string[]): string {
  return cells
    .map((cell, i) => (LEFT.has(i) ? cell.padEnd(COLUMNS[i] ?? 0) : cell.padStart(COLUMNS[i] ?? 0)))
    .join("  ")
    .trimEnd();
}

/** Three digits of a rate. */
export function rate(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** The line below the table. */
function kernelSummary(cases: readonly CaseRecord[], leftOut: readonly string[]): string {
  const failed = cases.filter((record) => !casePasses(record)).length;
  const scaled = cases.some(({ scaledFrom }) => scaledFrom !== undefined);
  const estimate = `; count × median = ${formatMs(imageEstimateMs(cases))} of one 512 × 512 image`;
  const rest = leftOut.length === 0 ? "" : `; no time for ${leftOut.length}: ${leftOut.join(", ")}`;
  return `${cases.length} cases, ${failed} failed${scaled || rest ? "" : estimate}${rest}`;
}

/** The five figures of a model, its stages and its operations. */
export function modelReport(
  result: ModelSuiteResult,
  caps: Caps,
  model: string,
  image: string,
): string {
  const { inputSize, outputSize, stagesMs, opClasses } = result;
  const lines = [
    `rcod ${VERSION}, ${adapterName(caps)}, ${result.precision}, ${new Date().toISOString()}`,
    `${model}, ${image} ${inputSize.join(" × ")} → ${outputSize.join(" × ")}`,
    "",
    formatTable(
      [
        ["  load", formatMs(result.loadMs)],
        [
          "  compile",
          formatMs(result.compileMs),
          `${result.pipelines} pipelines, summed; part of load and first image`,
        ],
        ["  first image", formatMs(result.firstImageMs)],
        ["  warm image", formatMs(result.warmImageMs), `median of ${result.warmSamples}`],
        [
          "  peak",
          formatBytes(result.peakBytes),
          `of which activations ${formatBytes(result.peakActivationBytes)}`,
        ],
      ],
      ["left", "right", "left"],
    ),
    "",
    "Stages of a warm image, wall time",
    formatTable(
      Object.entries(stagesMs).map(([stage, ms]) => [`  ${stage}`, formatMs(ms)]),
      ["left", "right"],
    ),
  ];
  if (opClasses === null) {
    lines.push("", "No timestamp-query here: no times by operation");
    return lines.join("\n");
  }
  const total = opClasses.reduce((sum, { durationMs }) => sum + durationMs, 0);
  lines.push(
    "",
    `Operations, timestamps around every step, ${formatMs(total)} in all`,
    formatTable(
      [
        ["  operation", "steps", "time", "share", "GFLOP/s", "GB/s"],
        ...opClasses.map(({ label, steps, durationMs, gflops, gbps }) => [
          `  ${label}`,
          String(steps),
          formatMs(durationMs),
          `${((100 * durationMs) / total).toFixed(1)} %`,
          rate(gflops),
          rate(gbps),
        ]),
      ],
      ["left", "right", "right", "right", "right", "right"],
    ),
  );
  return lines.join("\n");
}
