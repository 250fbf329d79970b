/** `rcod group`: pairs of images in, latent metric, group and timestep of each out. */
import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { fasterDType } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { PairMetric } from "../../src/rcod/metric-of-pair.ts";
import { LATENT_GROUPS, groupOfMetric, groupsOf } from "../../src/rcod/settings/latent-groups.ts";
import type { LatentGroups } from "../../src/rcod/settings/latent-groups.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { checkOutputFile, writeFileAtomically } from "../atomic-write.ts";
import { EXIT, describeError, usageError } from "../errors.ts";
import { formatTable } from "../format.ts";
import { withGpu } from "../gpu.ts";
import { readImage } from "../image/decode.ts";
import { isImageName } from "../image/formats.ts";
import { interruptible } from "../interrupt.ts";
import { launch } from "../launch.ts";
import { checkModelPaths } from "../model-paths.ts";
import { shownText } from "../shown-text.ts";
import type { Terminal } from "../terminal.ts";
import { reportError } from "../terminal.ts";
import type { GroupOptions } from "./command.ts";
import { histogram, histogramSvg, histogramText } from "./plot.ts";

/** A low-quality image and its original. */
export interface Pair {
  readonly low: string;
  readonly high: string;
}

/** A group counts from 1, the most degraded. */
interface Placement {
  readonly group: number;
  readonly timestep: number;
}

/** The groups of the model, and RCOD's table of four. */
type GroupTables = Readonly<Record<3 | 4, LatentGroups>>;

type PairReport =
  | (Pair & {
      readonly metric: number;
      /** By number of groups. */
      readonly groups: Readonly<Record<3 | 4, Placement>>;
    })
  | (Pair & { readonly error: string });

/**
 * Runs the command. Exit code 0; 1 when one of several pairs failed; for a single pair 2 when the images are to
 * blame. Throws what concerns all pairs, and `CliError` when interrupted. What can be checked without a GPU is
 * checked before `launchProcess`, which tests replace.
 */
export async function runGroup(
  options: GroupOptions,
  terminal: Terminal,
  launchProcess: typeof launch = launch,
): Promise<number> {
  const { out, force = false } = options;
  if (out !== undefined) {
    if (extname(out).toLowerCase() !== ".svg") {
      throw usageError(`${out}: the plot's name must end in .svg`);
    }
    await checkOutputFile(out, force);
  }
  const { pairs, isFolder } = await findPairs(options.lq, options.hq);
  await checkModelPaths(options);
  const exitCode = await launchProcess();
  if (exitCode !== null) return exitCode;
  return interruptible((signal) =>
    withGpu(options.dawnToggles, (gpu) =>
      groupPairs(gpu, options, pairs, isFolder, terminal, signal),
    ),
  );
}

async function groupPairs(
  gpu: Gpu,
  { model, precision, json = false, out, force = false }: GroupOptions,
  pairs: readonly Pair[],
  isFolder: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const reports: PairReport[] = [];
  let exitCode: number = EXIT.ok;
  const dtype = precision === "auto" ? fasterDType(gpu.caps) : precision;
  const encoder = await PairMetric.load(gpu, folderFiles(model), dtype, { signal });
  const tables: GroupTables = { 3: groupsOf(encoder.configs.rcod), 4: LATENT_GROUPS[4] };
  try {
    for (const pair of pairs) {
      signal.throwIfAborted();
      try {
        const [low, high] = [await readImage(pair.low), await readImage(pair.high)];
        const metric = await encoder.of(low, high, signal);
        const report = { ...pair, metric, groups: placements(metric, tables) };
        reports.push(report);
        if (!json) terminal.out(pairLine(report, tables));
      } catch (error) {
        signal.throwIfAborted();
        const code = reportError(terminal, error, `${pair.low}, ${pair.high}`);
        exitCode = pairs.length === 1 ? code : EXIT.failed;
        reports.push({ ...pair, error: describeError(error).message });
      }
    }
  } finally {
    encoder.dispose();
  }
  const metrics = reports.flatMap((report) => ("metric" in report ? [report.metric] : []));
  const counts = histogram(metrics);
  const thresholds = { 3: tables[3].thresholds, 4: tables[4].thresholds };
  if (out !== undefined) {
    const svg = new TextEncoder().encode(histogramSvg(counts, thresholds));
    await writeFileAtomically(out, svg, { replace: force, signal });
  }
  if (json) {
    const failed = reports.length - metrics.length;
    terminal.out(JSON.stringify({ model, thresholds, pairs: reports, histogram: counts, failed }));
  } else if (isFolder && metrics.length > 0) {
    terminal.out(["", ...summaryLines(metrics, counts, tables)].join("\n"));
  }
  return exitCode;
}

