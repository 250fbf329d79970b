/** The kernel suite on this GPU: every kernel checked, then timed, and shown under the roofline of the same run. */
import type { CaseRecord, KernelSuiteSettings } from "rcod-webgpu/bench";
import { CASES, QUICK_CASES } from "rcod-webgpu/bench";
import type { App } from "../app.ts";
import { takeTurns } from "../next-frame.ts";
import { dataTable, markdownTable, textTable } from "../ui/data-table.ts";
import { field, h, select } from "../ui/dom.ts";
import { rate } from "../ui/format-rate.ts";
import { duration } from "../ui/format.ts";
import { Plot } from "../ui/plot.ts";
import { reportActions } from "../ui/report-actions.ts";
import type { Run } from "../ui/run-panel.ts";
import { runPanel } from "../ui/run-panel.ts";
import { callWithUpdates } from "../updates.ts";
import { compilersSection } from "./benchmark/compilers.ts";
import type { BenchmarkArgs, BenchmarkRecord } from "./benchmark/record.ts";
import { rooflineDrawing, seriesOf } from "./benchmark/roofline-plot.ts";
import { COLUMNS, hasFailed, variantRows } from "./benchmark/table.ts";
import type { Example } from "./example/example.ts";
import { exampleLine, expectedTime, introduce } from "./example/example.ts";

interface Shown {
  readonly settings: KernelSuiteSettings;
  readonly adapter: string;
  readonly cases: readonly CaseRecord[];
  readonly date: string;
  /** The browser, as it names itself. */
  readonly runtime: string;
  /** Null for results of this device. */
  readonly exampleLine: HTMLElement | null;
}

