/** The results of one golden file: a line that opens into a table. Stays as the visitor left it while results come. */
import { dataTable } from "../../ui/data-table.ts";
import { h } from "../../ui/dom.ts";
import { titleOf } from "./golden-files.ts";
import type { Outcome, OutputRow } from "./rows.ts";
import { columnsOf, outcomeOf, summarize } from "./rows.ts";

const ROW_CLASSES: Readonly<Record<Outcome, string | null>> = {
  right: null,
  wrong: "failed",
  "not run": "muted",
};

export class FileSection {
  readonly element: HTMLDetailsElement;
  readonly #file: string;
  readonly #state = h("span", { class: "verdict" });
  readonly #body = h("div", {});
  #rows: readonly OutputRow[] = [];
  #isFilled = false;
  #hasOpened = false;

  constructor(file: string) {
    this.#file = file;
    this.element = h(
      "details",
      { class: "file-section" },
      h(
        "summary",
        {},
        this.#state,
        h("span", { class: "file-title" }, titleOf(file)),
        h("span", { class: "hint" }, titleOf(file) === file ? "" : file),
      ),
      this.#body,
    );
    this.element.addEventListener("toggle", () => this.#fill());
  }

  show(rows: readonly OutputRow[]): void {
    if (rows.length === this.#rows.length && rows.every((row, i) => same(row, this.#rows[i])))
      return;
    this.#rows = rows;
    this.#isFilled = false;
    const { right, wrong, filesNotRun } = summarize(rows);
    const [sign, words] =
      wrong > 0
        ? [`✗ ${wrong} of ${right + wrong}`, `${wrong} of ${right + wrong} wrong`]
        : filesNotRun.length > 0
          ? ["– not run", right > 0 ? `${right} right, the rest not run` : "not run"]
          : [`✓ ${right}`, `${right} right`];
    this.#state.textContent = sign;
    this.#state.setAttribute("aria-label", words);
    this.#state.setAttribute("role", "img");
    this.element.classList.toggle("failed", wrong > 0);
    this.element.classList.toggle("is-open-question", wrong === 0 && filesNotRun.length > 0);
    // What is wrong is shown at once.
    if (wrong > 0 && !this.#hasOpened) {
      this.#hasOpened = true;
      this.element.open = true;
    }
    this.#fill();
  }

  #fill(): void {
    if (!this.element.open || this.#isFilled) return;
    this.#isFilled = true;
    this.#body.replaceChildren(
      dataTable({
        caption: `${titleOf(this.#file)}: errors and limits`,
        columns: columnsOf(this.#rows),
        rows: this.#rows,
        rowClass: (row) => ROW_CLASSES[outcomeOf(row)],
      }),
    );
  }
}

function same(a: OutputRow, b: OutputRow | undefined): boolean {
  return (
    b !== undefined &&
    a.case === b.case &&
    a.output === b.output &&
    Object.keys(a.cells).length === Object.keys(b.cells).length
  );
}
