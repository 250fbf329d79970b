/** On a phone the brush's tools lie at the picture while it paints: the panel is out of sight there. */
import { button, h } from "../ui/dom.ts";
import type { MaskPainter } from "./mask-painter.ts";

/** As in phone.css. */
const PHONE = matchMedia("(max-width: 820px)");

/** `section` is the panel's, with the switch and the tools. */
export function createMaskDock(painter: MaskPainter, section: HTMLElement): HTMLElement {
  const tools = section.querySelector<HTMLElement>(".mask-body");
  const done = button(
    { class: "button" },
    () => {
      painter.isActive = false;
      section.querySelector("input")?.focus({ preventScroll: true });
    },
    "Done",
  );
  const dock = h(
    "div",
    { class: "mask-dock", role: "group", "aria-label": "Brush", hidden: true },
    done,
  );
  const place = (): void => {
    const isDocked = PHONE.matches && painter.isActive;
    if (!tools || isDocked !== dock.hidden) return;
    dock.hidden = !isDocked;
    (isDocked ? dock : section).append(tools);
    dock.append(done);
    if (isDocked) dock.parentElement?.scrollIntoView({ block: "start" });
  };
  painter.onChange(place);
  PHONE.addEventListener("change", place);
  return dock;
}
