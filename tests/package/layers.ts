/**
 * Who may import whom: rooms, from the top of the house to its ground. `npm run lint` refuses
 *
 * - an import of a room that is not on the importer's list,
 * - a circle of files, through whatever kind of import: of values, of types, `export … from`, `import()`,
 *   `import("…").T`; in Python `import` and `from … import`,
 * - a folder of `src`, `cli` or `fleet` with more than 22 files, and a file there with more than 400 lines or without a comment at
 *   its head.
 *
 * docs/architecture.md has the picture, tests/package/layers.test.ts the proof that each refusal works.
 */
import { readFile, readdir } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { Visitor, parseSync } from "vite";

const MOST_FILES = 22;
const MOST_LINES = 400;

/** A room: a folder without its subfolders, or some files of one. */
export interface Room {
  readonly name: string;
  /** Rooms that it imports; its own files always. */
  readonly imports: readonly string[];
  /** Packages that it imports; `node:` stands for all modules of Node. */
  readonly packages?: readonly string[];
  /** Files of a folder that are a room of their own, when `name` is not the folder. */
  readonly files?: readonly string[];
}

/** Plain data about devices: all that a kernel sees of a GPU. */
const GPU_DATA = "src/gpu (data)";
const ABORT = "src (abort)";
/** Names for compilers that do not know the web; every entry exports them. */
const WEB_TYPES = "src (web types)";
const WEIGHTS_BASE = "src/weights (base)";
/** What options may be, which every public function with options uses. */
const OPTIONS = "src (options)";
const KERNELS = [
  "src/kernels",
  "src/kernels (contract)",
  "src/kernels/contraction",
  "src/kernels/quantized",
  "src/kernels/attention",
  "src/kernels/norm",
  "src/kernels/image",
  "src/kernels/pointwise",
];
const GPU = ["src/gpu", GPU_DATA, OPTIONS, WEB_TYPES];
const GRAPH_BELOW_ROOT = [
  "src/graph/lowering",
  "src/graph/passes",
  "src/graph/weights",
  "src/graph/execution",
  "src/graph/ir",
];
const GRAPH = ["src/graph/measure", "src/graph", ...GRAPH_BELOW_ROOT];
const WEIGHTS = ["src/weights", "src/weights/sources", WEIGHTS_BASE, WEB_TYPES];
const RCOD = [
  "src/rcod",
  "src/rcod/tuning",
  "src/rcod/regions",
  "src/rcod/stages",
  "src/rcod/estimate",
  "src/rcod/deep",
  "src/rcod/inspect",
  "src/rcod/tiles",
  "src/rcod/loading",
  "src/rcod/images",
  "src/rcod/networks",
  "src/rcod/settings",
];
/** What a room of `rcod` imports: the rooms below it, and all that `rcod` stands on. */
const ofRcod = (name: string): Room => ({
  name,
  imports: [
    ...RCOD.slice(RCOD.indexOf(name) + 1),
    ...GRAPH,
    ...KERNELS,
    ...GPU,
    ...WEIGHTS,
    "src (version)",
    ABORT,
  ],
});
const BENCH = ["src/bench", "src/bench/workloads"];
const VERIFY = ["src/verify", "src/verify/cases", "src/verify/runner"];
const COMMANDS = [
  "adapter",
  "bench",
  "convert",
  "doctor",
  "group",
  "info",
  "tune",
  "upscale",
  "verify",
];

/** Rooms of the fleet, each of which may import those behind it. */
const FLEET = [
  "fleet/worker",
  "fleet/control",
  "fleet/submit",
  "fleet/queue",
  "fleet/storage",
  "fleet/inference",
  "fleet (base)",
];
const ofFleet = (name: string): Room => ({
  name,
  imports: [...FLEET.slice(FLEET.indexOf(name) + 1), "cli", "cli/image", "cli/upscale", "src/**"],
  packages: ["node:", "commander", "cli-progress", "bullmq", "ioredis", "@aws-sdk/client-s3"],
});

