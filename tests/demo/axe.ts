/** Accessibility of the page as it is shown. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "puppeteer-core";

/** What axe-core finds serious or critical, as "rule: elements". */
export const seriousFindings = (page: Page): Promise<readonly string[]> =>
  findingsOf(page, ["serious", "critical"]);

/** The same with what is moderate: all but trifles. */
export const findings = (page: Page): Promise<readonly string[]> =>
  findingsOf(page, ["moderate", "serious", "critical"]);

async function findingsOf(page: Page, impacts: readonly string[]): Promise<readonly string[]> {
  const path = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
  await page.evaluate(await readFile(path, "utf8")); // a script tag would be refused by the page's policy
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
  return violations
    .filter(({ impact }) => impacts.includes(impact ?? ""))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}
