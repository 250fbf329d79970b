/** What a visitor takes away from a view: text, Markdown, a file. */
import { ICONS, button, h, icon } from "./dom.ts";
import { download } from "./download.ts";

export interface ReportActions {
  readonly text: () => string;
  readonly markdown: () => string;
  /** What is saved, under this name. */
  readonly json?: { readonly name: () => string; readonly value: () => unknown };
}

export function reportActions({ text, markdown, json }: ReportActions): HTMLElement {
  const said = h("span", { class: "hint", role: "status" });
  const copy = async (what: string): Promise<void> => {
    try {
      await navigator.clipboard.writeText(what);
      said.textContent = "Copied";
    } catch {
      said.textContent = "The browser refused the clipboard: select the table and copy it";
    }
  };
  return h(
    "div",
    { class: "button-row" },
    button({ class: "button" }, () => void copy(text()), icon(ICONS.copy), "Copy as text"),
    button({ class: "button" }, () => void copy(markdown()), icon(ICONS.copy), "Copy as Markdown"),
    json !== undefined &&
      button(
        { class: "button" },
        () => saveJson(json.name(), json.value()),
        icon(ICONS.download),
        "Save as JSON",
      ),
    said,
  );
}

function saveJson(name: string, value: unknown): void {
  const blob = new Blob([`${JSON.stringify(value, null, 2)}\n`], { type: "application/json" });
  download(blob, name);
}
