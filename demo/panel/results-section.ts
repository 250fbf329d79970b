/** What was made of the open picture, as thumbnails: a click shows one on the right. */
import type { App } from "../app.ts";
import type { Picture, PictureResult } from "../library/picture.ts";
import { isSameCut } from "../library/picture.ts";
import { pictureById } from "../library/pictures.ts";
import type { CompareState } from "../stage/compare-state.ts";
import { settingName } from "../stage/compare-state.ts";
import type { Store } from "../store.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import { buttonBeside } from "../ui/focus.ts";
import type { ItemView } from "../ui/keyed-list.ts";
import { createKeyedList } from "../ui/keyed-list.ts";
import { createThumbnail } from "../ui/thumbnail.ts";

interface Shown {
  readonly result: PictureResult;
  readonly picture: Picture;
}

export function createResultsSection(app: App, compare: Store<CompareState>): HTMLElement {
  const count = h("span", { class: "value" });
  const list = h("ul", { class: "results-list" });
  const show = createKeyedList<Shown>(
    list,
    ({ result }) => result.info.id,
    ({ result }) => createItem(app, compare, result.info.id),
  );
  const element = h(
    "section",
    { class: "panel-section", id: "results", "aria-labelledby": "results-title" },
    h("div", { class: "section-head" }, h("h2", { id: "results-title" }, "Results"), count),
    list,
  );
  let shown: Picture | undefined;
  const update = (): void => {
    const state = app.store.get();
    const picture = state.image ? pictureById(state, state.image.id) : undefined;
    const results = picture?.results ?? [];
    element.hidden = results.length === 0;
    count.textContent = results.length > 1 ? String(results.length) : "";
    if (picture) show(results.map((result) => ({ result, picture })));
    const isMore = picture?.id === shown?.id && results.length > (shown?.results.length ?? 0);
    if (isMore) list.scrollLeft = list.scrollWidth;
    shown = picture;
  };
  app.store.subscribe(({ pictures, image }, before) => {
    if (pictures !== before.pictures || image !== before.image) update();
  });
  compare.subscribe(({ right }, before) => {
    if (right !== before.right) update();
  });
  update();
  return element;
}

function createItem(app: App, compare: Store<CompareState>, id: number): ItemView<Shown> {
  const thumbnail = createThumbnail("result-thumbnail");
  const name = h("span", { class: "result-name" });
  const mark = h("span", { class: "result-mark" });
  const open = button(
    { class: "result-open" },
    () => void app.showResult(id),
    thumbnail.element,
    name,
    mark,
  );
  const remove = button(
    { class: "result-remove" },
    () => {
      const next = buttonBeside(element);
      app.removeResult(id);
      next?.focus();
    },
    icon(ICONS.cross),
  );
  const element = h("li", { class: "result-item" }, open, remove);
  return {
    element,
    update({ result, picture }) {
      const caption = settingName(result.info);
      const isStale = !isSameCut(result.cut, picture.cut);
      thumbnail.show(result.thumbnail);
      name.textContent = caption;
      mark.textContent = isStale ? "Other part" : result.isKept === false ? "Not kept" : "";
      element.classList.toggle("is-stale", isStale);
      open.title = isStale
        ? `${caption}: made of another part of the picture, which a click opens again`
        : caption;
      open.setAttribute("aria-pressed", String(compare.get().right === id));
      remove.setAttribute("aria-label", `Remove ${caption}`);
      remove.title = `Remove ${caption}`;
    },
    remove: () => thumbnail.show(null),
  };
}
