/** The queue as a row of thumbnails under the stage, once there is more than one picture. */
import type { App, AppState } from "../app.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import { buttonBeside } from "../ui/focus.ts";
import type { ItemView } from "../ui/keyed-list.ts";
import { createKeyedList } from "../ui/keyed-list.ts";
import { createThumbnail } from "../ui/thumbnail.ts";
import { chooseFiles } from "./choose-files.ts";
import type { Picture } from "./picture.ts";
import { freshResults } from "./picture.ts";

export function createStrip(app: App): HTMLElement {
  const list = h("ul", { class: "strip-list" });
  const showPictures = createKeyedList<Picture>(
    list,
    ({ id }) => id,
    ({ id }) => createItem(app, id),
  );
  const add = button(
    { class: "button is-quiet strip-add" },
    () => chooseFiles(app),
    icon(ICONS.plus),
    "Add",
  );
  const element = h(
    "section",
    { class: "strip", "aria-label": "Pictures", hidden: true },
    list,
    add,
  );
  app.store.subscribe((state, before) => {
    const { pictures, image, activity } = state;
    const isSame =
      pictures === before.pictures && image === before.image && activity === before.activity;
    if (isSame && state !== before) return;
    element.hidden = pictures.length < 2;
    showPictures(pictures);
    if (image !== before.image) {
      list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  });
  return element;
}

function createItem(app: App, id: string): ItemView<Picture> {
  const thumbnail = createThumbnail("strip-thumbnail");
  const name = h("span", { class: "strip-name" });
  const status = h("span", { class: "strip-status" });
  const bar = h("span", { class: "strip-bar", "aria-hidden": "true" });
  const open = button(
    { class: "strip-open" },
    () => void app.openPicture(id),
    thumbnail.element,
    h("span", { class: "strip-text" }, name, status),
    bar,
  );
  const remove = button(
    { class: "strip-remove" },
    () => {
      const next = buttonBeside(element);
      void app.removePicture(id).then(() => next?.focus());
    },
    icon(ICONS.cross),
  );
  const element = h("li", { class: "strip-item" }, open, remove);
  return {
    element,
    update(picture) {
      const state = app.store.get();
      const { fraction, text } = statusOf(picture, state);
      thumbnail.show(picture.thumbnail);
      name.textContent = picture.name;
      status.textContent = text;
      element.dataset["status"] = picture.status;
      bar.hidden = fraction === null;
      bar.style.setProperty("--at", String(fraction ?? 0));
      open.title = [picture.name, picture.problem?.detail].filter(Boolean).join(": ");
      if (state.image?.id === id) open.setAttribute("aria-current", "true");
      else open.removeAttribute("aria-current");
      remove.setAttribute("aria-label", `Remove ${picture.name}`);
      remove.title = `Remove ${picture.name}`;
    },
    remove: () => thumbnail.show(null),
  };
}

/** What the picture waits for, how far it is, or why it failed. */
function statusOf(
  picture: Picture,
  { activity }: AppState,
): { readonly text: string; readonly fraction: number | null } {
  const { id, status, size, problem, isKept } = picture;
  switch (status) {
    case "running": {
      const progress = activity?.picture === id ? activity.progress : null;
      if (!progress || progress.stage === "load") return { text: "Starting", fraction: 0 };
      return { text: `${Math.round(progress.fraction * 100)} %`, fraction: progress.fraction };
    }
    case "failed": {
      const text = size === null ? "Cannot be read" : (problem?.title ?? "Failed");
      return { text, fraction: null };
    }
    case "waiting":
      return { text: isKept === false ? "Waiting, not kept" : "Waiting", fraction: null };
    case "done": {
      const count = freshResults(picture).length;
      const done = count > 1 ? `${count} results` : "Done";
      return { text: isKept === false ? `${done}, not kept` : done, fraction: null };
    }
    default:
      return status satisfies never;
  }
}
