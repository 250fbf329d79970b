/** The main view: the picture at left, what can be done with it at right. */
import type { App } from "../app.ts";
import { leaveByEscape } from "../escape.ts";
import { followEstimates } from "../estimate.ts";
import { computeAhead } from "../instant/ahead.ts";
import { showAtOnce } from "../instant/show-at-once.ts";
import { createStrip } from "../library/strip.ts";
import { createActionBar } from "../panel/action-bar.ts";
import { announceTo } from "../panel/announcer.ts";
import { followFocus } from "../panel/focus.ts";
import { createKeptSection } from "../panel/kept-section.ts";
import { createMaskSection } from "../panel/mask-section.ts";
import { createModelSection } from "../panel/model-section.ts";
import { createMoreSection } from "../panel/more-section.ts";
import { createPhotoSection } from "../panel/photo-section.ts";
import { createProblemCard } from "../panel/problem-card.ts";
import { createQueueSection } from "../panel/queue-section.ts";
import { createRealismSection } from "../panel/realism-section.ts";
import { rerunOnChange } from "../panel/rerun.ts";
import { createResultsSection } from "../panel/results-section.ts";
import { createRunSection } from "../panel/run-section.ts";
import { createSaveSection } from "../panel/save-section.ts";
import { createSizeSection } from "../panel/size-section.ts";
import { createTimingsSection } from "../panel/timings-section.ts";
import { createCompareState } from "../stage/compare-state.ts";
import { createCropBar } from "../stage/crop-bar.ts";
import { createCrop } from "../stage/crop.ts";
import { flickerWhenChosen } from "../stage/flicker.ts";
import { createMaskDock } from "../stage/mask-dock.ts";
import { MaskPainter } from "../stage/mask-painter.ts";
import { openBundled } from "../stage/open-photo.ts";
import { createStage } from "../stage/stage.ts";
import { createToolbar } from "../stage/toolbar.ts";
import { createEmpty } from "../start/empty.ts";
import { h } from "../ui/dom.ts";

export function mount(container: HTMLElement, app: App): void {
  const compare = createCompareState(app.store);
  const painter = new MaskPainter();
  const crop = createCrop(app);
  const stage = createStage(app, compare, painter, crop);
  const run = createRunSection(app, compare);
  const save = createSaveSection(app, compare);
  const mask = createMaskSection(app, painter);
  const panel = h(
    "aside",
    { class: "panel", "aria-label": "Settings" },
    createPhotoSection(app),
    createRealismSection(app, compare),
    createSizeSection(app, stage, crop),
    createActionBar(app, run.element, save),
    createQueueSection(app),
    createResultsSection(app, compare),
    mask,
    save.element,
    createTimingsSection(app),
    createModelSection(app),
    createMoreSection(app),
    createKeptSection(app),
  );
  const studio = h(
    "div",
    { class: "studio" },
    h(
      "div",
      { class: "stage" },
      ...stage.elements,
      createEmpty(app),
      createProblemCard(app, () => (app.store.get().image ? run.start : null)),
      createCropBar(app, crop),
      createToolbar(app, compare, stage, painter),
      createMaskDock(painter, mask),
      createStrip(app),
    ),
    panel,
  );
  container.append(studio);
  app.store.subscribe(({ image }) => studio.classList.toggle("is-empty", image === null));

  flickerWhenChosen(app, compare, painter);
  showAtOnce(app, compare, computeAhead(app));
  rerunOnChange(app);
  // One tool at a time.
  crop.store.subscribe(({ frame }) => {
    if (frame && painter.isActive) painter.isActive = false;
  });
  painter.onChange(() => painter.isActive && crop.leave());
  followEstimates(app);
  followFocus(app, { start: run.start, cancel: run.cancel, surface: stage.surface });
  leaveByEscape(app, studio, [crop.leave, () => leavePainting(painter), () => dismiss(app)]);
  const announcer = document.querySelector<HTMLElement>("#announcer");
  if (announcer) announceTo(announcer, app);
  void openLinkedPhoto(app);
}

/** The bundled photo that the address names, unless an earlier visit left it open. */
async function openLinkedPhoto(app: App): Promise<void> {
  await app.restored;
  const { settings, image } = app.store.get();
  const { photo } = settings;
  if (photo !== null && photo !== image?.name) await openBundled(app, photo);
}

function leavePainting(painter: MaskPainter): boolean {
  const wasActive = painter.isActive;
  if (wasActive) painter.isActive = false;
  return wasActive;
}

function dismiss({ store }: App): boolean {
  const hadProblem = store.get().problem !== null;
  if (hadProblem) store.set({ problem: null });
  return hadProblem;
}
