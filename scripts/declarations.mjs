/**
 * Lets TypeScript before 5.7 read what a newer compiler has declared: there, typed arrays have no parameter. The `of` of each
 * gives arrays over an `ArrayBuffer` where the compiler knows such a difference, and just arrays where it does not.
 */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../dist/", import.meta.url));
for (const name of await readdir(folder, { recursive: true })) {
  if (!name.endsWith(".d.ts")) continue;
  const path = join(folder, name);
  const text = await readFile(path, "utf8");
  const readable = text.replaceAll(/\b(\w+Array)<ArrayBuffer>/g, 'ReturnType<$1Constructor["of"]>');
  if (readable !== text) await writeFile(path, readable);
}