/** In no order. What is in no room is refused. */
export const ROOMS: readonly Room[] = [
  { name: "src", imports: [...RCOD, ...GPU, ...WEIGHTS] },
  { name: WEB_TYPES, files: ["src/web-types.ts"], imports: [] },
  { name: "src (version)", files: ["src/version.ts"], imports: [] },
  { name: OPTIONS, files: ["src/options.ts"], imports: [] },
  { name: ABORT, files: ["src/abort.ts"], imports: [] },
  {
    name: GPU_DATA,
    files: ["caps", "dtype", "shape", "wgsl", "subgroup-matrix"].map(
      (name) => `src/gpu/${name}.ts`,
    ),
    imports: [],
  },
  { name: "src/gpu", imports: [GPU_DATA, OPTIONS, WEB_TYPES] },

  { name: "src/kernels", imports: [...KERNELS, GPU_DATA, WEB_TYPES] },
  {
    name: "src/kernels (contract)",
    files: ["src/kernels/kernel.ts", "src/kernels/unroll.ts"],
    imports: [GPU_DATA],
  },
  {
    name: "src/kernels/contraction",
    imports: [
      "src/kernels/quantized",
      "src/kernels/norm",
      "src/kernels/pointwise",
      "src/kernels (contract)",
      GPU_DATA,
    ],
  },
  { name: "src/kernels/quantized", imports: ["src/kernels (contract)", GPU_DATA] },
  {
    name: "src/kernels/attention",
    imports: ["src/kernels/pointwise", "src/kernels (contract)", GPU_DATA],
  },
  {
    name: "src/kernels/norm",
    imports: ["src/kernels/pointwise", "src/kernels (contract)", GPU_DATA],
  },
  {
    name: "src/kernels/image",
    imports: ["src/kernels/pointwise", "src/kernels (contract)", GPU_DATA],
  },
  { name: "src/kernels/pointwise", imports: ["src/kernels (contract)", GPU_DATA] },

  { name: "src/graph/measure", imports: ["src/graph", ...GRAPH_BELOW_ROOT, ...KERNELS, ...GPU] },
  { name: "src/graph", imports: [...GRAPH_BELOW_ROOT, ...KERNELS, ...GPU] },
  {
    name: "src/graph/lowering",
    imports: ["src/graph/passes", "src/graph/ir", ...KERNELS, GPU_DATA],
  },
  {
    name: "src/graph/passes",
    imports: ["src/graph/weights", "src/graph/ir", ...KERNELS, GPU_DATA],
  },
  {
    name: "src/graph/weights",
    imports: ["src/graph/execution", "src/graph/ir", ...KERNELS, ...GPU, ABORT],
  },
  { name: "src/graph/execution", imports: [...KERNELS, ...GPU, ABORT] },
  { name: "src/graph/ir", imports: [...KERNELS, GPU_DATA] },

  {
    name: "src/weights",
    imports: ["src/weights/torch", "src/weights/sources", WEIGHTS_BASE, GPU_DATA, WEB_TYPES],
  },
  { name: "src/weights/torch", imports: ["src/weights/sources", WEIGHTS_BASE, GPU_DATA] },
  {
    name: "src/weights/sources (Node)",
    files: ["src/weights/sources/node-source.ts"],
    imports: ["src/weights/sources", WEIGHTS_BASE],
    packages: ["node:"],
  },
  { name: "src/weights/sources", imports: [WEIGHTS_BASE, OPTIONS, ABORT] },
  {
    name: WEIGHTS_BASE,
    files: ["errors", "foreign-file", "strict-json", "tensor-info", "utf8"].map(
      (name) => `src/weights/${name}.ts`,
    ),
    imports: [GPU_DATA],
  },

  ...RCOD.map(ofRcod),

  { name: "src/cache", imports: [...WEIGHTS, OPTIONS] },
  { name: "src/models", imports: [] },
  { name: "src/worker", imports: [...RCOD, ...GPU, ...WEIGHTS, ABORT] },
  {
    name: "src/node",
    imports: [...GPU, ...WEIGHTS, "src/weights/sources (Node)"],
    packages: ["node:", "webgpu", "tar-fs"],
  },

  { name: "src/bench", imports: [...BENCH, ...RCOD, ...GRAPH, ...KERNELS, ...GPU, ...WEIGHTS] },
  {
    name: "src/bench/workloads",
    imports: [...RCOD, ...GRAPH, ...KERNELS, ...GPU, ...WEIGHTS],
  },
  { name: "src/verify", imports: [...VERIFY, ...RCOD, ...GRAPH, ...KERNELS, ...GPU, ...WEIGHTS] },
  {
    name: "src/verify/cases",
    imports: ["src/verify/runner", ...RCOD, ...GRAPH, ...KERNELS, ...GPU, ...WEIGHTS],
  },
  {
    name: "src/verify/runner",
    imports: [...RCOD, ...GRAPH, ...KERNELS, ...GPU, ...WEIGHTS],
  },

  // The command line: each command imports the helpers, none another command.
  { name: "cli (main)", files: ["cli/main.ts"], imports: ["*"], packages: ["*"] },
  { name: "cli", imports: ["src/**"], packages: ["*"] },
  { name: "cli/image", imports: ["cli", "src/**"], packages: ["*"] },
  ...COMMANDS.map((name): Room => ({
    name: `cli/${name}`,
    imports: ["cli", "cli/image", "src/**"],
    packages: ["*"],
  })),

  // Batches over machines, beside the command line, whose work on one picture they do.
  {
    name: "fleet",
    imports: [...FLEET, "cli", "cli/upscale", "src/**"],
    packages: ["node:", "commander", "bullmq", "ioredis", "@aws-sdk/client-s3"],
  },
  {
    name: "fleet (base)",
    files: ["contract", "errors", "job", "packages", "model-checksum", "file-version"].map(
      (name) => `fleet/${name}.ts`,
    ),
    imports: ["cli", "cli/image", "cli/upscale", "src/**"],
    packages: ["node:", "commander", "bullmq", "ioredis", "@aws-sdk/client-s3"],
  },
  ...FLEET.slice(0, -1).map(ofFleet),

  { name: "tests/reference", imports: [] },
  { name: "demo/build", imports: ["*"], packages: ["*"] },
  {
    name: "demo (Node)",
    files: [
      "demo/vite.config.ts",
      "demo/screenshots.ts",
      "demo/built-page.ts",
      "demo/record-examples.ts",
      "demo/large-photo.ts",
      "demo/memory-over-runs.ts",
    ],
    imports: ["*"],
    packages: ["*"],
  },
  {
    name: "demo",
    imports: ["demo/**"],
    packages: ["rcod-webgpu", "wgpu-matrix", "idb", "client-zip", "image-dimensions"],
  },
];

