/** The results of one golden file: a line that opens into a table. Stays as the visitor left it while results come. */
import { dataTable } from "../../ui/data-table.ts";
import { h } from "../../ui/dom.ts";
import { titleOf } from "./golden-files.ts";
import type { OutputRow } from "./rows.ts";
import { columnsOf, isWrong, summarize } from "./rows.ts";

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
    const { passed, total } = summarize(rows);
    const isGood = passed === total;
    this.#state.textContent = isGood ? `✓ ${total}` : `✗ ${total - passed} of ${total}`;
    this.#state.setAttribute(
      "aria-label",
      isGood ? `${total} right` : `${total - passed} of ${total} wrong`,
    );
    this.#state.setAttribute("role", "img");
    this.element.classList.toggle("failed", !isGood);
    // What failed is shown at once.
    if (!isGood && !this.#hasOpened) {
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
        rowClass: (row) => (isWrong(row) ? "failed" : null),
      }),
    );
  }
}

function same(a: OutputRow, b: OutputRow | undefined): boolean {
  return (
    b !== undefined &&
    a.case === b.case &&
    Object.keys(a.cells).length === Object.keys(b.cells).length
  );
}
