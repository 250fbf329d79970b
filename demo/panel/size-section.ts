/** How large the result becomes, what that takes, and ways to less: a part, a smaller copy. */
import type { App } from "../app.ts";
import { resultSize } from "../request.ts";
import { firstFrame } from "../stage/crop-geometry.ts";
import { cropBounds } from "../stage/crop.ts";
import type { Crop } from "../stage/crop.ts";
import { seenPart } from "../stage/seen-part.ts";
import type { Stage } from "../stage/stage.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import { pixels } from "../ui/format.ts";
import { followOffers } from "./offers.ts";
import { createSizeChoices } from "./size-choices.ts";
import { createSizeNote } from "./size-note.ts";
import { createTargetFields } from "./target-fields.ts";

export function createSizeSection(app: App, stage: Stage, crop: Crop): HTMLElement {
  const offers = followOffers(app);
  const size = h("span", { class: "value" });
  app.store.subscribe((state) => {
    const result = resultSize(state);
    size.textContent = result ? pixels(...result) : "";
  });
  return h(
    "section",
    { class: "panel-section" },
    h("div", { class: "section-head" }, h("h2", {}, "Size"), size),
    createSizeChoices(app, offers),
    createTargetFields(app),
    createSizeNote(app, offers),
    createCropButtons(app, stage, crop),
  );
}

/** Begins to cut, and takes back what was cut. */
function createCropButtons(app: App, stage: Stage, crop: Crop): HTMLElement {
  const cut = button(
    { class: "button is-quiet", id: "crop", "aria-pressed": "false" },
    () => {
      const { image } = app.store.get();
      const view = stage.viewport();
      if (crop.leave() || !image || !view) return;
      const bounds = cropBounds(image);
      crop.begin(firstFrame(seenPart(bounds, view), bounds));
    },
    icon(ICONS.crop),
    "Crop…",
  );
  const whole = button(
    { class: "button is-quiet", id: "whole" },
    () => crop.undo(),
    icon(ICONS.undo),
    "Whole picture again",
  );
  app.store.subscribe(({ image }) => {
    whole.hidden = image?.cut === null || image === null;
  });
  crop.store.subscribe(({ frame }, before) => {
    cut.setAttribute("aria-pressed", String(frame !== null));
    if (frame === null && before.frame !== null) cut.focus({ preventScroll: true });
  });
  return h("div", { class: "size-actions" }, cut, whole);
}
