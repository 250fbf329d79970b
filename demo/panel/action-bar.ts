/**
 * The run's button, and on a phone, where they stay at the bottom of the window, buttons that keep the result. Elsewhere the
 * panel's own are in sight.
 */
import type { App } from "../app.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";
import type { SaveSection } from "./save-section.ts";

export function createActionBar(
  app: App,
  run: HTMLElement,
  { save, share, status }: SaveSection,
): HTMLElement {
  // For the eye: the section's own status is read out, wherever the page is scrolled to.
  const said = h("p", { class: "hint", "aria-hidden": "true" });
  new MutationObserver(() => {
    said.textContent = status.textContent;
  }).observe(status, { childList: true });
  const keep = h(
    "div",
    { class: "keep" },
    said,
    button({ class: "button is-primary" }, () => save.click(), icon(ICONS.download), "Save"),
    share && button({ class: "button" }, () => share.click(), icon(ICONS.share), "Share"),
  );
  app.store.subscribe(({ results, activity }) => {
    keep.hidden = results.length === 0 || activity !== null;
  });
  return h("div", { class: "action-bar" }, keep, run);
}
