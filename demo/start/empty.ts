/** What a first visitor sees: what the page does, a place to drop a photo, and photos to try. */
import type { App } from "../app.ts";
import { chooseFiles } from "../library/choose-files.ts";
import { openBundled } from "../stage/open-photo.ts";
import { button, h } from "../ui/dom.ts";
import { createProof } from "./proof.ts";
import { SAMPLES } from "./samples.ts";

export function createEmpty(app: App): HTMLElement {
  const samples = SAMPLES.map(({ name, title }) =>
    button(
      { class: "sample", "data-photo": name },
      () => void openBundled(app, name),
      h("img", { src: `./photos/${name}`, alt: "", width: 96, height: 96, decoding: "async" }),
      title,
    ),
  );
  const element = h(
    "div",
    { class: "empty" },
    h(
      "div",
      { class: "empty-inner" },
      createProof(),
      h(
        "div",
        { class: "empty-text" },
        h("h2", {}, "Enlarge a photo four times"),
        h(
          "p",
          { class: "lead" },
          "Small, soft or worn photos become large and clear, on your own device: nothing is uploaded.",
        ),
        h(
          "div",
          { class: "empty-choose" },
          button({ class: "button is-primary" }, () => chooseFiles(app), "Choose a photo…"),
          h("span", { class: "hint" }, "or drop or paste one here"),
        ),
        h("p", { class: "samples-title", id: "samples-title" }, "Or try one of these"),
        h(
          "div",
          { class: "samples", role: "group", "aria-labelledby": "samples-title" },
          ...samples,
        ),
        h("p", { class: "hint" }, "After this visit the page works offline, too."),
      ),
    ),
  );
  app.store.subscribe(({ image }) => {
    element.hidden = image !== null;
  });
  return element;
}
