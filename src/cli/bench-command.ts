/** `rcod bench`: a line per case as it comes, the sums at the end, or one JSON object. */
import { basename, join } from "node:path";
import type { CaseRecord, KernelSuiteSettings, VariantRecord } from "../bench/kernel-suite.ts";
import {
  casePasses,
  imageEstimateMs,
  knownVariants,
  runKernelSuite,
} from "../bench/kernel-suite.ts";
import type { ModelSuiteResult } from "../bench/model-suite.ts";
import { runModelSuite } from "../bench/model-suite.ts";
import { elementReader } from "../bench/test-data.ts";
import type { Caps } from "../gpu/caps.ts";
import type { Gpu } from "../gpu/device.ts";
import { requestNodeGpu } from "../node/gpu.ts";
import type { RawImage } from "../rcod/image-ops.ts";
import { folderFiles } from "../weights/node-source.ts";
import type { BenchOptions } from "./bench.ts";
import { EXIT, usageError } from "./errors.ts";
import { formatBytes, formatMs, formatTable } from "./format.ts";
import { readImage } from "./images.ts";
import type { Interrupt } from "./interrupt.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { BUNDLED_MODEL, PACKAGE_VERSION } from "./package-root.ts";

/** Runs the command. Exit code 0; 1 when anything computes wrong or fails; 128 + signal when interrupted. */
export async function runBench(options: BenchOptions): Promise<number> {
  checkVariants(options.variants ?? {});
  const interrupt = listenForInterrupt();
  let gpu: Gpu | undefined;
  try {
    gpu = await requestNodeGpu({ toggles: options.dawnToggles });
    return options.suite === "model"
      ? await benchModel(gpu, options, interrupt)
      : await benchKernels(gpu, options, interrupt);
  } catch (error) {
    if (interrupt.exitCode === 0) throw error;
    if (options.json) options.terminal.out(JSON.stringify({ error: "interrupted" }));
    options.terminal.note("rcod: interrupted");
    return interrupt.exitCode;
  } finally {
    interrupt.stop();
    gpu?.destroy();
  }
}

/** Throws `CliError` for a kernel or variant that does not exist. */
function checkVariants(variants: Readonly<Record<string, string>>): void {
  const known = knownVariants();
  for (const [kernel, variant] of Object.entries(variants)) {
    const names = known.get(kernel);
    if (names === undefined) {
      throw usageError(
        `--variant: no kernel "${kernel}". Kernels: ${[...known.keys()].join(", ")}`,
      );
    }
    if (variant !== "all" && !names.includes(variant)) {
      throw usageError(
        `--variant: ${kernel} has no variant "${variant}". Variants: ${names.join(", ")}, all`,
      );
    }
  }
}

/** What every record of a run carries. */
function runRecord(caps: Caps) {
  const { limits: _limits, ...adapter } = caps;
  const { deno } = process.versions;
  return {
    version: PACKAGE_VERSION,
    date: new Date().toISOString(),
    runtime: `${deno === undefined ? `Node ${process.versions.node}` : `Deno ${deno}`}, ${process.platform} ${process.arch}`,
    adapter,
  };
}

function adapterName({ vendor, architecture, device, description }: Caps): string {
  return (
    [...new Set([vendor, architecture, device, description].filter((text) => text !== ""))].join(
      ", ",
    ) || "unnamed"
  );
}

async function benchKernels(
  gpu: Gpu,
  options: BenchOptions,
  interrupt: Interrupt,
): Promise<number> {
  const { terminal, json } = options;
  const dtype = options.precision ?? (gpu.caps.isSoftware ? "f32" : "f16");
  const { settings, cases } = await runKernelSuite(
    gpu,
    {
      dtype,
      ...(options.filter !== undefined && { filter: options.filter }),
      ...(options.variants && { variants: options.variants }),
      ...(options.scale && { scale: options.scale }),
      ...(options.minMs !== undefined && { minMs: options.minMs }),
      ...(options.samples !== undefined && { samples: options.samples }),
      signal: interrupt.signal,
    },
    json
      ? {}
      : {
          onStart: (started) => terminal.out(kernelHeading(started, gpu.caps)),
          onCase: (record) => terminal.out(caseLines(record)),
        },
  );
  const failed = cases.filter((record) => !casePasses(record)).length;
  const estimateMs = imageEstimateMs(cases);
  if (json) {
    terminal.out(
      JSON.stringify({
        suite: "kernels",
        ...runRecord(gpu.caps),
        precision: dtype,
        ...settings,
        cases,
        failed,
        estimateMs,
      }),
    );
  } else {
    const scaled = cases.some(({ scaledFrom }) => scaledFrom !== undefined);
    terminal.out(
      `${cases.length} cases, ${failed} failed` +
        (scaled ? "" : `; count × median = ${formatMs(estimateMs)} of one 512 × 512 image`),
    );
  }
  if (cases.length === 0) terminal.note("rcod: no case has this name");
  return failed > 0 || cases.length === 0 ? EXIT.failed : EXIT.ok;
}