function placements(metric: number, tables: GroupTables): Readonly<Record<3 | 4, Placement>> {
  const place = (groups: LatentGroups): Placement => {
    const index = groupOfMetric(metric, groups);
    return { group: index + 1, timestep: groups.timesteps[index] as number };
  };
  return { 3: place(tables[3]), 4: place(tables[4]) };
}

function pairLine(
  { low, high, metric, groups }: Exclude<PairReport, { readonly error: string }>,
  tables: GroupTables,
): string {
  const of = (count: 3 | 4): string =>
    `group ${groups[count].group} of ${tables[count].timesteps.length}, timestep ${groups[count].timestep}`;
  return `${shownText(low)}  ${shownText(high)}  M_L ${metric.toFixed(4)}  ${of(3)}  ${of(4)}`;
}

/** How many pairs each group has by both tables, and the histogram. */
function summaryLines(
  metrics: readonly number[],
  counts: readonly number[],
  tables: GroupTables,
): readonly string[] {
  const lines = ([3, 4] as const).map((count) => {
    const groups = tables[count];
    const rows = groups.timesteps.map((timestep, i) => {
      const low = i === 0 ? "" : `M_L ≥ ${groups.thresholds[i - 1]}`;
      const size = metrics.filter((metric) => groupOfMetric(metric, groups) === i).length;
      return [`  ${i + 1}`, `timestep ${timestep}`, low, String(size)];
    });
    return `${count} groups\n${formatTable(rows, ["right", "left", "left", "right"])}`;
  });
  return [...lines, `${metrics.length} pairs by M_L`, ...histogramText(counts)];
}

/**
 * The pairs that two paths name: two files, or two folders with files of the same names, extensions aside. Throws
 * `CliError` (exit code 2) for anything else, and where a file of one folder has no partner.
 */
export async function findPairs(
  low: string,
  high: string,
): Promise<{ readonly pairs: readonly Pair[]; readonly isFolder: boolean }> {
  const kinds = await Promise.all(
    [low, high].map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      if (found === undefined) throw usageError(`${path}: no such file or folder`);
      return found.isDirectory();
    }),
  );
  if (kinds[0] !== kinds[1]) {
    throw usageError(`${low} and ${high} must be two images or two folders of images`);
  }
  if (kinds[0] === false) return { pairs: [{ low, high }], isFolder: false };
  const [lows, highs] = [await imagesByStem(low), await imagesByStem(high)];
  const alone = [
    ...[...lows].filter(([stem]) => !highs.has(stem)).map(([, path]) => path),
    ...[...highs].filter(([stem]) => !lows.has(stem)).map(([, path]) => path),
  ];
  if (alone.length > 0) {
    throw usageError(
      `${alone.length} image${alone.length > 1 ? "s have" : " has"} no partner of the same name: ` +
        `${alone.slice(0, 3).join(", ")}${alone.length > 3 ? " …" : ""}`,
    );
  }
  const pairs = [...lows].map(([stem, path]) => ({ low: path, high: highs.get(stem) as string }));
  return { pairs, isFolder: true };
}

/** Image files directly in a folder, by name without extension, in the order of names. */
async function imagesByStem(folder: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(folder)).filter(isImageName);
  if (names.length === 0)
    throw usageError(`${folder}: the folder has no file with the name of an image`);
  const byStem = new Map<string, string>();
  for (const name of names.toSorted()) {
    const stem = name.slice(0, -extname(name).length);
    const other = byStem.get(stem);
    if (other !== undefined) {
      throw usageError(`${other} and ${join(folder, name)} have the same name. Keep one of them`);
    }
    byStem.set(stem, join(folder, name));
  }
  return byStem;
}
