/** What each stage of the last run took, what was reused, and how much memory. */
import type { App } from "../app.ts";
import type { ResultInfo, StageTimings } from "../protocol.ts";
import { h } from "../ui/dom.ts";
import { bytes, duration } from "../ui/format.ts";
import { STAGE_NAMES } from "./run-section.ts";

type RunStage = keyof StageTimings;

const ORDER: readonly RunStage[] = ["preprocess", "tokens", "encode", "unet", "decode", "color"];

export function createTimingsSection(app: App): HTMLElement {
  const total = h("span", { class: "value" });
  const bar = h("div", { class: "timing-bar", "aria-hidden": "true" });
  const list = h("dl", { class: "timings" });
  const memory = h("p", { class: "hint" });
  const element = h(
    "section",
    { class: "panel-section", id: "timings" },
    h("div", { class: "section-head" }, h("h2", {}, "Last run"), total),
    bar,
    list,
    memory,
  );
  let shown: ResultInfo | undefined;
  app.store.subscribe(({ results, model }) => {
    const result = results.at(-1);
    element.hidden = result === undefined;
    if (!result || result === shown) return;
    shown = result;
    total.textContent = duration(result.totalMs);
    const share = model ? `, ${bytes(model.bytes)} of it the model` : "";
    memory.textContent = [
      ...(result.regions > 1 ? [`In ${result.regions} regions`] : []),
      `At most ${bytes(result.peakBytes)} on the device${share}`,
      ...result.notes,
    ].join(". ");
    list.replaceChildren(...ORDER.flatMap((stage) => row(result, stage)));
    bar.replaceChildren(...ORDER.map((stage) => segment(result, stage)));
  });
  return element;
}

function row({ timingsMs, reused }: ResultInfo, stage: RunStage): HTMLElement[] {
  const isReused = reused.includes(stage);
  return [
    h("dt", { class: `timing-name stage-${stage}` }, STAGE_NAMES[stage]),
    h(
      "dd",
      { class: isReused ? "is-reused" : "", "data-stage": stage },
      isReused ? "kept" : duration(timingsMs[stage]),
    ),
  ];
}

function segment({ timingsMs, reused }: ResultInfo, stage: RunStage): HTMLElement {
  const element = h("span", { class: `stage-${stage}` });
  element.style.flexGrow = String(reused.includes(stage) ? 0 : timingsMs[stage]);
  return element;
}
