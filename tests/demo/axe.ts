/** Accessibility of the page as it is shown, in both themes. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "puppeteer-core";
import { asTest } from "./main-thread.ts";

const IMPACTS: readonly (string | null | undefined)[] = ["moderate", "serious", "critical"];

/** What axe-core finds that is more than a trifle, as "theme, rule: elements". */
export function findings(page: Page): Promise<readonly string[]> {
  return asTest(page, async () => {
    const found: string[] = [];
    const own = await page.evaluate(() => document.documentElement.dataset["theme"]);
    for (const theme of ["light", "dark"]) {
      await show(page, theme);
      const { violations } = await run(page);
      for (const { impact, id, nodes } of violations) {
        if (!IMPACTS.includes(impact)) continue;
        found.push(`${theme}, ${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      }
    }
    await show(page, own ?? "light");
    return found;
  });
}

/** Colours are looked at as they end, not on their way. */
const show = (page: Page, theme: string): Promise<void> =>
  page.evaluate((name) => {
    document.documentElement.dataset["theme"] = name;
    for (const animation of document.getAnimations()) animation.finish();
  }, theme);

async function run(page: Page): Promise<AxeResults> {
  if (!(await page.evaluate(() => "axe" in globalThis))) {
    const path = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
    await page.evaluate(await readFile(path, "utf8")); // a script tag would be refused by the page's policy
  }
  return page.evaluate(() =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
}