interface Import {
  readonly from: string;
  /** A file of the repository, or a package. */
  readonly to: string;
}

/** What `npm run lint` prints; empty when all is well. */
export async function violations(root: string): Promise<readonly string[]> {
  const files = (
    await Promise.all(
      ["src", "cli", "fleet", "demo", "bench", "scripts", "tests", "training", "examples"].map(
        (folder) => sourcesBelow(root, folder),
      ),
    )
  ).flat();
  const imports: Import[] = [];
  const found: string[] = [];
  for (const file of files) {
    const text = await readFile(join(root, file), "utf8");
    imports.push(...importsOf(file, text, new Set(files)));
    const lines = text.split("\n").length - 1;
    if (isOfHouse(file) && !text.startsWith("/**")) {
      found.push(`${file}: a file begins with a comment that says what it is`);
    }
    if (isOfHouse(file) && lines > MOST_LINES) {
      found.push(`${file}: a file has at most ${MOST_LINES} lines, got ${lines}. Split it`);
    }
  }
  found.push(...crowdedFolders(files), ...forbidden(imports), ...circles(imports));
  return found;
}

const isOfHouse = (file: string): boolean => /^(src|cli|fleet)\//.test(file);

async function sourcesBelow(root: string, folder: string): Promise<readonly string[]> {
  const entries = await readdir(join(root, folder), { recursive: true }).catch(() => []);
  return entries
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
    .filter((name) => /\.(ts|mjs|py)$/.test(name) && !/\/(dist|node_modules)\//.test(name))
    .toSorted();
}

/** Every import of a file: those of TypeScript by its syntax tree, those of Python by their lines. */
function importsOf(file: string, text: string, files: ReadonlySet<string>): readonly Import[] {
  const folder = dirname(file);
  if (file.endsWith(".py")) {
    const modules = [...text.matchAll(/^\s*(?:from\s+(\w+)\s+import|import\s+(\w+))/gm)];
    return modules
      .map(([, from, name]) => ({ from: file, to: `${folder}/${from ?? name ?? ""}.py` }))
      .filter(({ to }) => files.has(to));
  }
  const names: string[] = [];
  const add = (source: { readonly value?: unknown } | null): void => {
    if (typeof source?.value === "string") names.push(source.value);
  };
  new Visitor({
    ImportDeclaration: ({ source }) => add(source),
    ExportAllDeclaration: ({ source }) => add(source),
    ExportNamedDeclaration: ({ source }) => add(source),
    ImportExpression: ({ source }) => add(source as { value?: unknown }),
    TSImportType: ({ source }) => add(source),
  }).visit(parseSync(file, text).program);
  return names.map((name) => ({
    from: file,
    to: name.startsWith(".") ? normalize(join(folder, name.replace(/\?.*$/, ""))) : name,
  }));
}

function crowdedFolders(files: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const file of files.filter(isOfHouse)) {
    counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > MOST_FILES)
    .map(
      ([folder, count]) =>
        `${folder}: a folder has at most ${MOST_FILES} files, got ${count}. Give it rooms`,
    );
}

