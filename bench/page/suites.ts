/** The suites in a page: the same code as in Node, on the device of `navigator.gpu`. */
import { modelReport, rate, reportKernels, runRecord } from "../../cli/bench/report.ts";
import { adapterName } from "../../cli/format.ts";
import { runModelSuite } from "../../src/bench/model-suite.ts";
import { kernelPoints, rooflineSvg } from "../../src/bench/roofline-plot.ts";
import { measureRoofline, rooflineSizes } from "../../src/bench/roofline.ts";
import { fasterDType } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { SamplingOptions } from "../../src/graph/measure/sampling.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { VERSION } from "../../src/version.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { bytesSource } from "../../src/weights/index.ts";
import type { CompareRecord } from "../compare/run.ts";
import type { PageMessage, PageSettings } from "./settings.ts";

export type Report = (message: PageMessage) => void;
type Result = Extract<PageMessage, { kind: "result" }>;

/** Runs a suite; lines go to `report` as they come. */
export async function runSuite(gpu: Gpu, settings: PageSettings, report: Report): Promise<Result> {
  const line = (text: string): void => report({ kind: "line", text });
  switch (settings.suite) {
    case "kernels":
      return kernels(gpu, settings, line);
    case "model":
      return model(gpu, settings, report);
    case "compare":
      return compare(gpu, settings, line);
    default:
      return settings.suite satisfies never;
  }
}

async function kernels(
  gpu: Gpu,
  { precision, scale, ...options }: PageSettings,
  line: (text: string) => void,
): Promise<Result> {
  const dtype = precision ?? fasterDType(gpu.caps);
  const { record, passed } = await reportKernels(
    gpu,
    { ...options, dtype, ...(scale && { scale: scale === "full" ? "full" : "small" }) },
    navigator.userAgent,
    line,
  );
  const svg = rooflineSvg(title(gpu, dtype), record.roofline, kernelPoints(record.cases));
  return { kind: "result", passed, record, svg };
}

function title(gpu: Gpu, dtype: string): string {
  return `rcod ${VERSION}, ${adapterName(gpu.caps)}, ${dtype}, in a page`;
}

async function model(
  gpu: Gpu,
  { precision, samples }: PageSettings,
  report: Report,
): Promise<Result> {
  let last = "";
  const result = await runModelSuite(gpu, {
    files: wholeFiles("/models/rcod-tiny"),
    image: await examplePhoto(),
    precision: precision ?? "auto",
    samples: samples ?? 3,
    onProgress(what) {
      if (what !== last) report({ kind: "note", text: what });
      last = what;
    },
  });
  const [name, image] = ["rcod-tiny", "boats.png"];
  report({ kind: "line", text: modelReport(result, gpu.caps, name, image) });
  const run = runRecord("model", navigator.userAgent, gpu.caps);
  return { kind: "result", passed: true, record: { ...run, model: name, image, ...result } };
}

/** Files fetched whole: Vite's server answers a range of one byte with the whole file. */
function wholeFiles(folder: string): FileSet {
  return {
    name: folder,
    async open(path, signal) {
      const response = await fetch(`${folder}/${path}`, signal ? { signal } : {});
      if (!response.ok) return null;
      return bytesSource(path, new Uint8Array(await response.arrayBuffer()));
    },
  };
}

/** The photo of the repository as RGB. A page decodes images with alpha, which this one has not. */
async function examplePhoto(): Promise<RawImage> {
  const response = await fetch("/examples/photos/boats.png");
  const bitmap = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (context === null) throw new Error("bench page: no 2d canvas here");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    return data[Math.floor(i / 3) * 4 + (i % 3)] as number;
  });
  return { width, height, channels: 3, data: rgb };
}

async function compare(
  gpu: Gpu,
  { filter = "", scale, minMs, samples }: PageSettings,
  line: (text: string) => void,
): Promise<Result> {
  // Loaded only here: the other suites need no other runtime.
  const [{ COMPARE_CASES, TINY_CASES }, run, ort, { compareLines, comparePoints }] =
    await Promise.all([
      import("../compare/cases.ts"),
      import("../compare/run.ts"),
      import("../compare/ort-engine.ts"),
      import("../compare/report.ts"),
    ]);
  const { threads } = ort.configureOrt();
  const sampling: SamplingOptions = {
    minMs: minMs ?? 50,
    samples: samples ?? 9,
    maxSeriesMs: 60_000,
  };
  const { roofline } = await measureRoofline(gpu, rooflineSizes(gpu.caps), {
    ...sampling,
    minMs: 10,
  });
  line(
    [
      `rcod ${VERSION}, ${adapterName(gpu.caps)}, f32, onnxruntime-web ${ort.ORT_VERSION}, ${threads} WASM threads`,
      `roofline in this run: copy ${rate(roofline.copyGbps)} GB/s, f32 multiply-add ${rate(roofline.fmaGflops)} GFLOP/s`,
      "wall time from the first submit until the device is done, engines in turn; check: relative rms error",
      "engine, check, first run, median, p10–p90, samples×runs, rate",
      "",
    ].join("\n"),
  );
  const records: CompareRecord[] = [];
  for (const named of scale === "tiny" ? TINY_CASES : COMPARE_CASES) {
    if (!named.name.includes(filter)) continue;
    const done = await run.runCompareCase(named, (made) => run.enginesFor(gpu, made), sampling);
    records.push(done);
    line(compareLines(done));
  }
  const failed = records.filter((done) => !run.comparePasses(done)).length;
  line(`${records.length} cases, ${failed} of ours failed`);
  return {
    kind: "result",
    passed: failed === 0 && records.length > 0,
    record: {
      ...runRecord("compare", navigator.userAgent, gpu.caps),
      precision: "f32",
      onnxruntime: ort.ORT_VERSION,
      threads,
      ...sampling,
      roofline,
      cases: records,
      failed,
    },
    svg: rooflineSvg(title(gpu, "f32"), roofline, comparePoints(records)),
  };
}
