/** Settings that few need. */
import type { App } from "../app.ts";
import type { ColorFix, Precision } from "../protocol.ts";
import { seedOf } from "../settings.ts";
import { button, field, h, select } from "../ui/dom.ts";

const COLOR_FIXES: readonly (readonly [ColorFix, string])[] = [
  ["model", "As the model says"],
  ["adain", "AdaIN: mean and spread"],
  ["wavelet", "Wavelet: low frequencies"],
  ["none", "None"],
];
const PRECISIONS: readonly (readonly [Precision, string])[] = [
  ["auto", "Automatic"],
  ["f32", "f32"],
  ["f16", "f16: half the memory"],
];

export function createMoreSection(app: App): HTMLElement {
  const { settings } = app.store.get();
  app.store.subscribe((state, before) => {
    if (state.settings === before.settings) return;
    colorFix.value = state.settings.colorFix;
    precision.value = state.settings.precision;
    seed.value = String(state.settings.seed ?? "");
  });
  const colorFix = select(COLOR_FIXES, settings.colorFix, (value) =>
    app.change({ colorFix: value }),
  );
  const precision = select(PRECISIONS, settings.precision, (value) =>
    app.change({ precision: value }),
  );
  const seed = h("input", {
    class: "input",
    inputmode: "numeric",
    placeholder: "none",
    maxlength: 10,
    value: settings.seed,
  });
  seed.addEventListener("change", () => {
    const value = seedOf(seed.value);
    if (value === null) seed.value = "";
    app.change({ seed: value });
  });
  return h(
    "details",
    { class: "panel-section" },
    h("summary", { class: "section-head" }, h("h2", {}, "More")),
    h(
      "div",
      { class: "details-body" },
      field("Colour fix", colorFix),
      field("Seed", seed, "A number samples the encoding; none takes its mean."),
      field("Precision", precision),
      app.isDebug
        ? button(
            { class: "button", id: "destroy-device" },
            () => void app.call("destroyDevice", null),
            "Destroy the device",
          )
        : null,
    ),
  );
}