/** The room of a file: files named one by one, else the nearest folder that is a room. */
export function roomOf(file: string): Room | null {
  const named = ROOMS.find(({ files }) => files?.includes(file));
  if (named) return named;
  const isStrict = isOfHouse(file);
  for (let folder = dirname(file); folder !== "."; folder = dirname(folder)) {
    const room = ROOMS.find(({ name }) => name === folder);
    if (room) return room;
    if (isStrict) return null; // a new folder of the house is a decision
  }
  return null;
}

function forbidden(imports: readonly Import[]): readonly string[] {
  return imports.flatMap(({ from, to }) => {
    const room = roomOf(from);
    if (room === null)
      return isOfHouse(from) ? [`${from}: is in no room of tests/package/layers.ts`] : [];
    if (!/^(src|cli|fleet|demo|bench|scripts|tests|training|examples)\//.test(to)) {
      const allowed = (room.packages ?? []).some(
        (name) =>
          name === "*" || to === name || to.startsWith(name.endsWith(":") ? name : `${name}/`),
      );
      const isVirtual = to.startsWith("virtual:");
      return allowed || isVirtual || to.startsWith("..") ? [] : [refusal(from, to, room)];
    }
    if (!to.endsWith(".ts")) return [];
    const target = roomOf(to);
    if (target?.name === room.name || room.imports.includes(target?.name ?? "")) return [];
    const isBelow = room.imports.some(
      (name) => name === "*" || (name.endsWith("/**") && to.startsWith(name.slice(0, -2))),
    );
    return isBelow ? [] : [refusal(from, to, room)];
  });
}

const refusal = (from: string, to: string, { name }: Room): string =>
  `${from}: room ${name} must not import ${to}`;

/** Each circle once, as the way around. */
function circles(imports: readonly Import[]): readonly string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) {
      found.push(`circle: ${[...way.slice(at), file].join(" → ")}`);
      return;
    }
    if (done.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...way, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return found;
}

export async function main(): Promise<number> {
  const found = await violations(fileURLToPath(new URL("../../", import.meta.url)));
  for (const line of found) process.stderr.write(`${line}\n`);
  return found.length === 0 ? 0 : 1;
}