function kernelHeading(settings: KernelSuiteSettings, caps: Caps): string {
  const { dtype, scale, minMs, samples, clock, clockReason, roofline } = settings;
  return [
    `rcod ${PACKAGE_VERSION}, ${adapterName(caps)}, ${dtype}, ${new Date().toISOString()}`,
    `clock: ${clock} (${clockReason}); passes of ${minMs} ms and more, ${samples} samples where they fit`,
    `roofline in this run: copy ${rate(roofline.copyGbps)} GB/s, f32 multiply-add ${rate(roofline.fmaGflops)} GFLOP/s`,
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
  const { variant, check, compileMs, firstRunMs, timing, gflops, gbps, rooflinePercent } = record;
  const cells = [title, count, variant, check.pass ? `ok ${check.worstShare.toFixed(2)}` : "FAIL"];
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

const COLUMNS = [30, 3, 12, 8, 8, 8, 8, 18, 7, 8, 7, 6] as const;
const LEFT = new Set([0, 2, 3]);

function row(...cells: readonly string[]): string {
  return cells
    .map((cell, i) => (LEFT.has(i) ? cell.padEnd(COLUMNS[i] ?? 0) : cell.padStart(COLUMNS[i] ?? 0)))
    .join("  ")
    .trimEnd();
}

function rate(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Warm images to time unless told. */
const WARM_IMAGES = 3;

async function benchModel(gpu: Gpu, options: BenchOptions, interrupt: Interrupt): Promise<number> {
  const { terminal, json, model: folder = BUNDLED_MODEL } = options;
  const model = basename(folder); // records are published: no paths of this machine
  const { image, name } = await benchImage();
  const note = progressNotes((line) => terminal.note(line));
  const result = await runModelSuite(gpu, {
    files: folderFiles(folder),
    image,
    precision: options.precision ?? "auto",
    samples: options.samples ?? WARM_IMAGES,
    signal: interrupt.signal,
    onProgress: note,
  });
  if (json)
    terminal.out(
      JSON.stringify({ suite: "model", ...runRecord(gpu.caps), model, image: name, ...result }),
    );
  else terminal.out(modelReport(result, gpu.caps, model, name));
  return EXIT.ok;
}

/** The photo that comes with the repository, or noise of the same size where it is absent (npm package). */
async function benchImage(): Promise<{ readonly image: RawImage; readonly name: string }> {
  const path = join(BUNDLED_MODEL, "..", "..", "examples", "photos", "boats.png");
  try {
    const { width, height, channels, data } = await readImage(path);
    return { image: { width, height, channels, data }, name: "boats.png" };
  } catch {
    const read = elementReader({
      name: "image",
      dtype: "f32",
      rows: 1,
      channels: 1,
      scale: 1,
      seed: 5,
    });
    const data = Uint8Array.from({ length: 128 * 128 * 3 }, (_, i) => 127.5 * (1 + read(i)));
    return { image: { width: 128, height: 128, channels: 3, data }, name: "noise" };
  }
}

/** A line at every stage's start and then every 10 s: benchmarks of large models take minutes. */
function progressNotes(note: (line: string) => void): (what: string, fraction: number) => void {
  let last = "";
  let toldMs = 0;
  return (what, fraction) => {
    const now = performance.now();
    if (what === last && now - toldMs < 10_000) return;
    note(what === last ? `${what}: ${Math.round(100 * fraction)} %` : what);
    last = what;
    toldMs = now;
  };
}

function modelReport(result: ModelSuiteResult, caps: Caps, model: string, image: string): string {
  const { inputSize, outputSize, stagesMs, opClasses } = result;
  const lines = [
    `rcod ${PACKAGE_VERSION}, ${adapterName(caps)}, ${result.precision}, ${new Date().toISOString()}`,
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
