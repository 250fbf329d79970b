/** A phone's screen, and what a finger needs on it. */
import type { Page } from "puppeteer-core";

export const PHONE = {
  width: 390,
  height: 844,
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
} as const;

/** CSS pixels from the window's corner. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const boxOf = (page: Page, selector: string): Promise<Box> =>
  page.$eval(selector, (node) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    return { left, top, width, height };
  });

/** Whether an element is seen whole, with nothing over its middle, without scrolling. */
export const isInView = (page: Page, selector: string): Promise<boolean> =>
  page.$eval(selector, (node) => {
    const { left, top, right, bottom, width, height } = node.getBoundingClientRect();
    const isInside =
      width > 0 && left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
    const over = document.elementFromPoint(left + width / 2, top + height / 2);
    return isInside && over !== null && (node.contains(over) || over.contains(node));
  });

/** Controls that are seen and smaller than a finger tip, as "label: width × height". What a label encloses is as large as it. */
export const smallTargets = (page: Page): Promise<readonly string[]> =>
  page.evaluate(() => {
    const least = 44 - 0.5; // of fractions of a pixel
    const controls = document.querySelectorAll<HTMLElement>(
      "button, select, input, textarea, summary, a[href], [role=tab], [role=slider], [role=button]",
    );
    return [...controls]
      .filter((control) => control.checkVisibility())
      .map((control) => {
        const { width, height } = (control.closest("label") ?? control).getBoundingClientRect();
        const name = control.getAttribute("aria-label") ?? control.textContent?.trim();
        return { width, height, name: name || control.outerHTML };
      })
      .filter(({ width, height }) => Math.min(width, height) < least)
      .map(({ name, width, height }) => `${name}: ${Math.round(width)} × ${Math.round(height)}`);
  });
