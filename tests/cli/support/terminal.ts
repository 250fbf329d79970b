/** A terminal that remembers, and a folder for a test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach } from "vitest";
import type { Terminal } from "../../../cli/terminal.ts";

export interface RecordingTerminal extends Terminal {
  readonly stdout: string[];
  readonly stderr: string[];
}

export function recordingTerminal(): RecordingTerminal {
  const stdout: string[] = [];
  const stderr: string[] = [];
  return {
    stdout,
    stderr,
    out: (line) => void stdout.push(line),
    note: (line) => void stderr.push(line),
    progressStream: new PassThrough(),
  };
}

/** Registers a fresh folder for every test of a file; call at the top and read `path` inside tests. */
export function useFolder(): { readonly path: string; file(...parts: string[]): string } {
  let path = "";
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), "rcod-test-"));
  });
  afterEach(() => rm(path, { recursive: true, force: true }));
  return {
    get path() {
      return path;
    },
    file: (...parts) => join(path, ...parts),
  };
}
