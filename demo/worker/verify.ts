/** Golden files on a device of its own: a wrong kernel must not take the visitor's picture with it. */
import type { Gpu } from "rcod-webgpu";
import { requestGpu } from "rcod-webgpu/gpu";
import { verifyFiles } from "rcod-webgpu/verify";
import type {
  PrecisionResult,
  VerifyArgs,
  VerifyJob,
  VerifyOutcome,
} from "../tabs/verify/outcome.ts";
import { notRun } from "../tabs/verify/outcome.ts";
import { sender } from "../update-port.ts";
import { adapterName } from "./adapter-name.ts";
import { GoldenFiles } from "./golden-files.ts";

export async function verify(
  { jobs, beside, updates }: VerifyArgs,
  signal: AbortSignal,
): Promise<VerifyOutcome> {
  const tell = sender(updates);
  const gpu = await requestGpu();
  const results: PrecisionResult[] = [];
  try {
    const adapter = adapterName(gpu);
    tell({ kind: "start", adapter });
    const files = new GoldenFiles(signal);
    for (const [done, job] of jobs.entries()) {
      tell({ kind: "progress", done, case: "" });
      if (gpu.lostError) {
        results.push(notRun(job, "The GPU was lost"));
        continue;
      }
      const onCase = (name: string): void => tell({ kind: "progress", done, case: name });
      for await (const result of runJob({ gpu, job, beside, files, signal, onCase })) {
        results.push(result);
        tell({ kind: "case", result });
      }
    }
    return { adapter, date: new Date().toISOString(), results };
  } finally {
    updates.close();
    gpu.destroy();
  }
}

interface JobRun {
  readonly gpu: Gpu;
  readonly job: VerifyJob;
  readonly beside: VerifyArgs["beside"];
  readonly files: GoldenFiles;
  readonly signal: AbortSignal;
  readonly onCase: (name: string) => void;
}

async function* runJob(run: JobRun): AsyncGenerator<PrecisionResult, void, void> {
  const { gpu, job, beside, files, signal, onCase } = run;
  const { precision, source } = job;
  const running = verifyFiles(gpu, [{ name: source.name, source: () => files.open(source) }], {
    precision,
    full: true,
    signal,
    findFile: async (name) => {
      const found = beside.find((file) => file.name === name);
      return found ? files.open(found) : null;
    },
    onProgress: ({ case: name }) => onCase(name),
  });
  for await (const result of running) {
    const failure = files.takeFailure();
    const isCompared = result.outputs.length > 0;
    yield isCompared || failure === null
      ? { precision, result }
      : notRun(job, failure, result.case);
  }
}