export function mount(container: HTMLElement, app: App): void {
  const choice: { suite: BenchmarkArgs["suite"]; precision: BenchmarkArgs["precision"] } = {
    suite: "quick",
    precision: "auto",
  };
  const filter = h("input", {
    type: "text",
    class: "input",
    placeholder: "for example attention",
    autocomplete: "off",
    spellcheck: "false",
  });
  const results = h("div", { class: "report-results", hidden: true });
  const plot = new Plot(
    "Roofline plot. The arrow keys go from kernel to kernel; the table below has the same figures",
  );
  const table = h("div", {});
  let shown: Shown | null = null;
  let record: BenchmarkRecord | null = null;

  /** Words, plot and table are a task each, so that the page answers meanwhile; what is shown later ends that. */
  const show = async (next: Shown): Promise<void> => {
    shown = next;
    const { settings, cases, adapter } = next;
    const parts = [
      () => plot.show((width) => rooflineDrawing(settings.roofline, cases, width)),
      () => table.replaceChildren(tableOf(cases)),
    ];
    results.hidden = false;
    results.replaceChildren(
      ...(next.exampleLine ? [next.exampleLine] : []),
      h("h3", {}, `${adapter}, ${settings.dtype}`),
      legend(cases),
      plot.element,
      h(
        "p",
        { class: "hint" },
        `Filled marks are what the engine uses here, hollow ones the other variants of the same kernel. Both bounds were measured in this run: a copy, ${rate(settings.roofline.copyGbps)} GB/s, and f32 multiply-adds, ${rate(settings.roofline.fmaGflops)} GFLOP/s. Clock: ${settings.clock} (${settings.clockReason}).`,
        settings.scale === "small"
          ? " Shapes marked ~ are cut down for a software adapter: rates compare, times do not."
          : "",
      ),
      table,
      actions,
    );
    for (const part of parts) {
      await takeTurns();
      if (shown !== next) return;
      part();
    }
  };

  const heading = (): string => {
    if (!shown) return "";
    const { adapter, settings, date, runtime, exampleLine: line } = shown;
    const { copyGbps, fmaGflops } = settings.roofline;
    return `${line ? "Example: " : ""}rcod ${__VERSION__}, ${adapter}, ${settings.dtype}, ${date}\n${runtime}\nroofline in this run: copy ${rate(copyGbps)} GB/s, f32 multiply-add ${rate(fmaGflops)} GFLOP/s; clock ${settings.clock}`;
  };
  const cells = () => ({ columns: COLUMNS, rows: variantRows(shown?.cases ?? []) });
  const actions = reportActions({
    text: () => `${heading()}\n\n${textTable(cells())}\n`,
    markdown: () => `${heading().replaceAll("\n", "  \n")}\n\n${markdownTable(cells())}\n`,
    json: {
      name: () => `rcod-bench-${(shown?.date ?? "").slice(0, 10)}.json`,
      value: () => record ?? shown,
    },
  });

  const run = async ({ signal, progress }: Run): Promise<string> => {
    const startedAt = performance.now();
    let total = 1;
    const args = { ...choice, filter: filter.value.trim() };
    record = await callWithUpdates(
      app,
      "benchmark",
      args,
      (update) => {
        if (update.kind === "start") {
          record = null;
          ({ total } = update);
          const { settings, adapter } = update;
          const date = new Date().toISOString();
          const runtime = navigator.userAgent;
          void show({ settings, adapter, cases: [], date, runtime, exampleLine: null });
        } else if (shown) {
          void show({ ...shown, cases: [...shown.cases, update.record] });
          const done = shown.cases.length;
          progress(done / total, `${done} of ${total}: ${update.record.case}`);
        }
      },
      { signal },
    );
    if (record.cases.length === 0) return `No case has "${args.filter}" in its name`;
    if (shown) await show({ ...shown, cases: record.cases, date: record.date });
    const { failed, cases } = record;
    return `${cases.length} ${cases.length === 1 ? "case" : "cases"} in ${duration(performance.now() - startedAt)}, ${failed === 0 ? "all computed right" : `${failed} computed wrong`}`;
  };

  const costOf = (example: Example<BenchmarkRecord> | null): string => {
    const isQuick = choice.suite === "quick";
    const { device } = app.store.get();
    const time = example ? expectedTime(example.durationMs, example, device) : "";
    const more = isQuick
      ? ""
      : `That is for the quick suite; the full one has ${CASES.length} cases.`;
    return `Nothing to download. ${time} ${time && more}`;
  };
  const intro = introduce<BenchmarkRecord>(app, "benchmark", costOf, (example) => {
    if (shown !== null) return;
    const { device: adapter, runtime } = example;
    ({ record } = example);
    const { cases, date } = record;
    const line = exampleLine(example);
    void show({ settings: record, adapter, cases, date, runtime, exampleLine: line });
  });

  container.append(
    h(
      "div",
      { class: "page-column report" },
      h("h2", {}, "Benchmark"),
      h(
        "p",
        { class: "lead" },
        "How close does each kernel come to what this GPU can do? Every kernel first has to compute the right result; then it is timed. A mark at the line is as fast as the hardware allows.",
      ),
      h(
        "div",
        { class: "control-row" },
        field(
          "Suite",
          select(
            [
              ["quick", `Quick: ${QUICK_CASES.length} cases`],
              ["full", `Full: ${CASES.length} cases, every shape of the full model`],
            ],
            choice.suite,
            (suite) => {
              choice.suite = suite;
              intro.update();
            },
          ),
        ),
        field(
          "Precision",
          select(
            [
              ["auto", "Automatic"],
              ["f16", "16 bits"],
              ["f32", "32 bits"],
            ],
            choice.precision,
            (precision) => (choice.precision = precision),
          ),
        ),
        field("Only cases with", filter),
      ),
      intro.cost,
      runPanel(app, "Run here", run).element,
      results,
      compilersSection(),
    ),
  );
}

const tableOf = (cases: readonly CaseRecord[]): HTMLElement =>
  dataTable({
    caption: "Kernels, their check and their rates",
    columns: COLUMNS,
    rows: variantRows(cases),
    rowClass: (row) => (hasFailed(row) ? "failed" : row.variant?.selected ? null : "muted"),
  });

function legend(cases: readonly CaseRecord[]): HTMLElement {
  const used = [...new Set(cases.map(({ kernel }) => kernel))].toSorted(
    (a, b) => seriesOf(a) - seriesOf(b),
  );
  return h(
    "ul",
    { class: "legend", "aria-label": "Colours" },
    ...used.map((name) =>
      h(
        "li",
        {},
        h("span", { class: `swatch series-${seriesOf(name)}`, "aria-hidden": "true" }),
        name,
      ),
    ),
  );
}
