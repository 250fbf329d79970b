/** `rcod convert`: writes the files of a conversion to disk, with their checksums. */
import { mkdir, open, readdir, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import type { Conversion } from "../../src/rcod/loading/convert.ts";
import { planConversion } from "../../src/rcod/loading/convert.ts";
import type { ConvertedFile } from "../../src/rcod/loading/converted-files.ts";
import { VERSION } from "../../src/version.ts";
import { MANIFEST } from "../../src/weights/sources/listing.ts";
import { PIECE_BYTES } from "../../src/weights/sources/manifest.ts";
import { ExistsError, writeFolderAtomically } from "../atomic-write.ts";
import { CliError, EXIT, systemCode, systemReason, usageError } from "../errors.ts";
import { formatBytes, formatMs } from "../format.ts";
import { interruptible } from "../interrupt.ts";
import { checkModelPaths, modelFilesAt, modelPaths } from "../model-paths.ts";
import type { ProgressDisplay } from "../progress.ts";
import { createProgress } from "../progress.ts";
import { shownText } from "../shown-text.ts";
import type { Terminal } from "../terminal.ts";
import { Checksums } from "./checksums.ts";
import type { ConvertCliOptions } from "./command.ts";

/** A file in `manifest.json`. A folder without that manifest is no converted one, see `checkOut`. */
interface ManifestEntry {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** SHA-256 of each piece of `piece_bytes`; absent for a file of one. */
  readonly pieces?: readonly string[];
}

/** Runs the command. Exit code 0. Throws what is wrong with the model or the folder. */
export async function runConvert(options: ConvertCliOptions, terminal: Terminal): Promise<number> {
  const { out, dtype, weights, json = false, quiet = false } = options;
  if (options.block !== undefined && weights === undefined) {
    throw usageError(
      `--block is of integers, got ${options.block} without --weights. Add --weights or leave it out`,
    );
  }
  await checkModelPaths(options);
  await checkOut(options);
  const startedAt = performance.now();
  const progress = await createProgress(terminal, quiet);
  const { files, bytes } = await interruptible((signal) =>
    convert(options, terminal, progress, signal).finally(() => progress.stop()),
  );
  const durationMs = performance.now() - startedAt;
  if (json) {
    const report = { ...modelPaths(options), out, dtype, weights, files, bytes, durationMs };
    terminal.out(JSON.stringify(report));
  } else if (!quiet) {
    const size = `${files} files, ${formatBytes(bytes)}`;
    const storage = weights ? `${weights} and ${dtype}` : dtype;
    terminal.out(`${shownText(out)}  ${storage}, ${size}, ${formatMs(durationMs)}`);
  }
  return EXIT.ok;
}

/** Plans and writes the folder. Gives the number of its files and the bytes of all but the manifest. */
async function convert(
  options: ConvertCliOptions,
  terminal: Terminal,
  progress: ProgressDisplay,
  signal: AbortSignal,
): Promise<{ readonly files: number; readonly bytes: number }> {
  progress.start(options.out, "converting");
  const onWarning = (message: string): void => {
    if (options.quiet !== true) terminal.note(`rcod: ${message}`);
  };
  const model = await modelFilesAt(options);
  if (model.assumption !== undefined) onWarning(model.assumption);
  const conversion = await planConversion(model, {
    dtype: options.dtype === "fp16" ? "f16" : "f32",
    quantize: options.weights,
    scaleBlock: options.block,
    shardBytes: options.shardSize,
    strict: options.strict,
    onWarning,
    signal,
  });
  const bytes = conversion.files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  try {
    await writeFolder(options, conversion, signal, (bytesLoaded) => {
      const fraction = bytesLoaded / bytes;
      const state = { stageFraction: fraction, fraction, bytesLoaded, bytesTotal: bytes };
      progress.update({ stage: "load", ...state });
    });
  } finally {
    await conversion.close();
  }
  return { files: conversion.files.length + 1, bytes };
}

/** Writes all files and the manifest, or nothing. */
async function writeFolder(
  { out, dtype, weights, force = false }: ConvertCliOptions,
  { files }: Conversion,
  signal: AbortSignal,
  onWritten: (bytesSoFar: number) => void,
): Promise<void> {
  let bytesSoFar = 0;
  const written = (bytes: number): void => onWritten((bytesSoFar += bytes));
  await writeFolderAtomically(
    out,
    async (folder) => {
      const entries: ManifestEntry[] = [];
      for (const file of files) entries.push(await writeHashed(folder, file, signal, written));
      await writeFile(join(folder, MANIFEST), manifest({ dtype, weights }, entries));
    },
    { replace: force, signal },
  );
}

/** Writes a file piece by piece and computes its checksum from the same pieces. */
async function writeHashed(
  folder: string,
  file: ConvertedFile,
  signal: AbortSignal,
  onWritten: (bytes: number) => void,
): Promise<ManifestEntry> {
  const target = join(folder, ...file.path.split("/"));
  await mkdir(dirname(target), { recursive: true });
  const handle = await open(target, "wx");
  try {
    const checksums = new Checksums();
    let byteLength = 0;
    for await (const piece of file.bytes(signal)) {
      signal.throwIfAborted();
      await handle.writeFile(piece); // appends: the handle keeps its position
      checksums.update(piece);
      byteLength += piece.byteLength;
      onWritten(piece.byteLength);
    }
    return { path: file.path, bytes: byteLength, ...checksums.digest() };
  } finally {
    await handle.close();
  }
}

function manifest(
  storage: { readonly dtype: string; readonly weights: string | undefined },
  files: readonly ManifestEntry[],
): string {
  const writer = `rcod-webgpu ${VERSION}`;
  return `${JSON.stringify({ writer, ...storage, piece_bytes: PIECE_BYTES, files }, null, 2)}\n`;
}

/**
 * The folder must be new or empty, or, where it is to be replaced, be one that a conversion has written: a
 * mistyped path must not cost anyone a folder. Nor may it be or hold what is read.
 */
async function checkOut({ out, force = false, ...paths }: ConvertCliOptions): Promise<void> {
  for (const source of Object.values(modelPaths(paths)) as string[]) {
    if (isInside(source, out)) {
      throw usageError(`${out} is or holds ${source}, which is read. Choose another -o`);
    }
  }
  let names: readonly string[];
  try {
    names = await readdir(out);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    if (systemCode(error) === "ENOTDIR") throw usageError(`${out} is a file. Choose another -o`);
    throw new CliError(`cannot write ${out}: ${systemReason(error)}`);
  }
  if (names.length === 0) return;
  if (!names.includes(MANIFEST) || !names.includes("rcod_config.json")) {
    throw usageError(`${out} holds something else than a converted model. Choose another -o`);
  }
  if (!force) throw new ExistsError(out);
}

function isInside(path: string, folder: string): boolean {
  const way = relative(resolve(folder), resolve(path));
  return way === "" || !(way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way));
}
