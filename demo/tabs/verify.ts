/** Stored results of PyTorch against what this GPU computes, case by case. */
import goldens from "virtual:files/goldens";
import type { App } from "../app.ts";
import { markdownTable, textTable } from "../ui/data-table.ts";
import { field, h, select } from "../ui/dom.ts";
import { percent } from "../ui/format-rate.ts";
import { duration } from "../ui/format.ts";
import { reportActions } from "../ui/report-actions.ts";
import type { Run } from "../ui/run-panel.ts";
import { runPanel } from "../ui/run-panel.ts";
import { callWithUpdates } from "../updates.ts";
import { FileSection } from "./verify/file-section.ts";
import type { Group } from "./verify/golden-files.ts";
import { GROUP_TITLES, groupOf, inOrder } from "./verify/golden-files.ts";
import type {
  GoldenSource,
  PrecisionResult,
  VerifyPrecision,
  VerifyUpdate,
} from "./verify/outcome.ts";
import { columnsOf, outputRows, summarize } from "./verify/rows.ts";

type Which = Exclude<Group, "yours"> | "all";
type Precisions = VerifyPrecision | "both";

/** Bundled files lie beside the page. */
const BUNDLED: readonly GoldenSource[] = inOrder(goldens).map((name) => ({
  name,
  url: new URL(`goldens/${name}`, document.baseURI).href,
}));

export function mount(container: HTMLElement, app: App): void {
  const choice: { which: Which; precision: Precisions } = { which: "all", precision: "both" };
  const verdict = h("p", { class: "verdict-line" });
  const nearest = h("p", { class: "hint" });
  const groups = h("div", {});
  let adapter = "";
  let date = "";
  let results: readonly PrecisionResult[] = [];
  let sections = new Map<string, FileSection>();
  let isPainted = true;

  const heading = (): string => {
    const { passed, total } = summarize(outputRows(results));
    return `rcod ${__VERSION__} verify, ${adapter}, ${date}\n${navigator.userAgent}\n${passed} of ${total} results right`;
  };
  const table = () => {
    const rows = outputRows(results);
    const columns = [
      { label: "file", text: ({ file }: { file: string }) => file },
      ...columnsOf(rows),
    ];
    return { columns, rows };
  };
  const report = h(
    "div",
    { class: "report-results", hidden: true },
    verdict,
    nearest,
    reportActions({
      text: () => `${heading()}\n\n${textTable(table())}\n`,
      markdown: () => `${heading().replaceAll("\n", "  \n")}\n\n${markdownTable(table())}\n`,
    }),
    groups,
  );

  const paint = (): void => {
    isPainted = true;
    report.hidden = results.length === 0;
    const rows = outputRows(results);
    const { passed, total, nearest: near } = summarize(rows);
    const isGood = passed === total;
    verdict.textContent = isGood
      ? `All ${total} results are right on ${adapter}`
      : `${total - passed} of ${total} results are wrong on ${adapter}`;
    verdict.classList.toggle("failed", !isGood);
    nearest.textContent = near
      ? `Nearest to its limit: ${near.name}, at ${percent(near.share)} of what is allowed.`
      : "";
    for (const file of new Set(rows.map((row) => row.file))) {
      section(file).show(rows.filter((row) => row.file === file));
    }
  };
  /** Results may come by the hundred in a second. */
  const paintSoon = (): void => {
    if (isPainted) requestAnimationFrame(paint);
    isPainted = false;
  };
  const section = (file: string): FileSection => {
    const known = sections.get(file);
    if (known) return known;
    const made = new FileSection(file);
    sections.set(file, made);
    const group = groupOf(file);
    let place = groups.querySelector(`[data-group="${group}"]`);
    if (place === null) {
      place = h("section", { "data-group": group }, h("h3", {}, GROUP_TITLES[group]));
      groups.append(place);
    }
    place.append(made.element);
    return made;
  };

  const verify = async (
    sources: readonly GoldenSource[],
    { signal, progress }: Run,
  ): Promise<string> => {
    const precisions: readonly VerifyPrecision[] =
      choice.precision === "both" ? ["f32", "f16"] : [choice.precision];
    results = [];
    sections = new Map();
    groups.replaceChildren();
    const startedAt = performance.now();
    const onUpdate = (update: VerifyUpdate): void => {
      switch (update.kind) {
        case "start":
          ({ adapter } = update);
          date = new Date().toISOString();
          return;
        case "progress": {
          const { precision, file, case: name } = update;
          const done =
            precisions.indexOf(precision) * sources.length +
            sources.findIndex((source) => source.name === file);
          progress(done / (precisions.length * sources.length), `${precision}: ${file}, ${name}`);
          return;
        }
        case "case":
          results = [...results, update];
          paintSoon();
          return;
        default:
          update satisfies never;
      }
    };
    const args = { sources, beside: BUNDLED, precisions };
    const outcome = await callWithUpdates(app, "verify", args, onUpdate, { signal });
    ({ results, adapter, date } = outcome);
    paint();
    return `${new Set(results.map(({ result }) => `${result.file}/${result.case}`)).size} cases in ${duration(performance.now() - startedAt)}`;
  };
  const panel = runPanel(app, "Verify this GPU", (run) =>
    verify(
      BUNDLED.filter(({ name }) => choice.which === "all" || groupOf(name) === choice.which),
      run,
    ),
  );
  const own = (files: readonly File[]): void => {
    const sources = files
      .filter(({ name }) => name.endsWith(".safetensors"))
      .map((blob) => ({ name: blob.name, blob }));
    if (sources.length > 0) panel.start((run) => verify(sources, run));
  };

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
            (which) => (choice.which = which),
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
            (precision) => (choice.precision = precision),
          ),
        ),
      ),
      panel.element,
      dropField(own),
      report,
    ),
  );
}

/** A file input that also takes what is dropped on it. */
function dropField(onFiles: (files: readonly File[]) => void): HTMLElement {
  const input = h("input", {
    type: "file",
    accept: ".safetensors",
    multiple: true,
    class: "input",
  });
  input.addEventListener("change", () => {
    onFiles([...(input.files ?? [])]);
    input.value = "";
  });
  const element = h(
    "div",
    { class: "drop-field" },
    field("Or golden files of your own (.safetensors): choose them, or drop them here", input),
  );
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("is-over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("is-over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation(); // the page opens dropped pictures
    element.classList.remove("is-over");
    onFiles([...(event.dataTransfer?.files ?? [])]);
  });
  return element;
}
