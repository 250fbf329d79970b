/** The slider between fidelity and realism, its three stops, and "auto". */
import type { App } from "../app.ts";
import { isQuick } from "../instant/pace.ts";
import type { CompareState } from "../stage/compare-state.ts";
import type { Store } from "../store.ts";
import { button, h } from "../ui/dom.ts";
import { realismName } from "../ui/format.ts";

export const STOPS = [
  [0, "Fidelity"],
  [0.5, "Neutral"],
  [1, "Realism"],
] as const;

export function createRealismSection(app: App, compare: Store<CompareState>): HTMLElement {
  const slider = h("input", {
    type: "range",
    class: "slider",
    id: "realism",
    min: 0,
    max: 1,
    step: 0.01,
    "aria-label": "Realism",
  });
  const value = h("output", { class: "value", for: "realism" });
  const note = h("p", { class: "hint" });
  slider.addEventListener("input", () => app.change({ realism: Number(slider.value) }));
  const stops = STOPS.map(([at, label]) =>
    button({ class: "stop" }, () => app.change({ realism: at }), label),
  );
  const auto = h("input", { type: "checkbox", class: "switch" });
  auto.addEventListener("change", () =>
    app.change({ realism: auto.checked ? "auto" : Number(slider.value) }),
  );
  const autoLabel = h("label", { class: "switch-label" }, "Auto", auto);

  const update = (): void => {
    const state = app.store.get();
    const { settings, results, model } = state;
    const { realism } = settings;
    const isPreview = compare.get().blend !== null;
    const last = results.at(-1);
    const estimated = last?.settings.realism === "auto" ? last.realism : null;
    const shown = realism === "auto" ? (estimated ?? 0.5) : realism;
    slider.value = String(shown);
    slider.style.setProperty("--at", `${shown * 100}%`);
    slider.classList.toggle("is-auto", realism === "auto");
    const figure = shown.toFixed(2);
    value.textContent =
      realism === "auto" && estimated === null ? "" : `${figure}${isPreview ? " · preview" : ""}`;
    const name = realism === "auto" ? "Auto" : realismName(realism);
    slider.setAttribute("aria-valuetext", `${name}${isPreview ? ", preview" : ""}`);
    stops.forEach((stop, i) =>
      stop.setAttribute("aria-pressed", String(STOPS[i]?.[0] === realism)),
    );
    auto.checked = realism === "auto";
    autoLabel.hidden = model !== null && !model.supportsAuto;
    note.textContent = isPreview
      ? previewNote(isQuick(state))
      : noteFor(realism, last?.predictedMetric ?? null);
  };
  app.store.subscribe(update);
  compare.subscribe(update);
  return h(
    "section",
    { class: "panel-section" },
    h("div", { class: "section-head" }, h("h2", {}, "Realism"), value, autoLabel),
    slider,
    h("div", { class: "stops" }, ...stops),
    note,
  );
}

function previewNote(isFollowed: boolean): string {
  return isFollowed
    ? "A preview, blended from two results. The exact picture follows."
    : "A preview, blended from two results. Upscale to get the exact picture.";
}

function noteFor(realism: "auto" | number, metric: number | null): string {
  if (realism === "auto") {
    return metric === null
      ? "The model estimates how much the picture has lost, and chooses."
      : `The model estimates how much the picture has lost (similarity ${metric.toFixed(3)}), and chose.`;
  }
  if (realism < 0.34) return "Stays close to the pixels: calm, sometimes soft.";
  if (realism < 0.67) return "Between staying close and inventing detail.";
  return "Invents plausible detail: crisp, less faithful.";
}
