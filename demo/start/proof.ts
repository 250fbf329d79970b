/** What a visitor gets, before anything is computed: two small files, and a line between them to drag. */
import after from "../../examples/photos/boats-after.webp";
import before from "../../examples/photos/boats-before.webp";
import { h } from "../ui/dom.ts";

/** Percent of the width: a chip whose side is narrower would lie over the other picture. */
const NARROW = 22;

export function createProof(): HTMLElement {
  // The browser's own slider, unseen over the picture: pointer, touch, keys and what screen readers say come with it.
  const slider = h("input", {
    type: "range",
    class: "proof-slider",
    min: 0,
    max: 100,
    value: 50,
    "aria-label": "Line between before and after",
  });
  const line = h(
    "span",
    { class: "divider", "aria-hidden": "true" },
    h("span", { class: "divider-grip" }),
  );
  const names = [
    h("span", { class: "proof-name is-before" }, "Before"),
    h("span", { class: "proof-name is-after" }, "After"),
  ] as const;
  const frame = h(
    "div",
    { class: "proof-frame" },
    picture(before, "Rowing boats on a shore, soft and blurred"),
    picture(after, "The same boats with clear planks and edges"),
    ...names,
    line,
    slider,
  );
  const place = (): void => {
    const at = Number(slider.value);
    frame.style.setProperty("--at", `${at}%`);
    line.style.left = `${at}%`;
    names[0].hidden = at < NARROW;
    names[1].hidden = at > 100 - NARROW;
    slider.setAttribute("aria-valuetext", `${at} percent before, ${100 - at} percent after`);
  };
  slider.addEventListener("input", place);
  place();
  return h(
    "figure",
    { class: "proof" },
    frame,
    h(
      "figcaption",
      { class: "hint" },
      "128 × 128 pixels made 512 × 512: enlarged by bicubic, and by the small model that comes with this page.",
    ),
  );
}

function picture(src: string, alt: string): HTMLImageElement {
  return h("img", { src, alt, width: 512, height: 512, draggable: "false", decoding: "async" });
}
