/** Stored results of PyTorch against what this GPU computes, case by case. */
import goldens, { sizes } from "virtual:files/goldens";
import type { App } from "../app.ts";
import { inWords } from "../problems.ts";
import { field, h, select } from "../ui/dom.ts";
import { bytes, duration } from "../ui/format.ts";
import type { Run } from "../ui/run-panel.ts";
import { runPanel } from "../ui/run-panel.ts";
import { callWithUpdates } from "../updates.ts";
import type { Example } from "./example/example.ts";
import { exampleLine, expectedTime, introduce } from "./example/example.ts";
import { dropField } from "./verify/drop-field.ts";
import type { Group } from "./verify/golden-files.ts";
import { groupOf, inOrder } from "./verify/golden-files.ts";
import type {
  GoldenSource,
  PrecisionResult,
  VerifyJob,
  VerifyOutcome,
  VerifyPrecision,
  VerifyUpdate,
} from "./verify/outcome.ts";
import { notRun } from "./verify/outcome.ts";
import type { ShownOutcome } from "./verify/report.ts";
import { VerifyReport } from "./verify/report.ts";

type Which = Exclude<Group, "yours"> | "all";
type Precisions = VerifyPrecision | "both";

const PRECISIONS: Readonly<Record<Precisions, readonly VerifyPrecision[]>> = {
  both: ["f32", "f16"],
  f32: ["f32"],
  f16: ["f16"],
};

/** Bundled files lie beside the page. */
const BUNDLED: readonly GoldenSource[] = inOrder(goldens).map((name) => ({
  name,
  url: new URL(`goldens/${name}`, document.baseURI).href,
}));

