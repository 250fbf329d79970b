/** Which picture is open, how large it becomes, and what to do when that takes long. */
import type { App, OpenImage } from "../app.ts";
import { expectedMs } from "../estimate.ts";
import { chooseFiles } from "../library/choose-files.ts";
import { isSavable, resultSize } from "../request.ts";
import type { Stage } from "../stage/stage.ts";
import { button, h } from "../ui/dom.ts";
import { duration, pixels } from "../ui/format.ts";
import { toPicture, transform } from "../view-transform.ts";

/** Runs longer than this are announced with an offer to make the picture smaller. */
const LONG_MS = 90_000;
const SMALLER_SIDES = [4096, 2048, 1024, 512, 256, 128];

export function createPhotoSection(app: App, stage: Stage): HTMLElement {
  const name = h("p", { class: "photo-name" });
  const size = h("p", { class: "photo-size" });
  const notes = h("p", { class: "photo-size", role: "note", hidden: true });
  const advice = h("div", { class: "advice", role: "note", hidden: true });
  let shown: readonly unknown[] = [];
  app.store.subscribe((state) => {
    const { image, model, device, estimate, settings } = state;
    // Not at every step of a run: the buttons would lose their focus.
    const next = [image, model, device, estimate, settings.scale];
    if (!image || next.every((part, i) => part === shown[i])) return;
    shown = next;
    name.textContent = image.name;
    name.title = image.name;
    size.textContent = `${pixels(image.width, image.height)} → ${pixels(...(resultSize(state) ?? [0, 0]))}`;
    notes.hidden = image.notes.length === 0;
    notes.textContent = image.notes.join(" ");
    const expected = expectedMs(state) ?? 0;
    const isLong = expected > LONG_MS;
    advice.hidden = !isLong && isSavable(state);
    if (advice.hidden) return;
    // Those that name options are for programs.
    const remedies = (estimate?.advice ?? []).filter((sentence) => !sentence.includes('"'));
    advice.replaceChildren(
      h(
        "p",
        {},
        isLong
          ? `This takes about ${duration(expected)} here${device?.isSoftware ? ", without a GPU" : ""}.`
          : "The result is too large to be saved.",
        ...remedies.map((sentence) => ` ${sentence}`),
        " Use a part of it, or a smaller copy:",
      ),
      h("div", { class: "advice-actions" }, ...smaller(app, image), cropToView(app, image, stage)),
    );
  });
  return h(
    "section",
    { class: "panel-section photo" },
    h("div", { class: "photo-text" }, name, size, notes),
    button({ class: "button is-quiet" }, () => chooseFiles(app), "Open…"),
    advice,
  );
}

function smaller(app: App, { width, height, blob, name, frame }: OpenImage): HTMLElement[] {
  const side = Math.max(width, height);
  return SMALLER_SIDES.filter((fewer) => fewer <= side * 0.75)
    .slice(0, 2)
    .map((maxSide) =>
      button(
        { class: "button is-quiet" },
        () => void app.openImage(blob, name, { ...frame, maxSide }),
        `Shrink to ${maxSide} px`,
      ),
    );
}

function cropToView(app: App, { blob, name, frame }: OpenImage, stage: Stage): HTMLElement {
  return button(
    { class: "button is-quiet", title: "Zoom in on what matters first" },
    () => {
      const view = stage.viewport();
      if (view) void app.openImage(blob, name, visiblePart(frame, view));
    },
    "Crop to what is in view",
  );
}

/** What of `frame` is on the stage, in the file's pixels. */
function visiblePart(
  frame: OpenImage["frame"],
  { viewport, picture }: NonNullable<ReturnType<Stage["viewport"]>>,
): OpenImage["frame"] {
  const matrix = toPicture(viewport);
  const start = transform([0, 0], matrix);
  const end = transform([viewport.width, viewport.height], matrix);
  /** Along one axis: first pixel and length. */
  const span = (axis: 0 | 1, offset: number, length: number): readonly [number, number] => {
    const inFile = (place: number): number =>
      Math.round(Math.min(1, Math.max(0, place / picture[axis])) * length);
    const [first, last] = [inFile(start[axis]), inFile(end[axis])];
    return [offset + Math.min(first, length - 1), Math.max(1, last - first)];
  };
  const [x, width] = span(0, frame.x, frame.width);
  const [y, height] = span(1, frame.y, frame.height);
  return { x, y, width, height };
}
