/** `rcod bench`: a line per case as it comes, the sums at the end, or one JSON object. */
import { basename, join } from "node:path";
import { knownVariants } from "../../src/bench/kernel-suite.ts";
import { runModelSuite } from "../../src/bench/model-suite.ts";
import { kernelPoints, rooflineSvg } from "../../src/bench/roofline-plot.ts";
import { elementReader } from "../../src/bench/workloads/test-data.ts";
import { fasterDType } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { withVariants } from "../../src/gpu/device.ts";
import { KERNEL_VARIANTS, unknownVariant } from "../../src/kernels/variant-choice.ts";
import { fileTuningStore } from "../../src/node/tuning-file.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { rememberedVariants } from "../../src/rcod/tuning/model-variants.ts";
import { recipeFiles } from "../../src/verify/recipe-files.ts";
import { VERSION } from "../../src/version.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { checkOutputFile, writeFileAtomically } from "../atomic-write.ts";
import { defined } from "../defined.ts";
import { EXIT, usageError } from "../errors.ts";
import { adapterName } from "../format.ts";
import { withGpu } from "../gpu.ts";
import { readImage } from "../image/decode.ts";
import { interruptible } from "../interrupt.ts";
import { BUNDLED_MODEL, RUNTIME } from "../package-root.ts";
import type { Terminal } from "../terminal.ts";
import type { BenchOptions } from "./command.ts";
import { modelReport, reportKernels, runRecord } from "./report.ts";

/** Runs the command. Exit code 0; 1 when anything computes wrong or fails. Throws `CliError` when interrupted. */
export async function runBench(options: BenchOptions, terminal: Terminal): Promise<number> {
  checkVariants(options);
  if (options.svg !== undefined) await checkOutputFile(options.svg, options.force ?? false);
  const bench = options.suite === "model" ? benchModel : benchKernels;
  return interruptible((signal) =>
    withGpu(options.dawnToggles, (gpu) => bench(gpu, options, terminal, signal)),
  );
}

/** Throws `CliError` for a kernel or variant that does not exist. */
function checkVariants({ variant: requested = {}, suite }: BenchOptions): void {
  const known =
    suite === "model"
      ? KERNEL_VARIANTS
      : Object.fromEntries([...knownVariants()].map(([name, all]) => [name, [...all, "all"]]));
  for (const [kernel, variant] of Object.entries(requested)) {
    const unknown = unknownVariant(kernel, variant, known);
    if (unknown !== null) throw usageError(`--variant: ${unknown}`);
  }
}

async function benchKernels(
  gpu: Gpu,
  options: BenchOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const { json = false, filter, scale, minMs, samples, budget } = options;
  const budgetMs = budget === undefined ? undefined : 1000 * budget;
  const dtype = options.precision ?? fasterDType(gpu.caps);
  const known =
    options.autotune === false ? {} : await rememberedVariants(gpu, dtype, fileTuningStore());
  const { record, passed } = await reportKernels(
    withVariants(gpu, known),
    {
      dtype,
      ...defined({ filter, variants: options.variant, scale, minMs, samples, budgetMs }),
      signal,
    },
    RUNTIME,
    (text) => void (json || terminal.out(text)),
  );
  if (json) terminal.out(JSON.stringify(record));
  const { roofline, cases } = record;
  if (options.svg !== undefined) {
    const title = `rcod ${VERSION}, ${adapterName(gpu.caps)}, ${dtype}`;
    const svg = rooflineSvg(title, roofline, kernelPoints(cases));
    const replace = options.force ?? false;
    await writeFileAtomically(options.svg, new TextEncoder().encode(svg), { replace, signal });
  }
  if (cases.length === 0) terminal.note("rcod: no case has this name");
  return passed ? EXIT.ok : EXIT.failed;
}

/** Default number of warm images to time. */
const WARM_IMAGES = 3;

async function benchModel(
  gpu: Gpu,
  options: BenchOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const { json = false, model: folder = BUNDLED_MODEL, recipeWeights = false } = options;
  const model = basename(folder); // records are published: no paths of this machine
  const { image, name } = await benchImage(options.side);
  const note = progressNotes((line) => terminal.note(line));
  const result = await runModelSuite(gpu, {
    files: recipeWeights ? await recipeFiles(folderFiles(folder)) : folderFiles(folder),
    image,
    precision: options.precision ?? "auto",
    variants: {
      tuningStore: fileTuningStore(),
      ...defined({ variants: options.variant, autotune: options.autotune }),
    },
    samples: options.samples ?? WARM_IMAGES,
    signal,
    onProgress: note,
  });
  if (json)
    terminal.out(
      JSON.stringify({
        ...runRecord("model", RUNTIME, gpu.caps),
        model,
        weights: recipeWeights ? "recipe" : "stored",
        image: name,
        ...result,
      }),
    );
  else terminal.out(modelReport(result, gpu.caps, model, name));
  return EXIT.ok;
}

/** The photo that comes with the repository, or noise: of the same size where it is absent (npm package), or of `side`. */
async function benchImage(
  side?: number,
): Promise<{ readonly image: RawImage; readonly name: string }> {
  if (side !== undefined) return { image: noise(side), name: "noise" };
  const path = join(BUNDLED_MODEL, "..", "..", "examples", "photos", "boats.png");
  try {
    return { image: await readImage(path), name: "boats.png" };
  } catch {
    return { image: noise(128), name: "noise" };
  }
}

function noise(side: number): RawImage {
  const read = elementReader({ scale: 1, seed: 5 });
  const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => 127.5 * (1 + read(i)));
  return { width: side, height: side, channels: 3, data };
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
