/** What a first visitor sees: a place to drop a photo, and photos to try. */
import photos from "virtual:files/photos";
import type { App } from "../app.ts";
import { chooseFiles } from "../library/choose-files.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import { openBundled } from "./open-photo.ts";

export function createEmpty(app: App): HTMLElement {
  const samples = photos.map((name) =>
    button(
      { class: "sample", "data-photo": name },
      () => void openBundled(app, name),
      h("img", { src: `./photos/${name}`, alt: "", width: 128, height: 128, decoding: "async" }),
      h("span", {}, photoTitle(name)),
    ),
  );
  const element = h(
    "div",
    { class: "empty" },
    h(
      "div",
      { class: "empty-inner" },
      h("span", { class: "empty-mark", "aria-hidden": "true" }, icon(ICONS.image)),
      h("h2", {}, "Enlarge a photo four times"),
      h("p", { class: "lead" }, "Drop a picture here, paste it, or choose one."),
      button({ class: "button is-primary" }, () => chooseFiles(app), "Choose a photo…"),
      h("p", { class: "or" }, samples.length > 1 ? "or try one of these" : "or try this one"),
      h("div", { class: "samples" }, ...samples),
      h(
        "p",
        { class: "hint" },
        "Computed on your own device. Nothing is uploaded, and after this visit it works offline.",
      ),
    ),
  );
  app.store.subscribe(({ image }) => {
    element.hidden = image !== null;
  });
  return element;
}

function photoTitle(name: string): string {
  const stem = name.replace(/\.\w+$/, "").replaceAll("-", " ");
  return stem.charAt(0).toUpperCase() + stem.slice(1);
}
