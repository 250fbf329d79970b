/** Which picture is open, and how large it becomes. */
import type { App } from "../app.ts";
import { chooseFiles } from "../library/choose-files.ts";
import { resultSize } from "../request.ts";
import { button, h } from "../ui/dom.ts";
import { pixels } from "../ui/format.ts";

export function createPhotoSection(app: App): HTMLElement {
  const name = h("p", { class: "photo-name" });
  const size = h("p", { class: "photo-size" });
  const notes = h("p", { class: "photo-size", role: "note", hidden: true });
  app.store.subscribe((state) => {
    const { image } = state;
    if (!image) return;
    name.textContent = image.name;
    name.title = image.name;
    size.textContent = `${pixels(image.width, image.height)} → ${pixels(...(resultSize(state) ?? [0, 0]))}`;
    notes.hidden = image.notes.length === 0;
    notes.textContent = image.notes.join(" ");
  });
  return h(
    "section",
    { class: "panel-section photo" },
    h("div", { class: "photo-text" }, name, size, notes),
    button({ class: "button is-quiet" }, () => chooseFiles(app), "Open…"),
  );
}
