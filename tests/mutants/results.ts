/** What became of each change of the list: a file, and a page for readers. */
import { existsSync, readFileSync } from "node:fs";
import type { Mutant } from "./list.ts";
import { MUTANTS } from "./list.ts";

export const RESULTS = new URL("results.json", import.meta.url);
export const PAGE = new URL("../../docs/mutants.md", import.meta.url);

/** Who caught a change, by its key; null: nobody. */
export type Results = Readonly<Record<string, string | null>>;

export const keyOf = ({ file, before, after }: Pick<Mutant, "file" | "before" | "after">): string =>
  `${file}: ${before} → ${after}`;

export function readResults(): Results {
  return existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, "utf8")) as Results) : {};
}

/** docs/mutants.md. */
export function page(results: Results): string {
  const caught = MUTANTS.filter((mutant) => results[keyOf(mutant)]).length;
  const survivors = MUTANTS.filter((mutant) => results[keyOf(mutant)] === null);
  return `# Numbers have guards

Each row is one change of a constant, a bound, a comparison, a rounding or an order in \`src\`, and the first test that failed
with it. \`npm run mutants\` tries all of them on a copy of the working tree and writes this page. Of ${MUTANTS.length} changes
${caught} are caught.

${survivors.map((mutant) => `- \`${mutant.file}\`, ${code(mutant.before)} → ${code(mutant.after)}: ${mutant.equivalent ?? "not caught"}.`).join("\n")}

| file | change | caught by |
|---|---|---|
${MUTANTS.map((mutant) => `| ${mutant.file} | ${code(mutant.before)} → ${code(mutant.after)} | ${cell(results[keyOf(mutant)] ?? "–")} |`).join("\n")}
`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const code = (text: string): string => `\`${cell(text).replaceAll("`", "'")}\``;
