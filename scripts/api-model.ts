/** The public API as data: declarations by the compiler, read by API Extractor. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  Extractor,
  ExtractorConfig,
  ExtractorLogLevel,
  ExtractorMessageCategory,
} from "@microsoft/api-extractor";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** An export, or a member of one. */
export interface ApiItem {
  readonly kind: string;
  readonly name: string;
  /** As TypeScript declares it. */
  readonly signature: string;
  /** Its comment as Markdown; empty without one. */
  readonly doc: string;
  readonly members: readonly ApiItem[];
}

/** An entry of the package. */
export interface ApiEntry {
  /** What is imported, e.g. `rcod-webgpu/graph`. */
  readonly name: string;
  /** The comment of its file. */
  readonly doc: string;
  readonly exports: readonly ApiItem[];
}

/** What API Extractor writes, as far as it is read here. */
interface ExtractedItem {
  readonly kind: string;
  readonly name?: string;
  readonly docComment?: string;
  readonly excerptTokens?: readonly { readonly text: string }[];
  readonly members?: readonly ExtractedItem[];
}

/** Every entry of package.json that has types. Takes some seconds: it compiles the sources. */
export async function apiEntries(): Promise<readonly ApiEntry[]> {
  const paths = await entryPaths();
  const folder = await mkdtemp(join(tmpdir(), "rcod-api-"));
  try {
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const emit = (project: string, to: string) =>
      promisify(execFile)(
        process.execPath,
        [tsc, "-p", project, "--emitDeclarationOnly", "--outDir", to],
        { cwd: ROOT },
      );
    await emit("tsconfig.build.json", folder);
    await emit("tsconfig.models.json", join(folder, "src"));
    const extracted = await extract(folder, [...paths.values()]);
    return await Promise.all(
      [...paths].map(async ([name, path], i) => {
        const source = await readFile(join(ROOT, path.replace(/\.js$/, ".ts")), "utf8");
        const exports = (extracted.get(`entry${i}`) ?? []).map(apiItem);
        return { name, doc: markdownOf(/^\/\*\*[^]*?\*\//.exec(source)?.[0] ?? ""), exports };
      }),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Entries of package.json, each with its file; the models' addresses are compiled from `src` as well. */
async function entryPaths(): Promise<ReadonlyMap<string, string>> {
  const { name, exports } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    readonly name: string;
    readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
  };
  const paths = new Map<string, string>();
  for (const [entry, target] of Object.entries(exports)) {
    if (typeof target === "object") {
      const file = target.default.replace("./dist/models/", "./dist/src/models/");
      paths.set(entry.replace(/^\./, name), file.replace("./dist/", ""));
    }
  }
  return paths;
}

/** The exports of each file, by `entry0`, `entry1` …: one file of namespaces, so that all is compiled once. */
async function extract(
  folder: string,
  paths: readonly string[],
): Promise<ReadonlyMap<string, readonly ExtractedItem[]>> {
  const entry = join(folder, "entries.d.ts");
  const lines = paths.map((path, i) => `export * as entry${i} from "./${path}";\n`);
  await writeFile(entry, lines.join(""));
  const json = join(folder, "entries.api.json");
  const compilerOptions = {
    target: "ES2023",
    lib: ["ES2024", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
    module: "nodenext",
    types: ["@webgpu/types", "node"],
    strict: true,
    skipLibCheck: true,
  };
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: entry,
      compiler: { overrideTsconfig: { compilerOptions, files: [entry] } },
      docModel: { enabled: true, apiJsonFilePath: json },
      apiReport: { enabled: false, reportFileName: "unused" },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(ROOT, "package.json"),
  });
  const problems: string[] = [];
  Extractor.invoke(config, {
    localBuild: true,
    messageCallback(message) {
      // Its own rules (release tags, forgotten exports) are not ours; what does not compile is.
      if (message.category === ExtractorMessageCategory.Compiler)
        problems.push(message.formatMessageWithLocation(ROOT));
      message.logLevel = ExtractorLogLevel.None;
    },
  });
  if (problems.length > 0)
    throw new Error(`api: the declarations must compile\n${problems.join("\n")}`);
  const { members = [] } = JSON.parse(await readFile(json, "utf8")) as ExtractedItem;
  const namespaces = members[0]?.members ?? [];
  return new Map(namespaces.map((namespace) => [namespace.name ?? "", namespace.members ?? []]));
}

function apiItem({ kind, name, docComment, excerptTokens, members }: ExtractedItem): ApiItem {
  const text = (excerptTokens ?? []).map((token) => token.text).join("");
  return {
    kind,
    name: name ?? (kind === "Constructor" ? "constructor" : "[key]"),
    signature: text.replace(/^export (declare )?/, "").trim(),
    doc: markdownOf(docComment ?? ""),
    members: (members ?? []).map(apiItem),
  };
}

/** The text of a comment, with its tags as paragraphs. */
function markdownOf(comment: string): string {
  return comment
    .replace(/^\/\*\*/, "")
    .replace(/\*\/\s*$/, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trimEnd())
    .join("\n")
    .replace(/@throws\s+/g, "**Throws** ")
    .replace(/@param\s+(\w+)\s+-?\s*/g, "`$1`: ")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}
