/** The list fits the sources, every change of it has been tried, and the page says so. Whether it still is caught: `npm run mutants`. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { MUTANTS } from "./list.ts";
import { PAGE, keyOf, page, readResults } from "./results.ts";

const source = (file: string): string =>
  readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8");
const isTest = (name: string): boolean => existsSync(new URL(`../${name}`, import.meta.url));

test("every change finds its place once, and its tests", () => {
  const wrong = MUTANTS.flatMap(({ file, before, after, tests }) => {
    const found = source(file).split(before).length - 1;
    const absent = tests.map((name) => name.split(" > ")[0] ?? "").filter((name) => !isTest(name));
    if (found === 1 && before !== after && tests.length > 0 && absent.length === 0) return [];
    return [`${file}: "${before}" is there ${found} times; absent: ${absent.join(", ")}`];
  });
  expect(wrong).toEqual([]);
});

test("every change has been caught, but for the few that make no difference", () => {
  const results = readResults();
  const open = MUTANTS.filter(({ equivalent }) => equivalent === undefined);
  expect(open.map(keyOf).filter((key) => !results[key])).toEqual([]);
  expect(MUTANTS.length).toBeGreaterThanOrEqual(100);
  expect(MUTANTS.length - open.length).toBeLessThanOrEqual(3);
  expect(new Set(MUTANTS.map(keyOf)).size).toBe(MUTANTS.length);
});

test("docs/mutants.md is what the results say", () => {
  expect(readFileSync(PAGE, "utf8")).toBe(page(readResults()));
});