export function mount(container: HTMLElement, app: App): void {
  const choice: { which: Which; precision: Precisions } = { which: "all", precision: "both" };
  /** What the last run here was asked for, and what it has given. */
  let asked: readonly VerifyJob[] = [];
  let given: readonly PrecisionResult[] = [];

  const jobsOf = (sources: readonly GoldenSource[]): readonly VerifyJob[] =>
    PRECISIONS[choice.precision].flatMap((precision) =>
      sources.map((source) => ({ precision, source })),
    );
  const chosen = (): readonly VerifyJob[] =>
    jobsOf(BUNDLED.filter(({ name }) => choice.which === "all" || groupOf(name) === choice.which));

  /** Runs `jobs`, beside results that stay. */
  const verify = async (
    jobs: readonly VerifyJob[],
    kept: readonly PrecisionResult[],
    { signal, progress }: Run,
  ): Promise<string> => {
    const startedAt = performance.now();
    let results = [...kept];
    let done = 0;
    let adapter = "";
    const shown = (isRunning: boolean): ShownOutcome => ({
      results,
      adapter,
      date: new Date().toISOString(),
      runtime: navigator.userAgent,
      files: new Set(asked.map(({ source }) => source.name)).size,
      isRunning,
      exampleLine: null,
    });
    const onUpdate = (update: VerifyUpdate): void => {
      switch (update.kind) {
        case "start":
          ({ adapter } = update);
          return;
        case "progress": {
          ({ done } = update);
          const job = jobs[done];
          const what = job ? `: ${job.precision}, ${job.source.name} ${update.case}` : "";
          progress(done / jobs.length, `${done} of ${jobs.length} done${what}`);
          return;
        }
        case "case":
          results.push(update.result);
          report.update(shown(true));
          return;
        default:
          update satisfies never;
      }
    };
    report.begin(shown(true));
    try {
      const args = { jobs, beside: BUNDLED };
      const outcome = await callWithUpdates(app, "verify", args, onUpdate, { signal });
      // Updates come by a port of their own, and the last ones may be late.
      ({ adapter } = outcome);
      results = [...kept, ...outcome.results];
    } catch (error) {
      const reason = signal.aborted ? "Cancelled" : inWords(error, "run");
      results.push(...jobs.slice(done).map((job) => notRun(job, reason)));
      throw error;
    } finally {
      given = results;
      report.update(shown(false));
    }
    const ran = results.filter(isCompared).map(({ result }) => `${result.file}/${result.case}`);
    const cases = new Set(ran).size;
    return `${cases} ${cases === 1 ? "case" : "cases"} in ${duration(performance.now() - startedAt)}`;
  };
  const start = (jobs: readonly VerifyJob[], run: Run): Promise<string> => {
    asked = jobs;
    return verify(jobs, [], run);
  };
  const retry = (run: Run): Promise<string> => {
    const jobs = asked.filter((job) => given.some((one) => isOf(job, one) && !isCompared(one)));
    const kept = given.filter((one) => !jobs.some((job) => isOf(job, one)));
    return verify(jobs, kept, run);
  };
  const panel = runPanel(app, "Run here", (run) => start(chosen(), run));
  const report = new VerifyReport(() => panel.start(retry));
  const own = (files: readonly File[]): void => {
    const sources = files
      .filter(({ name }) => name.endsWith(".safetensors"))
      .map((blob) => ({ name: blob.name, blob }));
    if (sources.length > 0) panel.start((run) => start(jobsOf(sources), run));
    else if (files.length > 0) panel.say("Golden files end in .safetensors. Choose one of those.");
  };

  const costOf = (example: Example<VerifyOutcome> | null): string => {
    const jobs = chosen();
    const names = new Set(jobs.map(({ source }) => source.name));
    const download = [...names].reduce((sum, name) => sum + (sizes[name] ?? 0), 0);
    const ms = (example?.record.results ?? [])
      .filter((one) => jobs.some((job) => isOf(job, one)))
      .reduce((sum, { result }) => sum + result.durationMs, 0);
    const time = example && ms > 0 ? expectedTime(ms, example, app.store.get().device) : "";
    return `${names.size} files, ${bytes(download)} to download. ${time}`;
  };
  const intro = introduce<VerifyOutcome>(app, "verify", costOf, (example) => {
    if (asked.length === 0) report.begin(exampleOutcome(example));
  });

  container.append(
    h(
      "div",
      { class: "page-column report" },
      h("h2", {}, "Verify"),
      h(
        "p",
        { class: "lead" },
        "Does this GPU compute right? Inputs with results stored from PyTorch run here, through the same kernels as your pictures, and each result is held against its limit.",
      ),
      h(
        "p",
        { class: "hint" },
        "The error is the root mean square of the difference, relative to the result's own. The limit is a multiple of what rounding alone does to PyTorch; 8-bit images may differ by the levels that the case allows, mostly none.",
      ),
      h(
        "div",
        { class: "control-row" },
        field(
          "Cases",
          select<Which>(
            [
              ["all", "Everything"],
              ["kernels", "Kernels"],
              ["blocks", "Blocks"],
              ["networks", "Networks"],
            ],
            choice.which,
            (which) => {
              choice.which = which;
              intro.update();
            },
          ),
        ),
        field(
          "Precision",
          select<Precisions>(
            [
              ["both", "32 and 16 bits"],
              ["f32", "32 bits"],
              ["f16", "16 bits"],
            ],
            choice.precision,
            (precision) => {
              choice.precision = precision;
              intro.update();
            },
          ),
        ),
      ),
      intro.cost,
      panel.element,
      dropField(own),
      report.element,
    ),
  );
}

function exampleOutcome(example: Example<VerifyOutcome>): ShownOutcome {
  const { record, device: adapter, runtime } = example;
  return {
    ...record,
    adapter,
    runtime,
    files: new Set(record.results.map(({ result }) => result.file)).size,
    isRunning: false,
    exampleLine: exampleLine(example),
  };
}

function isOf({ precision, source }: VerifyJob, one: PrecisionResult): boolean {
  return one.precision === precision && one.result.file === source.name;
}

function isCompared({ result }: PrecisionResult): boolean {
  return result.outputs.length > 0;
}
