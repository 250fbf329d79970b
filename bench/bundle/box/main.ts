/**
 * Runs in the unpacked bundle, on a machine that has only a kernel, a C library and perhaps a GPU driver: finds an adapter,
 * then runs the parts, each in a process of its own, so that a driver that crashes or hangs costs one. Prints one JSON object
 * on stdout, progress on stderr. `make.ts` makes one file of this folder.
 */
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findEnvironment } from "./adapters.ts";
import { boundsText } from "./bounds.ts";
import type { Ended } from "./child.ts";
import { runToEnd } from "./child.ts";
import type { ModeName, Options } from "./options.ts";
import { USAGE, parseOptions } from "./options.ts";
import type { Part } from "./parts.ts";
import { doctorPart, findPlaces, planParts } from "./parts.ts";
import type { BundleRecord, PartRecord, PartResult } from "./record.ts";
import { finished, newRecord } from "./record.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
/** Less is not enough for any part. */
const LEAST_S = 5;
/** PyTorch is large, and a machine that has just started reads it from its disk. */
const IMPORT_S = 40;
/** For the search of an adapter, if none answers at once. */
const SEARCH_S = 60;

const note = (text: string): void => void process.stderr.write(`== ${text}\n`);

/** The last line that is an object: PyTorch's part prints one after each mode. */
function lastObject(stdout: string): PartResult | null {
  for (const line of stdout.trim().split("\n").toReversed()) {
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === "object" && value !== null) return value;
    } catch {
      // A line that was cut off, or text.
    }
  }
  return null;
}

function partRecord({ name, mode }: Part, limitS: number, ended: Ended): PartRecord {
  const { exitCode, signal, timedOut, seconds, stdout, stderr } = ended;
  const result = lastObject(stdout);
  return {
    part: name,
    mode,
    limitS,
    seconds,
    exitCode,
    ...(signal !== null && { signal }),
    ...(timedOut && { timedOut }),
    ...(result && { result }),
    ...(exitCode !== 0 && { stderr }),
  };
}

async function runAll(options: Options): Promise<BundleRecord> {
  const startedAt = performance.now();
  const secondsLeft = (): number => options.seconds - (performance.now() - startedAt) / 1000;
  const places = findPlaces(HERE);
  rmSync(join(HERE, "cache"), { recursive: true, force: true });
  const { found, tried } = await findEnvironment(HERE, places.node, SEARCH_S);
  let record = newRecord(options, tried);
  const keep = (): void => {
    record = finished(record, options, HERE, (performance.now() - startedAt) / 1000);
    if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(record)}\n`);
  };
  if (found === undefined) {
    keep();
    return record;
  }
  const run = async (part: Part): Promise<PartRecord | null> => {
    const title = part.mode === null ? part.name : `${part.mode} ${part.name}`;
    const limitS = Math.min(part.limitS, secondsLeft());
    if (limitS < LEAST_S) {
      record.leftOut.push({ part: part.name, mode: part.mode, reason: "no time was left" });
      return null;
    }
    note(`${title}, ${Math.floor(limitS)} s at most, ${Math.floor(secondsLeft())} s left`);
    const done = partRecord(part, limitS, await runToEnd(part.command(limitS), HERE, limitS));
    note(`${title}: ${done.exitCode === 0 ? "done" : "FAILED"} in ${done.seconds.toFixed(1)} s`);
    record.parts.push(done);
    keep();
    return done;
  };
  const modes: ModeName[] = [];
  let isSoftware = true;
  for (const mode of options.modes) {
    const done = await run(doctorPart({ ...places, environment: found }, mode));
    const said = done?.result?.adapter;
    const adapter = typeof said === "object" ? said : null;
    if (adapter) {
      record = { ...record, adapter };
      isSoftware = adapter.isSoftware;
    }
    if (mode !== "matrix" || adapter?.matrixUnits) modes.push(mode);
    else {
      const reason = `no matrix units: ${adapter?.matrixRefusal ?? "the adapter tells nothing"}`;
      note(`matrix: left out, ${reason}`);
      record.skipped.push({ what: mode, reason });
    }
  }
  const situation = { ...places, options, environment: found, modes, isSoftware };
  for (const part of planParts(situation)) {
    const lacks = part.name === "pytorch" ? await lacksPyTorch(options.python) : null;
    if (lacks === null) await run(part);
    else record.skipped.push({ what: "pytorch", reason: lacks });
  }
  keep();
  return record;
}

/** Why a Python cannot be asked; null where it can. */
async function lacksPyTorch(python: string): Promise<string | null> {
  const command = { file: python, args: ["-c", "import torch"], env: {} };
  const { exitCode, stderr } = await runToEnd(command, HERE, IMPORT_S);
  if (exitCode === 0) return null;
  const reason = stderr.trim().split("\n").at(-1) ?? "";
  note(`pytorch: left out, ${python}: ${reason}`);
  return `${python}: ${reason}`;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    process.stdout.write(USAGE);
    return 0;
  }
  const record = await runAll(options);
  for (const { mode, part, card, kernels } of record.bounds)
    process.stderr.write(boundsText(`${mode} ${part}: ms of an image, ${card.name}`, kernels));
  const named = record.failed.length > 0 ? `FAILED: ${record.failed.join(", ")}` : "nothing failed";
  note(`${record.seconds.toFixed(0)} s; ${named}`);
  const text = `${JSON.stringify(record)}\n`;
  await new Promise((resolve) => process.stdout.write(text, () => resolve(null)));
  if (record.failed.length > 0) return 1;
  return record.leftOut.length > 0 ? 3 : 0;
}

try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`bundle: ${(error as Error).message}\n\n${USAGE}`);
  process.exit(2);
}
