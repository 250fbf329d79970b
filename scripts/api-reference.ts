/** docs/api: one Markdown page for each entry of the package, from the doc comments. `npm run docs:api` writes it. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ApiEntry, ApiItem } from "./api-model.ts";
import { apiEntries } from "./api-model.ts";

/** Kinds in the order of a page, with their headings. */
const KINDS: readonly (readonly [kind: string, heading: string])[] = [
  ["Function", "Functions"],
  ["Class", "Classes"],
  ["Variable", "Values"],
  ["Interface", "Interfaces"],
  ["TypeAlias", "Types"],
];

/** Pages by file name. */
export function referencePages(entries: readonly ApiEntry[]): ReadonlyMap<string, string> {
  const pages = new Map(entries.map((entry) => [pageName(entry), page(entry)]));
  pages.set("README.md", indexPage(entries));
  return pages;
}

/** Exports and members without a comment, as `entry: export.member`. */
export function undocumented(entries: readonly ApiEntry[]): string[] {
  const within = (item: ApiItem, path: string): string[] => [
    ...(item.doc === "" && item.kind !== "Constructor" ? [path] : []),
    ...item.members.flatMap((member) => within(member, `${path}.${member.name}`)),
  ];
  return entries.flatMap(({ name, doc, exports }) => [
    ...(doc === "" ? [name] : []),
    ...exports.flatMap((item) => within(item, `${name}: ${item.name}`)),
  ]);
}

export async function main(): Promise<number> {
  const folder = fileURLToPath(new URL("../docs/api/", import.meta.url));
  const entries = await apiEntries();
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const [name, text] of referencePages(entries)) await writeFile(join(folder, name), text);
  for (const path of undocumented(entries)) process.stderr.write(`no comment: ${path}\n`);
  return 0;
}

function pageName({ name }: ApiEntry): string {
  return `${name.split("/").slice(1).join("-") || name}.md`;
}

function indexPage(entries: readonly ApiEntry[]): string {
  const rows = entries.map((entry) => {
    const names = entry.exports.filter(({ kind }) => kind !== "Interface" && kind !== "TypeAlias");
    const shown = names.slice(0, 6).map(({ name }) => `\`${name}\``);
    const more = names.length > shown.length ? ", …" : "";
    return `| [${entry.name}](${pageName(entry)}) | ${shown.join(", ")}${more} |`;
  });
  return `# API reference

Written by \`npm run docs:api\` from the doc comments; a test keeps it fresh.

| entry | has |
|---|---|
${rows.join("\n")}
`;
}

function page({ name, doc, exports }: ApiEntry): string {
  const groups = KINDS.map(([kind, heading]) => ({
    heading,
    items: exports.filter((item) => item.kind === kind),
  })).filter(({ items }) => items.length > 0);
  const contents = groups.map(({ heading, items }) => {
    const links = [...new Set(items.map((item) => item.name))];
    return `**${heading}:** ${links.map((link) => `[${link}](#${link.toLowerCase()})`).join(", ")}`;
  });
  const sections = groups.flatMap(({ heading, items }) => [`## ${heading}`, ...items.map(section)]);
  return `${[`# ${name}`, doc, ...contents, ...sections].join("\n\n")}\n`;
}

function section({ name, signature, doc, members }: ApiItem): string {
  const lines = members.map(
    (member) => `- \`${oneLine(member.signature)}\`${member.doc && ` ${indented(member.doc)}`}`,
  );
  const list = lines.length > 0 ? [lines.join("\n")] : [];
  return [`### ${name}`, `\`\`\`ts\n${signature}\n\`\`\``, doc, ...list].join("\n\n");
}

function oneLine(signature: string): string {
  return signature.replace(/\s+/g, " ").replace(/;$/, "");
}

/** The text of a list item: further lines belong to it. */
function indented(doc: string): string {
  return doc.replace(/\n(?=.)/g, "\n  ");
}
