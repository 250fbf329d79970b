/** The results of a verification, as they come, and the verdict at the end. */
import { markdownTable, textTable } from "../../ui/data-table.ts";
import { button, h } from "../../ui/dom.ts";
import { percent } from "../../ui/format-rate.ts";
import { reportActions } from "../../ui/report-actions.ts";
import { FileSection } from "./file-section.ts";
import { GROUP_TITLES, groupOf } from "./golden-files.ts";
import type { VerifyOutcome } from "./outcome.ts";
import type { OutputRow } from "./rows.ts";
import { columnsOf, outputRows, summarize } from "./rows.ts";
import type { Verdict } from "./verdict.ts";
import { verdictOf } from "./verdict.ts";

export interface ShownOutcome extends VerifyOutcome {
  /** The browser, as it names itself. */
  readonly runtime: string;
  /** How many there are to run. */
  readonly files: number;
  readonly isRunning: boolean;
  /** Above the results of another device; null for those of this one. */
  readonly exampleLine: HTMLElement | null;
}

const KIND_CLASSES: Readonly<Record<Verdict["kind"], string>> = {
  right: "verdict-line",
  wrong: "verdict-line failed",
  open: "verdict-line is-open-question",
};

export class VerifyReport {
  readonly element: HTMLElement;
  readonly #head = h("div", { class: "report-results" });
  readonly #verdict = h("p", {});
  readonly #missing = h("p", { class: "prose" });
  readonly #nearest = h("p", { class: "hint" });
  readonly #retry: HTMLButtonElement;
  readonly #end: HTMLElement;
  readonly #groups = h("div", {});
  #shown: ShownOutcome | null = null;
  #sections = new Map<string, FileSection>();
  #isPainted = true;

  /** `onRetry` runs again what was not run. */
  constructor(onRetry: () => void) {
    this.#retry = button({ class: "button" }, onRetry, "Try these again");
    const actions = reportActions({
      text: () => `${this.#heading()}\n\n${textTable(this.#table())}\n`,
      markdown: () =>
        `${this.#heading().replaceAll("\n", "  \n")}\n\n${markdownTable(this.#table())}\n`,
    });
    this.#end = h(
      "div",
      { class: "report-results" },
      this.#verdict,
      this.#missing,
      this.#retry,
      this.#nearest,
      actions,
    );
    this.element = h(
      "div",
      { class: "report-results", hidden: true },
      this.#head,
      this.#end,
      this.#groups,
    );
  }

  /** Another run than the one before. */
  begin(outcome: ShownOutcome): void {
    this.#sections = new Map();
    this.#groups.replaceChildren();
    this.#head.replaceChildren(...(outcome.exampleLine ? [outcome.exampleLine] : []));
    this.update(outcome);
  }

  /** Results may come by the hundred in a second. */
  update(outcome: ShownOutcome): void {
    this.#shown = outcome;
    if (this.#isPainted) requestAnimationFrame(() => this.#paint());
    this.#isPainted = false;
  }

  #paint(): void {
    this.#isPainted = true;
    if (this.#shown === null) return;
    const { results, files, adapter, isRunning, exampleLine } = this.#shown;
    this.element.hidden = results.length === 0;
    const rows = outputRows(results);
    for (const file of new Set(rows.map((row) => row.file))) {
      this.#section(file).show(rows.filter((row) => row.file === file));
    }
    // A verdict on a part of the results would be taken for one on all.
    this.#end.hidden = isRunning;
    const summary = summarize(rows);
    const { kind, text, missing } = verdictOf(summary, files, adapter);
    this.#verdict.textContent = text;
    this.#verdict.className = KIND_CLASSES[kind];
    this.#missing.textContent = missing;
    this.#retry.hidden = missing === "" || exampleLine !== null;
    const { nearest } = summary;
    this.#nearest.textContent = nearest
      ? `Nearest to its limit: ${nearest.name}, at ${percent(nearest.share)} of what is allowed.`
      : "";
  }

  #section(file: string): FileSection {
    const known = this.#sections.get(file);
    if (known) return known;
    const made = new FileSection(file);
    this.#sections.set(file, made);
    const group = groupOf(file);
    let place = this.#groups.querySelector(`[data-group="${group}"]`);
    if (place === null) {
      place = h("section", { "data-group": group }, h("h3", {}, GROUP_TITLES[group]));
      this.#groups.append(place);
    }
    place.append(made.element);
    return made;
  }

  #rows(): readonly OutputRow[] {
    return outputRows(this.#shown?.results ?? []);
  }

  #heading(): string {
    if (this.#shown === null) return "";
    const { adapter, date, runtime, files, exampleLine } = this.#shown;
    const { text, missing } = verdictOf(summarize(this.#rows()), files, adapter);
    const example = exampleLine ? "Example: " : "";
    const said = missing === "" ? text : `${text}\n${missing}`;
    return `${example}rcod ${__VERSION__} verify, ${adapter}, ${date}\n${runtime}\n${said}`;
  }

  #table() {
    const rows = this.#rows();
    const file = { label: "file", text: (row: OutputRow) => row.file };
    return { columns: [file, ...columnsOf(rows)], rows };
  }
}
