/** A table of contents that stays in view and says which section is. */
import { button, h } from "./dom.ts";

export interface ContentsEntry {
  readonly title: string;
  /** Its heading takes the focus. */
  readonly section: HTMLElement;
}

/** The section that is read has its top above this part of the window. */
const READING_LINE = 0.35;

/** Buttons, not links: the page's address holds its settings. */
export function contents(entries: readonly ContentsEntry[]): HTMLElement {
  const buttons = entries.map(({ title, section }) =>
    button({ class: "contents-entry" }, () => goTo(section), title),
  );
  const list = h("ol", {}, ...buttons.map((entry) => h("li", {}, entry)));
  const element = h("nav", { class: "contents", "aria-label": "Contents" }, list);
  let current = -1;

  const mark = (): void => {
    const boxes = entries.map(({ section }) => section.getBoundingClientRect());
    if (boxes.every(({ height }) => height === 0)) return; // hidden
    const next = sectionInView(
      boxes.map(({ top }) => top / innerHeight),
      (boxes.at(-1)?.bottom ?? 0) / innerHeight,
    );
    if (next === current) return;
    current = next;
    buttons.forEach((entry, i) => {
      if (i === current) entry.setAttribute("aria-current", "true");
      else entry.removeAttribute("aria-current");
    });
    // On a phone the entries are a row that scrolls.
    const entry = buttons[current];
    if (entry)
      list.scrollTo({ left: entry.offsetLeft - (list.clientWidth - entry.offsetWidth) / 2 });
  };
  let isDue = false;
  const markSoon = (): void => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      mark();
    });
  };
  // The window scrolls on a phone, the view on a desktop.
  addEventListener("scroll", markSoon, { capture: true, passive: true });
  new ResizeObserver(markSoon).observe(element);
  return element;
}

/**
 * The last section whose top is above the reading line; at the end of the page the last one. `tops` and `end`, the bottom
 * of the last section, in heights of the window.
 */
export function sectionInView(tops: readonly number[], end: number): number {
  if (end <= 1) return tops.length - 1;
  return Math.max(
    0,
    tops.findLastIndex((top) => top <= READING_LINE),
  );
}

function goTo(section: HTMLElement): void {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  section.scrollIntoView({ behavior: isCalm ? "auto" : "smooth" });
  const heading = section.querySelector<HTMLElement>("h3");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
}
