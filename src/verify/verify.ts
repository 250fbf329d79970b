/**
 * Runs golden files: every case of every file, each compared with its stored outputs. Free of Node, so that a
 * page can do what `rcod verify` does.
 */
import type { Gpu } from "../gpu/device.ts";
import type { DType } from "../gpu/dtype.ts";
import { messageOf } from "../gpu/errors.ts";
import type { FileSet } from "../weights/sources/files.ts";
import type { ByteSource } from "../weights/sources/source.ts";
import { BLOCK_CASES } from "./cases/block-cases.ts";
import { CHECKPOINT_MODELS } from "./cases/checkpoint-cases.ts";
import { checkpointCounts } from "./cases/checkpoint-counts.ts";
import { IMAGE_CASES } from "./cases/image-cases.ts";
import { loraOp } from "./cases/lora-op-cases.ts";
import { MODEL_CASES } from "./cases/model-cases.ts";
import { OP_CASES } from "./cases/op-cases.ts";
import { pipelineCase } from "./cases/pipeline-case.ts";
import { RCOD_S_MODELS, RCOD_S_OPS } from "./cases/rcod-s-cases.ts";
import { generatorCase } from "./cases/rcod-s-generator.ts";
import { TILING_MODELS, TILING_OPS } from "./cases/tiling-cases.ts";
import type { OutputResult } from "./runner/compare.ts";
import type { GoldenCase } from "./runner/golden-file.ts";
import { GoldenError, UnsupportedCaseError, openGoldenFile } from "./runner/golden-file.ts";
import type { CaseRun, CaseRunner } from "./runner/run-case.ts";
import type { VariantUse } from "./runner/session.ts";
import { Session } from "./runner/session.ts";
import { traceCase } from "./trace.ts";

/** A golden file: its name without folders, and its bytes, opened when its turn comes. */
export interface VerifySource {
  /** File name, e.g. `ops_conv.safetensors`. */
  readonly name: string;
  /** Its bytes. */
  readonly source: ByteSource | (() => Promise<ByteSource>);
}

/** What to verify. */
export interface VerifyOptions {
  /** Storage of weights and activations. */
  readonly precision: DType;
  /** Only cases where `<file>/<case>` contains this text. */
  readonly filter?: string;
  /** Include full-size networks: files named `full_*` and `e2e_*`. */
  readonly full?: boolean;
  /** Ends the run after the GPU work under way. */
  readonly signal?: AbortSignal;
  /**
   * Opens a file that a case refers to and that is not among the sources, by its path below their folder; null
   * where there is none.
   */
  readonly findFile?: (path: string) => Promise<ByteSource | null>;
  /** Hears of cases that take long. */
  readonly onProgress?: (progress: VerifyProgress) => void;
}

/** How far the case under way is. */
export interface VerifyProgress {
  /** File of the case under way. */
  readonly file: string;
  /** Its name. */
  readonly case: string;
  /** Weights being made and uploaded, or the graph running. */
  readonly stage: "load" | "run";
  /** 0 … 1 within the stage. */
  readonly fraction: number;
}

/** A case, or a file that could not be run as a whole (`case` is then empty). */
export interface CaseResult {
  /** File name. */
  readonly file: string;
  /** Name of the case within its file. */
  readonly case: string;
  /** Skipped files hold full-size networks. */
  readonly status: "pass" | "fail" | "skipped";
  /** One per compared output; empty where the case threw, and for skipped files. */
  readonly outputs: readonly OutputResult[];
  /** Wall time, compiling included. */
  readonly durationMs: number;
  /** How many steps of the case's graphs ran in a variant of `gpu.caps.variants`, and how many could not. */
  readonly variants?: VariantUse;
  /** Why there are no outputs, or where a failing network goes wrong first. */
  readonly note?: string;
}

/** Whether a file holds full-size networks, which take minutes on a software adapter. */
export function isFullSizeFile(name: string): boolean {
  return /^(full|e2e)_/.test(name);
}

/**
 * Runs all cases in order; a broken case or file is a failing result, and the next one goes on. Throws only
 * when aborted.
 */
export async function* verifyFiles(
  gpu: Gpu,
  sources: readonly VerifySource[],
  options: VerifyOptions,
): AsyncGenerator<CaseResult, void, void> {
  for (const source of sources) {
    if (isFullSizeFile(source.name) && !options.full) {
      yield {
        file: source.name,
        case: "",
        status: "skipped",
        outputs: [],
        durationMs: 0,
        note: "full size",
      };
    } else {
      yield* verifyFile(gpu, source, sources, options);
    }
  }
}

