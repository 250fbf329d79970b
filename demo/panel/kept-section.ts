/** What stays in this browser for the next visit, and the way to forget it. */
import type { App, AppState } from "../app.ts";
import { button, h } from "../ui/dom.ts";
import { bytes } from "../ui/format.ts";

export function createKeptSection(app: App): HTMLElement {
  const facts = h("span", { class: "value" });
  const ask = button(
    { class: "button is-wide", id: "forget" },
    () => confirm(true),
    "Forget everything…",
  );
  const sure = button(
    { class: "button is-grown", id: "forget-sure" },
    () => void forget(),
    "Forget",
  );
  const keep = button({ class: "button is-grown" }, () => confirm(false), "Keep");
  const question = h(
    "div",
    { class: "details-body", hidden: true },
    h("p", { class: "hint" }, "All pictures and results go, here and on disk. Saved files stay."),
    h("div", { class: "row" }, sure, keep),
  );
  const confirm = (isAsked: boolean): void => {
    question.hidden = !isAsked;
    ask.hidden = isAsked;
    (isAsked ? keep : ask).focus();
  };
  const forget = async (): Promise<void> => {
    await app.forget();
    question.hidden = true;
    ask.hidden = false;
    document.querySelector<HTMLElement>(".empty .button")?.focus();
  };
  app.store.subscribe(({ pictures }, before) => {
    if (pictures !== before.pictures) facts.textContent = keptFacts(pictures);
  });
  return h(
    "details",
    { class: "panel-section", id: "kept" },
    h("summary", { class: "section-head" }, h("h2", {}, "Kept here"), facts),
    h(
      "div",
      { class: "details-body" },
      h(
        "p",
        { class: "hint" },
        "Pictures, results and settings stay in this browser, so that a reload or your next visit has them. Nothing is uploaded.",
      ),
      ask,
      question,
    ),
  );
}

function keptFacts(pictures: AppState["pictures"]): string {
  const results = pictures.flatMap((picture) => picture.results);
  const kept = [
    ...pictures.filter(({ isKept }) => isKept).map(({ blob }) => blob),
    ...results.filter(({ isKept }) => isKept).map(({ file }) => file),
  ];
  const size = kept.reduce((sum, file) => sum + (file?.size ?? 0), 0);
  return size === 0 ? "Nothing yet" : bytes(size);
}
