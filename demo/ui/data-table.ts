/** One description of columns for the table on the page, as aligned text and as Markdown. */
import { takeTurns } from "../next-frame.ts";
import { h } from "./dom.ts";

/** Rows that are laid out in one task: a page with more of them at once does not answer meanwhile. */
const ROWS_AT_ONCE = 60;

export interface Column<T> {
  readonly label: string;
  readonly text: (row: T) => string;
  /** Numbers stand to the right. */
  readonly isNumber?: boolean;
}

export interface TableOptions<T> {
  /** Said before the table to those who do not see it. */
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  /** A class for a row, for example "failed". */
  readonly rowClass?: (row: T) => string | null;
}

/** Scrolls sideways where the column is narrow; hence reachable by the keyboard. */
export function dataTable<T>(options: TableOptions<T>): HTMLElement {
  const { caption, columns, rows } = options;
  const head = columns.map(({ label, isNumber }) =>
    h("th", { scope: "col", class: isNumber ? "number" : null }, label),
  );
  const body = h("tbody", {}, ...bodyRows(options, 0));
  if (rows.length > ROWS_AT_ONCE) void appendRest(body, options);
  return h(
    "div",
    { class: "table-scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: "data-table" },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, ...head)),
      body,
    ),
  );
}

/** The rows from `first` on that come at once. */
const bodyRows = <T>(
  { columns, rows, rowClass }: TableOptions<T>,
  first: number,
): readonly HTMLElement[] =>
  rows
    .slice(first, first + ROWS_AT_ONCE)
    .map((row) =>
      h(
        "tr",
        { class: rowClass?.(row) ?? null },
        ...columns.map(({ text, isNumber }, i) =>
          i === 0
            ? h("th", { scope: "row" }, text(row))
            : h("td", { class: isNumber ? "number" : null }, text(row)),
        ),
      ),
    );

async function appendRest<T>(body: HTMLElement, options: TableOptions<T>): Promise<void> {
  for (let first = ROWS_AT_ONCE; first < options.rows.length; first += ROWS_AT_ONCE) {
    await takeTurns();
    body.append(...bodyRows(options, first));
  }
}

/** The same behind a line that opens it, made when it is first opened: hundreds of rows take their time. */
export function foldedTable<T>(summary: string, options: TableOptions<T>): HTMLDetailsElement {
  const element = h("details", { class: "file-section" }, h("summary", {}, summary));
  element.addEventListener("toggle", () => element.append(dataTable(options)), { once: true });
  return element;
}

type Cells<T> = Pick<TableOptions<T>, "columns" | "rows">;

export function markdownTable<T>({ columns, rows }: Cells<T>): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [
    line(columns.map(({ label }) => label)),
    line(columns.map(({ isNumber }) => (isNumber ? "--:" : "---"))),
    ...rows.map((row) => line(columns.map(({ text }) => text(row)))),
  ].join("\n");
}

export function textTable<T>({ columns, rows }: Cells<T>): string {
  const table = [
    columns.map(({ label }) => label),
    ...rows.map((row) => columns.map(({ text }) => text(row))),
  ];
  const widths = columns.map((_, i) => Math.max(...table.map((cells) => cells[i]?.length ?? 0)));
  return table
    .map((cells) =>
      cells
        .map((cell, i) => {
          const width = widths[i] ?? 0;
          return columns[i]?.isNumber ? cell.padStart(width) : cell.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