async function* verifyFile(
  gpu: Gpu,
  source: VerifySource,
  sources: readonly VerifySource[],
  options: VerifyOptions,
): AsyncGenerator<CaseResult, void, void> {
  const opened: ByteSource[] = [];
  const open = async ({ source: bytes }: VerifySource): Promise<ByteSource> => {
    if (typeof bytes !== "function") return bytes;
    const byteSource = await bytes();
    opened.push(byteSource);
    return byteSource;
  };
  const files: FileSet = {
    name: source.name,
    async open(path) {
      const known = sources.find(({ name }) => name === path);
      if (known) return open(known);
      const found = (await options.findFile?.(path)) ?? null;
      if (found) opened.push(found);
      return found;
    },
  };
  let current = "";
  const { onProgress } = options;
  const session = new Session(gpu, {
    dtype: options.precision,
    ...(options.signal && { signal: options.signal }),
    onProgress: (stage, fraction) =>
      onProgress?.({ file: source.name, case: current, stage, fraction }),
  });
  try {
    const file = await openGoldenFile(source.name, await open(source));
    for (const golden of file.cases) {
      if (golden.parameters.get("op") === "inputs_only") continue; // others share its inputs
      if (!`${file.name}/${golden.name}`.includes(options.filter ?? "")) continue;
      current = golden.name;
      yield await verifyCase({ session, golden, files });
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    yield failed(source.name, current, error, 0);
  } finally {
    session.dispose();
    for (const bytes of opened) await bytes.close().catch(() => undefined);
  }
}

async function verifyCase(caseRun: CaseRun): Promise<CaseResult> {
  const { session, golden } = caseRun;
  const start = performance.now();
  session.takeJobs();
  session.takeVariants();
  try {
    const run = caseRunner(golden);
    const outputs = await run(caseRun);
    const missing = golden.outputs.filter((name) => !outputs.some(({ output }) => output === name));
    if (missing.length > 0 || outputs.length === 0) {
      throw new GoldenError(
        `verify: no result for outputs ${missing.join(", ") || "(none stored)"}`,
      );
    }
    const pass = outputs.every((output) => output.pass);
    const variants = session.takeVariants();
    const note = pass ? null : await traceCase(session, golden, session.takeJobs());
    return {
      file: golden.file.name,
      case: golden.name,
      status: pass ? "pass" : "fail",
      outputs,
      durationMs: performance.now() - start,
      ...(session.gpu.caps.variants && { variants }),
      ...(note !== null && { note }),
    };
  } catch (error) {
    session.signal?.throwIfAborted();
    return failed(golden.file.name, golden.name, error, performance.now() - start);
  }
}

/** What runs a case, by its `op`, `block` or `model`; never by its name. */
function caseRunner(golden: GoldenCase): CaseRunner {
  const { parameters } = golden;
  const find = (table: Readonly<Record<string, CaseRunner>>, key: string): CaseRunner | undefined =>
    Object.hasOwn(table, key) ? table[key] : undefined;
  let runner: CaseRunner | undefined;
  if (parameters.get("weights") === "checkpoint files") {
    runner = find(CHECKPOINT_MODELS, parameters.text("model"));
  } else if (parameters.has("op")) {
    const op = parameters.text("op");
    const isLora = parameters.has("r") && (op === "linear" || op === "conv");
    runner = isLora
      ? loraOp
      : find(
          { ...OP_CASES, ...IMAGE_CASES, ...TILING_OPS, ...RCOD_S_OPS, none: checkpointCounts },
          op,
        );
  } else if (parameters.has("block")) {
    runner = find(BLOCK_CASES, parameters.text("block"));
  } else if (parameters.has("model")) {
    const [model = ""] = parameters.text("model").split(" ");
    runner = find(
      { ...MODEL_CASES, ...TILING_MODELS, ...RCOD_S_MODELS, RCOD_S: generatorCase },
      model,
    );
  } else if (parameters.has("timesteps") && golden.has("inputs/clip_pixel_values")) {
    runner = pipelineCase;
  }
  if (runner !== undefined) return runner;
  const kind = ["op", "block", "model"].find((key) => parameters.has(key)) ?? "case";
  throw new UnsupportedCaseError(
    `verify: unsupported ${kind} ${JSON.stringify(parameters.get(kind) ?? golden.name)}`,
  );
}

function failed(file: string, caseName: string, error: unknown, durationMs: number): CaseResult {
  const note = messageOf(error);
  return { file, case: caseName, status: "fail", outputs: [], durationMs, note };
}
