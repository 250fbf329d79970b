/** Results that go to their files while they are computed, so that they need not be in memory. */
import { createReadStream } from "node:fs";
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RegionsOptions } from "../../src/rcod/settings/options.ts";
import { fillFileAtomically } from "../atomic-write.ts";
import { CliError, systemCode, systemReason } from "../errors.ts";
import type { RowOptions } from "../image/encode-rows.ts";
import { encodeRows } from "../image/encode-rows.ts";
import type { Metadata } from "../image/metadata.ts";
import type { RowsShape } from "../image/strip-file.ts";
import { forgetTemporary, temporaryBeside } from "../temporary.ts";
import { STREAM } from "./inputs.ts";
import type { Piece } from "./piece-rows.ts";
import { PieceRows } from "./piece-rows.ts";
import type { Streams } from "./streams.ts";

/** Where a result goes, and what it is. */
export interface StreamedResult {
  /** `-` for `streams`. */
  readonly output: string;
  readonly streams: Streams;
  readonly replace: boolean;
  readonly signal: AbortSignal;
  readonly shape: RowsShape;
  readonly metadata: Metadata;
  readonly encoding: RowOptions;
}

/** What came of it. */
export interface Streamed<T> {
  readonly made: T;
  /** What the file could not hold, a phrase each. */
  readonly notes: readonly string[];
  /** Time that went into encoding and writing. */
  readonly writeMs: number;
}

/**
 * Writes the parts that `compute` gives out. The file appears when all are there; for standard output they wait in a temporary
 * file, so that nobody gets half a picture. Throws what `compute` throws, and `CliError`.
 */
export async function writeStreamed<T>(
  result: StreamedResult,
  compute: (onRegion: RegionsOptions["onRegion"]) => Promise<T>,
): Promise<Streamed<T>> {
  const fill = (path: string | Buffer): Promise<Streamed<T>> => fillFile(path, result, compute);
  const { output, replace, signal } = result;
  if (output !== STREAM) return fillFileAtomically(output, fill, { replace, signal });
  const path = temporaryBeside(join(tmpdir(), "result"));
  try {
    const streamed = await fill(path);
    const startedAt = performance.now();
    for await (const part of createReadStream(path)) await result.streams.write(part as Buffer);
    return { ...streamed, writeMs: streamed.writeMs + performance.now() - startedAt };
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    throw new CliError(`cannot write a temporary file in ${tmpdir()}: ${systemReason(error)}`);
  } finally {
    await rm(path, { force: true });
    forgetTemporary(path);
  }
}

async function fillFile<T>(
  path: string | Buffer,
  { shape, metadata, encoding }: StreamedResult,
  compute: (onRegion: RegionsOptions["onRegion"]) => Promise<T>,
): Promise<Streamed<T>> {
  const file = await open(path, "wx");
  let writeMs = 0;
  const timed = async <R>(work: () => Promise<R>): Promise<R> => {
    const startedAt = performance.now();
    const done = await work();
    writeMs += performance.now() - startedAt;
    return done;
  };
  try {
    const encoder = encodeRows(file, shape, metadata, encoding);
    const rows = new PieceRows(shape);
    const made = await compute(({ data, ...part }) =>
      timed(async () => {
        if (data === undefined) throw new Error("internal: a part of a result without pixels");
        const complete = rows.add({ ...part, data } satisfies Piece);
        if (complete) await encoder.write(complete);
      }),
    );
    const notes = await timed(() => encoder.end());
    return { made, notes, writeMs };
  } finally {
    await file.close();
  }
}
