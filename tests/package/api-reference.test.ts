/** docs/api says what the sources say, and everything public is documented. */
import { readFile, readdir } from "node:fs/promises";
import { beforeAll, expect, it } from "vitest";
import type { ApiEntry } from "../../scripts/api-model.ts";
import { apiEntries } from "../../scripts/api-model.ts";
import { referencePages, undocumented } from "../../scripts/api-reference.ts";

const folder = new URL("../../docs/api/", import.meta.url);

let entries: readonly ApiEntry[];
beforeAll(async () => {
  entries = await apiEntries();
});

it("every public export and every member has a comment", () => {
  expect(entries.length).toBeGreaterThan(6);
  expect(entries.flatMap(({ exports }) => exports).length).toBeGreaterThan(150);
  expect(undocumented(entries)).toEqual([]);
});

it("docs/api is what `npm run docs:api` writes", async () => {
  const pages = referencePages(entries);
  expect((await readdir(folder)).toSorted()).toEqual([...pages.keys()].toSorted());
  for (const [name, text] of pages) {
    expect(await readFile(new URL(name, folder), "utf8"), `${name}: npm run docs:api`).toBe(text);
  }
});
